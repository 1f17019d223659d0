// otlp_encode.cc: recorder deltas as OTLP requests (protobuf). Attribute names: semantic
// conventions 1.x and docs/query.md names.
//
// Several workers' deltas number their names each on their own, so series are joined by the names'
// texts.
#include <algorithm>
#include <charconv>
#include <map>
#include <protozero/pbf_writer.hpp>
#include <tuple>
#include <unordered_map>

#include "telemetry/recorder.h"
#include "telemetry/text.h"

namespace hms::telemetry {
namespace {

using protozero::pbf_writer;

/// The scope of everything sent: which program measured it.
constexpr const char* kScopeName = "hms-proxy";

void add_text(pbf_writer& writer, uint32_t tag, std::string_view text) {
  if (is_valid_utf8(text)) {
    writer.add_string(tag, text.data(), text.size());
  } else {
    writer.add_string(tag, repaired_utf8(text));
  }
}

void add_attribute(pbf_writer& owner, uint32_t tag, std::string_view key, std::string_view text) {
  pbf_writer pair(owner, tag);
  pair.add_string(1, key.data(), key.size());
  pbf_writer value(pair, 2);
  add_text(value, 1, text);
}

void add_attribute(pbf_writer& owner, uint32_t tag, std::string_view key, int64_t number) {
  pbf_writer pair(owner, tag);
  pair.add_string(1, key.data(), key.size());
  pbf_writer value(pair, 2);
  value.add_int64(3, number);
}

void add_resource(pbf_writer& group, const ResourceIdentity& identity) {
  pbf_writer resource(group, 1);
  add_attribute(resource, 1, "service.name", identity.service_name);
  if (!identity.service_version.empty())
    add_attribute(resource, 1, "service.version", identity.service_version);
  if (!identity.service_instance_id.empty())
    add_attribute(resource, 1, "service.instance.id", identity.service_instance_id);
  for (const auto& [key, value] : identity.extra) add_attribute(resource, 1, key, value);
}

void add_scope(pbf_writer& scope_group) {
  pbf_writer scope(scope_group, 1);
  scope.add_string(1, kScopeName);
}

std::string_view name_in(const RecorderDelta& delta, uint32_t index) { return delta.name(index); }

std::string_view text_in(const RecorderDelta& delta, uint32_t one_based) {
  return one_based > 0 && one_based <= delta.texts.size()
             ? std::string_view(delta.texts[one_based - 1])
             : std::string_view();
}

bool is_error_status(const SeriesKey& key) {
  return key.status >= (key.direction == Direction::outbound ? 400 : 500);
}

/// Three digits at most; a view into `digits`.
std::string_view status_text(uint16_t status, char (&digits)[8]) {
  return {digits,
          static_cast<size_t>(std::to_chars(digits, digits + sizeof digits, status).ptr - digits)};
}

/// The attributes that metrics and spans share.
void add_request_attributes(pbf_writer& owner, uint32_t tag, const SeriesKey& key,
                            std::string_view route, std::string_view upstream) {
  add_attribute(owner, tag, "http.request.method", method_name(key.method));
  add_attribute(owner, tag, "url.scheme", key.tls ? "https" : "http");
  if (!route.empty()) add_attribute(owner, tag, "http.route", route);
  if (key.status >= 100)
    add_attribute(owner, tag, "http.response.status_code", int64_t{key.status});
  char digits[8];
  if (key.error_type != ErrorType::none) {
    add_attribute(owner, tag, "error.type", error_type_name(key.error_type));
  } else if (is_error_status(key)) {
    add_attribute(owner, tag, "error.type", status_text(key.status, digits));
  }
  if (!upstream.empty()) add_attribute(owner, tag, "hms.upstream", upstream);
}

template <class Id>
void add_id(pbf_writer& writer, uint32_t tag, const Id& id) {
  writer.add_bytes(tag, reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size());
}

/// What a connection that was passed on as it is has to tell (network and TLS conventions).
void add_connection_attributes(pbf_writer& span, const RecorderDelta& delta,
                               const SpanRecord& record) {
  add_attribute(span, 9, "network.transport", "tcp");
  if (record.transport == Transport::tls) add_attribute(span, 9, "network.protocol.name", "tls");
  if (const auto name = text_in(delta, record.target); !name.empty())
    add_attribute(span, 9, "tls.client.server_name", name);
  add_attribute(span, 9, "hms.bytes.received", static_cast<int64_t>(record.request_bytes));
  add_attribute(span, 9, "hms.bytes.sent", static_cast<int64_t>(record.response_bytes));
  if (record.key.error_type != ErrorType::none)
    add_attribute(span, 9, "error.type", error_type_name(record.key.error_type));
}

void add_request_attributes(pbf_writer& span, const RecorderDelta& delta, const SpanRecord& record,
                            std::string_view route) {
  add_request_attributes(span, 9, record.key, route, name_in(delta, record.key.upstream));
  if (const auto path = text_in(delta, record.target); !path.empty())
    add_attribute(span, 9, "url.path", path);
  if (record.request_bytes > 0)
    add_attribute(span, 9, "http.request.body.size", static_cast<int64_t>(record.request_bytes));
  if (record.response_bytes > 0)
    add_attribute(span, 9, "http.response.body.size", static_cast<int64_t>(record.response_bytes));
}

std::string span_name(const SpanRecord& record, std::string_view route) {
  if (record.transport != Transport::http)
    return record.transport == Transport::tls ? "TLS connection" : "TCP connection";
  // Semantic conventions: an unknown method is named HTTP here, since _OTHER is a value for
  // machines.
  std::string name(record.key.method == Method::other ? "HTTP" : method_name(record.key.method));
  if (!route.empty()) name.append(" ").append(route);
  return name;
}

void add_span(pbf_writer& scope_group, const RecorderDelta& delta, const SpanRecord& record) {
  const bool inbound = record.key.direction == Direction::inbound;
  const auto route = name_in(delta, record.key.route);
  pbf_writer span(scope_group, 2);
  add_id(span, 1, record.trace_id);
  add_id(span, 2, record.span_id);
  if (!record.parent_span_id.is_zero()) add_id(span, 4, record.parent_span_id);
  add_text(span, 5, span_name(record, route));
  span.add_enum(6, static_cast<int32_t>(inbound ? 2 : 3));
  span.add_fixed64(7, record.start_unix_nanos);
  span.add_fixed64(8, record.start_unix_nanos + record.duration_nanos);
  if (record.transport == Transport::http)
    add_request_attributes(span, delta, record, route);
  else
    add_connection_attributes(span, delta, record);
  if (const auto peer = name_in(delta, record.peer); !peer.empty())
    add_attribute(span, 9, "network.peer.address", peer);
  if (const auto identity = name_in(delta, record.peer_identity); !identity.empty())
    add_attribute(span, 9, "hms.peer.identity", identity);
  if (const auto text = text_in(delta, record.trace_text); !text.empty())
    add_attribute(span, 9, "hms.x_trace", text);
  if (record.key.error_type != ErrorType::none || is_error_status(record.key)) {
    pbf_writer status(span, 15);
    status.add_enum(3, 2);
  }
}

void add_buckets(pbf_writer& point, uint32_t tag, const std::vector<Histogram::Bucket>& buckets) {
  if (buckets.empty()) return;
  pbf_writer writer(point, tag);
  writer.add_sint32(1, buckets.front().index);
  protozero::packed_field_uint64 counts(writer, 2);
  int32_t next = buckets.front().index;
  for (const auto& bucket : buckets) {
    for (; next < bucket.index; ++next) counts.add_element(0);
    counts.add_element(bucket.count);
    ++next;
  }
}

/// The trace that stands for a point: its slowest request.
void add_exemplar(pbf_writer& point, const SpanRecord& span) {
  pbf_writer exemplar(point, 11);
  exemplar.add_fixed64(2, span.start_unix_nanos + span.duration_nanos);
  exemplar.add_double(3, static_cast<double>(span.duration_nanos) / 1e9);
  add_id(exemplar, 4, span.span_id);
  add_id(exemplar, 5, span.trace_id);
}

/// A series with its names spelt out. Views into the deltas.
struct SeriesName {
  std::string_view route, upstream;
  SeriesKey key;  // without the two indices
  auto order() const {
    return std::tie(route, upstream, key.method, key.status, key.direction, key.error_type,
                    key.tls);
  }
  bool operator<(const SeriesName& other) const { return order() < other.order(); }
};
struct SeriesTotal {
  Histogram duration;
  const SpanRecord* slowest = nullptr;  // of the spans kept: its exemplar
};
using SeriesMap = std::map<SeriesName, SeriesTotal>;

struct SeriesKeyHash {
  size_t operator()(const SeriesKey& key) const noexcept {
    uint64_t bits = uint64_t{key.route} << 32 | uint64_t{key.upstream} << 16 | key.status;
    bits ^= uint64_t{static_cast<uint8_t>(key.method)} << 5 ^
            uint64_t { static_cast<uint8_t>(key.error_type) } << 11 ^
            uint64_t { static_cast<uint8_t>(key.direction) } << 10 ^ uint64_t { key.tls } << 9;
    return static_cast<size_t>((bits ^ bits >> 29) * 0x9E3779B97F4A7C15ULL >> 16);
  }
};
using SlowestSpans = std::unordered_map<SeriesKey, const SpanRecord*, SeriesKeyHash>;

SlowestSpans slowest_spans(const RecorderDelta& delta) {
  SlowestSpans out;
  for (const SpanRecord& span : delta.spans) {
    if (span.trace_id.is_zero() || span.transport != Transport::http) continue;
    const SpanRecord*& slowest = out[span.key];
    if (slowest == nullptr || span.duration_nanos > slowest->duration_nanos) slowest = &span;
  }
  return out;
}

SeriesMap joined(const std::vector<RecorderDelta>& deltas) {
  SeriesMap out;
  for (const RecorderDelta& delta : deltas) {
    const SlowestSpans slowest = slowest_spans(delta);
    for (const SeriesDelta& series : delta.series) {
      SeriesName name{name_in(delta, series.key.route), name_in(delta, series.key.upstream),
                      series.key};
      name.key.route = 0, name.key.upstream = 0;
      SeriesTotal& total = out[name];
      total.duration.merge(series.duration);
      const auto span = slowest.find(series.key);
      if (span != slowest.end() && (total.slowest == nullptr ||
                                    span->second->duration_nanos > total.slowest->duration_nanos))
        total.slowest = span->second;
    }
  }
  return out;
}

void add_duration_metric(pbf_writer& scope_group, const SeriesMap& series, Direction direction,
                         uint64_t begin, uint64_t end) {
  const auto is_ours = [&](const auto& one) {
    return one.first.key.direction == direction && one.second.duration.count > 0;
  };
  if (std::none_of(series.begin(), series.end(), is_ours)) return;
  const bool server = direction == Direction::inbound;
  pbf_writer metric(scope_group, 2);
  metric.add_string(1, server ? "http.server.request.duration" : "http.client.request.duration");
  metric.add_string(2, server ? "Duration of requests to the service"
                              : "Duration of requests made by the service");
  metric.add_string(3, "s");
  pbf_writer data(metric, 10);
  data.add_enum(2, 1);  // delta
  for (const auto& one : series) {
    if (!is_ours(one)) continue;
    const SeriesName& name = one.first;
    const Histogram& histogram = one.second.duration;
    pbf_writer point(data, 1);
    add_request_attributes(point, 1, name.key, name.route, name.upstream);
    point.add_fixed64(2, begin);
    point.add_fixed64(3, end);
    point.add_fixed64(4, histogram.count);
    point.add_double(5, histogram.sum);
    point.add_sint32(6, histogram.scale);
    if (histogram.zero_count > 0) point.add_fixed64(7, histogram.zero_count);
    add_buckets(point, 8, histogram.positive);
    add_buckets(point, 9, histogram.negative);
    if (one.second.slowest != nullptr) add_exemplar(point, *one.second.slowest);
    if (histogram.has_min_max) {
      point.add_double(12, histogram.min);
      point.add_double(13, histogram.max);
    }
  }
}

void add_own_metrics(pbf_writer& scope_group, const std::vector<OwnMetric>& own, uint64_t start,
                     uint64_t now) {
  std::map<std::pair<std::string_view, bool>, std::vector<const OwnMetric*>> families;
  for (const OwnMetric& metric : own) families[{metric.name, metric.counter}].push_back(&metric);
  for (const auto& [family, members] : families) {
    pbf_writer metric(scope_group, 2);
    add_text(metric, 1, family.first);
    pbf_writer data(metric, family.second ? 7 : 5);
    if (family.second) {
      data.add_enum(2, 2);  // cumulative
      data.add_bool(3, true);
    }
    for (const OwnMetric* member : members) {
      pbf_writer point(data, 1);
      if (family.second) point.add_fixed64(2, start);
      point.add_fixed64(3, now);
      point.add_double(4, member->value);
      for (const auto& [key, value] : member->labels) add_attribute(point, 7, key, value);
    }
  }
}

}  // namespace

std::string encode_traces(const ResourceIdentity& identity,
                          const std::vector<RecorderDelta>& deltas) {
  size_t spans = 0;
  for (const RecorderDelta& delta : deltas) spans += delta.spans.size();
  std::string out;
  if (spans == 0) return out;
  out.reserve(512 + spans * 320);
  pbf_writer request(out);
  pbf_writer group(request, 1);
  add_resource(group, identity);
  pbf_writer scope_group(group, 2);
  add_scope(scope_group);
  for (const RecorderDelta& delta : deltas) {
    for (const SpanRecord& record : delta.spans) add_span(scope_group, delta, record);
  }
  scope_group.commit();
  group.commit();
  return out;
}

std::string encode_metrics(const ResourceIdentity& identity,
                           const std::vector<RecorderDelta>& deltas,
                           const std::vector<OwnMetric>& own, uint64_t process_start_unix_nanos,
                           uint64_t now_unix_nanos) {
  const SeriesMap series = joined(deltas);
  std::string out;
  if (series.empty() && own.empty()) return out;
  uint64_t begin = now_unix_nanos, end = 0;
  for (const RecorderDelta& delta : deltas) {
    begin = std::min(begin, delta.begin_unix_nanos);
    end = std::max(end, delta.end_unix_nanos);
  }
  pbf_writer request(out);
  pbf_writer group(request, 1);
  add_resource(group, identity);
  pbf_writer scope_group(group, 2);
  add_scope(scope_group);
  add_duration_metric(scope_group, series, Direction::inbound, begin, end);
  add_duration_metric(scope_group, series, Direction::outbound, begin, end);
  add_own_metrics(scope_group, own, process_start_unix_nanos, now_unix_nanos);
  scope_group.commit();
  group.commit();
  return out;
}

}  // namespace hms::telemetry
