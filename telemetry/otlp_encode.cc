// otlp_encode.cc: histograms of recorder deltas and our own metrics as OTLP requests (protobuf).
// Attribute names: semantic conventions 1.x and docs/query.md names. Spans: otlp_encode_spans.cc.
//
// Several workers' deltas number their names each on their own, so series are joined by the names'
// texts.
#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_map>

#include "telemetry/otlp_encode_parts.h"

namespace hms::telemetry {

using namespace otlp;

namespace {

std::string_view name_in(const RecorderDelta& delta, uint32_t index) { return delta.name(index); }

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
  group.add_message(1, resource_fields(identity));
  pbf_writer scope_group(group, 2);
  scope_group.add_message(1, scope_fields());
  add_duration_metric(scope_group, series, Direction::inbound, begin, end);
  add_duration_metric(scope_group, series, Direction::outbound, begin, end);
  add_own_metrics(scope_group, own, process_start_unix_nanos, now_unix_nanos);
  scope_group.commit();
  group.commit();
  return out;
}

}  // namespace hms::telemetry
