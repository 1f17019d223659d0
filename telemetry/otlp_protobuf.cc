// otlp_protobuf.cc: OTLP request bodies in protobuf, read in place: texts are views into the body.
//
// Field numbers: opentelemetry-proto 1.x (trace/v1, metrics/v1, logs/v1, common/v1, resource/v1). A
// known field with another wire type counts as unknown and is skipped, as protobuf parsers do;
// repeated scalars are taken packed and unpacked. A body cut off inside a record is refused whole:
// its sender still has it.
#include <cstring>
#include <protozero/pbf_reader.hpp>
#include <string_view>

#include "telemetry/otlp_read.h"
#include "telemetry/text.h"

namespace hms::telemetry::otlp {
namespace {

using protozero::pbf_reader;
using protozero::pbf_wire_type;
using protozero::tag_and_type;

constexpr uint32_t message_field(uint32_t tag) {
  return tag_and_type(tag, pbf_wire_type::length_delimited);
}
constexpr uint32_t varint_field(uint32_t tag) { return tag_and_type(tag, pbf_wire_type::varint); }
constexpr uint32_t fixed64_field(uint32_t tag) { return tag_and_type(tag, pbf_wire_type::fixed64); }

std::string_view view_of(pbf_reader& reader) {
  const auto view = reader.get_view();
  return {view.data(), view.size()};
}
pbf_reader reader_of(std::string_view bytes) noexcept { return {bytes.data(), bytes.size()}; }

/// Where reading has got to, for the error message.
struct Place {
  const char* body = nullptr;
  const char* at = nullptr;
  void mark(const pbf_reader& reader) noexcept { at = reader.data().data(); }
};

// === attributes ===

/// Arrays, maps and bytes as JSON. False when the text has grown past its bound and must be given
/// up.
bool append_any_json(std::string& out, std::string_view bytes, int depth);

bool append_array_json(std::string& out, std::string_view bytes, int depth) {
  out += '[';
  bool first = true;
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    if (reader.tag_and_type() != message_field(1)) {
      reader.skip();
      continue;
    }
    if (!first) out += ',';
    first = false;
    if (!append_any_json(out, view_of(reader), depth + 1)) return false;
  }
  out += ']';
  return true;
}

bool append_map_json(std::string& out, std::string_view bytes, int depth) {
  out += '{';
  bool first = true;
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    if (reader.tag_and_type() != message_field(1)) {
      reader.skip();
      continue;
    }
    std::string_view key, value;
    pbf_reader pair = reader_of(view_of(reader));
    while (pair.next()) {
      if (pair.tag_and_type() == message_field(1)) {
        key = view_of(pair);
      } else if (pair.tag_and_type() == message_field(2)) {
        value = view_of(pair);
      } else {
        pair.skip();
      }
    }
    if (!first) out += ',';
    first = false;
    append_json_text(out, is_valid_utf8(key) ? std::string(key) : repaired_utf8(key));
    out += ':';
    if (!append_any_json(out, value, depth + 1)) return false;
  }
  out += '}';
  return true;
}

bool append_any_json(std::string& out, std::string_view bytes, int depth) {
  if (out.size() > kMaxTextBytes || depth > kMaxNesting) return false;
  const size_t begin = out.size();
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {  // a oneof: the last one given counts
    out.resize(begin);
    switch (reader.tag_and_type()) {
      case message_field(1): {
        const auto text = view_of(reader);
        if (text.size() > kMaxTextBytes) return false;
        append_json_text(out, is_valid_utf8(text) ? std::string(text) : repaired_utf8(text));
        break;
      }
      case varint_field(2):
        out += reader.get_bool() ? "true" : "false";
        break;
      case varint_field(3):
        out += std::to_string(reader.get_int64());
        break;
      case fixed64_field(4):
        append_json_number(out, reader.get_double());
        break;
      case message_field(5):
        if (!append_array_json(out, view_of(reader), depth)) return false;
        break;
      case message_field(6):
        if (!append_map_json(out, view_of(reader), depth)) return false;
        break;
      case message_field(7): {
        const auto text = view_of(reader);
        if (text.size() > kMaxTextBytes / 2) return false;
        out += '"';
        append_base64(out, text);
        out += '"';
        break;
      }
      default:
        reader.skip();
    }
  }
  if (out.size() == begin) out += "null";
  return out.size() <= kMaxTextBytes;
}

AttributeValue read_any(BatchStorage& batch, std::string_view bytes) {
  AttributeValue value;
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case message_field(1):
        value.kind = AttributeValue::Kind::text;
        value.text = clean_text(batch, view_of(reader));
        break;
      case varint_field(2):
        value.kind = AttributeValue::Kind::boolean;
        value.boolean = reader.get_bool();
        break;
      case varint_field(3):
        value.kind = AttributeValue::Kind::integer;
        value.integer = reader.get_int64();
        break;
      case fixed64_field(4):
        value.kind = AttributeValue::Kind::real;
        value.real = reader.get_double();
        break;
      case message_field(5):
      case message_field(6):
      case message_field(7): {
        reader.skip();
        std::string json;
        if (!append_any_json(json, bytes, 1)) {
          json = "\"(left out: larger than 65536 bytes or deeper than 16 levels)\"";
          ++batch.truncated;
        }
        value.kind = AttributeValue::Kind::json;
        value.text = batch.keep(std::move(json));
        return value;  // append_any_json has read the whole value
      }
      default:
        reader.skip();
    }
  }
  return value;
}

void read_attribute(BatchStorage& batch, uint32_t begin, std::string_view bytes) {
  Attribute attribute;
  std::string_view value;
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case message_field(1):
        attribute.key = view_of(reader);
        break;
      case message_field(2):
        value = view_of(reader);
        break;
      default:
        reader.skip();
    }
  }
  if (attribute.key.empty()) return;
  if (batch.attributes.size() - begin < kMaxAttributesPerRecord) {
    attribute.key = clean_text(batch, attribute.key);
    attribute.value = read_any(batch, value);
  }
  add_attribute(batch, begin, attribute);
}

void read_resource(BatchStorage& batch, uint32_t resource, std::string_view bytes) {
  const uint32_t begin = attribute_mark(batch);
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    if (reader.tag_and_type() == message_field(1)) {
      read_attribute(batch, begin, view_of(reader));
    } else {
      reader.skip();
    }
  }
  set_resource(batch, resource, begin);
}

std::string_view read_scope_name(BatchStorage& batch, std::string_view bytes) {
  std::string_view name;
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    if (reader.tag_and_type() == message_field(1)) {
      name = clean_text(batch, view_of(reader));
    } else {
      reader.skip();
    }
  }
  return name;
}

/// The frame all three signals share: requests hold resources (1), which hold a resource (1) and
/// scopes (2), which hold a scope (1) and records (2). Fields may come in any order, so each level
/// looks for its describing field first.
template <class Batch, class ReadRecord>
void read_frame(Batch& batch, Place& place, ReadRecord read_record) {
  pbf_reader request = reader_of(*batch.body);
  while (request.next()) {
    place.mark(request);
    if (request.tag_and_type() != message_field(1)) {
      request.skip();
      continue;
    }
    const std::string_view group = view_of(request);
    const uint32_t resource = add_resource(batch);
    for (pbf_reader reader = reader_of(group); reader.next();) {
      place.mark(reader);
      if (reader.tag_and_type() == message_field(1)) {
        read_resource(batch, resource, view_of(reader));
      } else {
        reader.skip();
      }
    }
    for (pbf_reader reader = reader_of(group); reader.next();) {
      place.mark(reader);
      if (reader.tag_and_type() != message_field(2)) {
        reader.skip();
        continue;
      }
      const std::string_view scope_group = view_of(reader);
      std::string_view scope;
      for (pbf_reader in_scope = reader_of(scope_group); in_scope.next();) {
        place.mark(in_scope);
        if (in_scope.tag_and_type() == message_field(1)) {
          scope = read_scope_name(batch, view_of(in_scope));
        } else {
          in_scope.skip();
        }
      }
      for (pbf_reader in_scope = reader_of(scope_group); in_scope.next();) {
        place.mark(in_scope);
        if (in_scope.tag_and_type() == message_field(2)) {
          read_record(resource, scope, view_of(in_scope));
        } else {
          in_scope.skip();
        }
      }
    }
  }
}

template <class Id>
bool take_id(std::string_view bytes, Id& id) noexcept {
  if (bytes.size() != id.bytes.size()) return false;
  std::memcpy(id.bytes.data(), bytes.data(), bytes.size());
  return true;
}

// === spans ===

void read_event(TraceBatch& batch, std::string_view bytes) {
  SpanEventView event;
  event.attributes.begin = attribute_mark(batch);
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case fixed64_field(1):
        event.time_unix_nanos = reader.get_fixed64();
        break;
      case message_field(2):
        event.name = clean_text(batch, view_of(reader));
        break;
      case message_field(3):
        read_attribute(batch, event.attributes.begin, view_of(reader));
        break;
      default:
        reader.skip();
    }
  }
  event.attributes.end = attribute_mark(batch);
  batch.events.push_back(event);
}

void read_link(TraceBatch& batch, std::string_view bytes) {
  SpanLinkView link;
  bool good = true;
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case message_field(1):
        good = take_id(view_of(reader), link.trace_id) && good;
        break;
      case message_field(2):
        good = take_id(view_of(reader), link.span_id) && good;
        break;
      default:
        reader.skip();
    }
  }
  if (good && !link.trace_id.is_zero() && !link.span_id.is_zero()) batch.links.push_back(link);
}

void read_status(TraceBatch& batch, SpanView& span, std::string_view bytes) {
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case message_field(2):
        span.status_message = clean_text(batch, view_of(reader));
        break;
      case varint_field(3):
        span.status = span_status(reader.get_int32());
        break;
      default:
        reader.skip();
    }
  }
}

void read_span(TraceBatch& batch, Tally& tally, uint32_t resource, std::string_view scope,
               std::string_view bytes) {
  tally.next();
  SpanView span;
  IdFaults faults;
  span.resource = resource;
  span.scope_name = scope;
  span.attributes.begin = attribute_mark(batch);
  const size_t events = batch.events.size(), links = batch.links.size();
  bool nested = false;
  for (pbf_reader reader = reader_of(bytes); reader.next();) {
    switch (reader.tag_and_type()) {
      case message_field(1):
        faults.trace = !take_id(view_of(reader), span.trace_id);
        break;
      case message_field(2):
        faults.span = !take_id(view_of(reader), span.span_id);
        break;
      case message_field(4): {
        const auto parent = view_of(reader);
        faults.parent = !parent.empty() && !take_id(parent, span.parent_span_id);
        break;
      }
      case message_field(5):
        span.name = clean_text(batch, view_of(reader));
        break;
      case varint_field(6):
        span.kind = span_kind(reader.get_int32());
        break;
      case fixed64_field(7):
        span.start_unix_nanos = reader.get_fixed64();
        break;
      case fixed64_field(8):
        span.end_unix_nanos = reader.get_fixed64();
        break;
      case message_field(9):
        read_attribute(batch, span.attributes.begin, view_of(reader));
        break;
      case message_field(15):
        read_status(batch, span, view_of(reader));
        break;
      case message_field(11):
      case message_field(13):
        nested = true;
        reader.skip();
        break;
      default:
        reader.skip();
    }
  }
  span.attributes.end = attribute_mark(batch);
  if (nested) {  // second pass: a record's own attributes must lie together
    for (pbf_reader reader = reader_of(bytes); reader.next();) {
      const bool is_event = reader.tag_and_type() == message_field(11),
                 is_link = reader.tag_and_type() == message_field(13);
      if (!is_event && !is_link) {
        reader.skip();
        continue;
      }
      const auto view = view_of(reader);
      if ((is_event ? batch.events.size() - events : batch.links.size() - links) >=
          kMaxEventsPerSpan) {
        ++batch.truncated;
        continue;
      }
      if (batch.events.size() + batch.links.size() >= kMaxEventsAndLinks) {
        throw LimitCrossed(
            "more than 1000000 span events and links in one body; send smaller batches");
      }
      if (is_event) {
        read_event(batch, view);
      } else {
        read_link(batch, view);
      }
    }
  }
  span.events_begin = static_cast<uint32_t>(events),
  span.events_end = static_cast<uint32_t>(batch.events.size());
  span.links_begin = static_cast<uint32_t>(links),
  span.links_end = static_cast<uint32_t>(batch.links.size());
  if (const auto reason = add_span(batch, span, faults); !reason.empty()) {
    tally.reject(reason);
    batch.attributes.resize(span.attributes.begin);
    batch.events.resize(events);
    batch.links.resize(links);
  }
}

// === logs ===

void read_log(LogBatch& batch, Tally& tally, uint32_t resource, std::string_view bytes) {
  tally.next();
  LogView log;
  log.resource = resource;
  log.attributes.begin = attribute_mark(batch);
  uint64_t observed = 0;
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case fixed64_field(1):
        log.time_unix_nanos = reader.get_fixed64();
        break;
      case varint_field(2): {
        const int32_t number = reader.get_int32();
        log.severity_number = static_cast<uint8_t>(number >= 0 && number <= 24 ? number : 0);
        break;
      }
      case message_field(3):
        log.level = clean_text(batch, view_of(reader));
        break;
      case message_field(5): {
        const AttributeValue body = read_any(batch, view_of(reader));
        log.message = message_of(batch, body);
        break;
      }
      case message_field(6):
        read_attribute(batch, log.attributes.begin, view_of(reader));
        break;
      case message_field(9):
        if (!take_id(view_of(reader), log.trace_id)) log.trace_id = {};
        break;
      case message_field(10):
        if (!take_id(view_of(reader), log.span_id)) log.span_id = {};
        break;
      case fixed64_field(11):
        observed = reader.get_fixed64();
        break;
      default:
        reader.skip();
    }
  }
  log.attributes.end = attribute_mark(batch);
  add_log(batch, log, observed);
}

// === metrics ===

/// Scratch shared by all points of a body, so that decoding a point allocates only what stays.
struct Scratch {
  RawExponential exponential;
  RawExplicit explicit_bounds;
  RawSummary summary;
};

double signed_fixed_as_double(pbf_reader& reader) {
  return static_cast<double>(reader.get_sfixed64());
}

template <class Range, class T>
void append_all(Range range, std::vector<T>& out) {
  for (auto value : range) {
    if (out.size() > kMaxBucketSlots) return;  // one more than allowed: refused further on
    out.push_back(value);
  }
}

std::string_view read_number(MetricBatch& batch, const MetricHead& metric, std::string_view bytes,
                             bool is_sum, int64_t temporality, bool monotonic) {
  PointHead point;
  point.attributes.begin = attribute_mark(batch);
  double value = 0;
  bool has_value = false;
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case fixed64_field(2):
        point.start_unix_nanos = reader.get_fixed64();
        break;
      case fixed64_field(3):
        point.time_unix_nanos = reader.get_fixed64();
        break;
      case fixed64_field(4):
        value = reader.get_double(), has_value = true;
        break;
      case fixed64_field(6):
        value = signed_fixed_as_double(reader), has_value = true;
        break;
      case message_field(7):
        read_attribute(batch, point.attributes.begin, view_of(reader));
        break;
      case varint_field(8):
        point.flags = reader.get_uint32();
        break;
      default:
        reader.skip();
    }
  }
  point.attributes.end = attribute_mark(batch);
  if (!has_value && (point.flags & 1) == 0) return "the data point has no value";
  return is_sum ? add_sum(batch, metric, point, value, temporality, monotonic)
                : add_gauge(batch, metric, point, value);
}

void read_buckets(RawBuckets& buckets, std::string_view bytes) {
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case varint_field(1):
        buckets.offset = reader.get_sint32();
        break;
      case message_field(2):
        append_all(reader.get_packed_uint64(), buckets.counts);
        break;
      case varint_field(2):
        if (const auto count = reader.get_uint64(); buckets.counts.size() <= kMaxBucketSlots)
          buckets.counts.push_back(count);
        break;
      default:
        reader.skip();
    }
  }
}

std::string_view read_exponential(MetricBatch& batch, const MetricHead& metric,
                                  std::string_view bytes, int64_t temporality,
                                  RawExponential& raw) {
  raw.clear();
  PointHead point;
  point.attributes.begin = attribute_mark(batch);
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case message_field(1):
        read_attribute(batch, point.attributes.begin, view_of(reader));
        break;
      case fixed64_field(2):
        point.start_unix_nanos = reader.get_fixed64();
        break;
      case fixed64_field(3):
        point.time_unix_nanos = reader.get_fixed64();
        break;
      case fixed64_field(4):
        raw.count = reader.get_fixed64();
        break;
      case fixed64_field(5):
        raw.sum = reader.get_double();
        break;
      case varint_field(6):
        raw.scale = reader.get_sint32();
        break;
      case fixed64_field(7):
        raw.zero_count = reader.get_fixed64();
        break;
      case message_field(8):
        read_buckets(raw.positive, view_of(reader));
        break;
      case message_field(9):
        read_buckets(raw.negative, view_of(reader));
        break;
      case varint_field(10):
        point.flags = reader.get_uint32();
        break;
      case fixed64_field(12):
        raw.min = reader.get_double(), raw.has_min = true;
        break;
      case fixed64_field(13):
        raw.max = reader.get_double(), raw.has_max = true;
        break;
      default:
        reader.skip();
    }
  }
  point.attributes.end = attribute_mark(batch);
  return add_exponential(batch, metric, point, raw, temporality);
}

std::string_view read_explicit(MetricBatch& batch, const MetricHead& metric, std::string_view bytes,
                               int64_t temporality, RawExplicit& raw) {
  raw.clear();
  PointHead point;
  point.attributes.begin = attribute_mark(batch);
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case fixed64_field(2):
        point.start_unix_nanos = reader.get_fixed64();
        break;
      case fixed64_field(3):
        point.time_unix_nanos = reader.get_fixed64();
        break;
      case fixed64_field(4):
        raw.count = reader.get_fixed64();
        break;
      case fixed64_field(5):
        raw.sum = reader.get_double();
        break;
      case message_field(6):
        append_all(reader.get_packed_fixed64(), raw.counts);
        break;
      case fixed64_field(6):
        if (const auto count = reader.get_fixed64(); raw.counts.size() <= kMaxBucketSlots)
          raw.counts.push_back(count);
        break;
      case message_field(7):
        append_all(reader.get_packed_double(), raw.bounds);
        break;
      case fixed64_field(7):
        if (const auto bound = reader.get_double(); raw.bounds.size() <= kMaxBucketSlots)
          raw.bounds.push_back(bound);
        break;
      case message_field(9):
        read_attribute(batch, point.attributes.begin, view_of(reader));
        break;
      case varint_field(10):
        point.flags = reader.get_uint32();
        break;
      case fixed64_field(11):
        raw.min = reader.get_double(), raw.has_min = true;
        break;
      case fixed64_field(12):
        raw.max = reader.get_double(), raw.has_max = true;
        break;
      default:
        reader.skip();
    }
  }
  point.attributes.end = attribute_mark(batch);
  return add_explicit(batch, metric, point, raw, temporality);
}

std::string_view read_summary(MetricBatch& batch, const MetricHead& metric, std::string_view bytes,
                              RawSummary& raw) {
  raw.clear();
  PointHead point;
  point.attributes.begin = attribute_mark(batch);
  pbf_reader reader = reader_of(bytes);
  while (reader.next()) {
    switch (reader.tag_and_type()) {
      case fixed64_field(2):
        point.start_unix_nanos = reader.get_fixed64();
        break;
      case fixed64_field(3):
        point.time_unix_nanos = reader.get_fixed64();
        break;
      case fixed64_field(4):
        raw.count = reader.get_fixed64();
        break;
      case fixed64_field(5):
        raw.sum = reader.get_double();
        break;
      case message_field(6): {
        double quantile = 0, value = 0;
        for (pbf_reader pair = reader_of(view_of(reader)); pair.next();) {
          switch (pair.tag_and_type()) {
            case fixed64_field(1):
              quantile = pair.get_double();
              break;
            case fixed64_field(2):
              value = pair.get_double();
              break;
            default:
              pair.skip();
          }
        }
        if (raw.quantiles.size() <= kMaxQuantiles) raw.quantiles.emplace_back(quantile, value);
        break;
      }
      case message_field(7):
        read_attribute(batch, point.attributes.begin, view_of(reader));
        break;
      case varint_field(8):
        point.flags = reader.get_uint32();
        break;
      default:
        reader.skip();
    }
  }
  point.attributes.end = attribute_mark(batch);
  return add_summary(batch, metric, point, raw);
}

enum class DataKind : uint32_t {
  gauge = 5,
  sum = 7,
  histogram = 9,
  exponential = 10,
  summary = 11
};

/// One of the five data messages: points are field 1, temporality 2, is_monotonic 3, whichever of
/// them it has.
void read_data(MetricBatch& batch, Tally& tally, const MetricHead& metric, DataKind kind,
               std::string_view bytes, Scratch& scratch) {
  int64_t temporality = 0;
  bool monotonic = false;
  for (pbf_reader reader = reader_of(bytes); reader.next();) {
    switch (reader.tag_and_type()) {
      case varint_field(2):
        temporality = reader.get_int32();
        break;
      case varint_field(3):
        monotonic = reader.get_bool();
        break;
      default:
        reader.skip();
    }
  }
  for (pbf_reader reader = reader_of(bytes); reader.next();) {
    if (reader.tag_and_type() != message_field(1)) {
      reader.skip();
      continue;
    }
    tally.next();
    const auto point = view_of(reader);
    const auto mark = attribute_mark(batch);
    const size_t points = batch.points.size();
    std::string_view reason;
    switch (kind) {
      case DataKind::gauge:
        reason = read_number(batch, metric, point, false, 0, false);
        break;
      case DataKind::sum:
        reason = read_number(batch, metric, point, true, temporality, monotonic);
        break;
      case DataKind::histogram:
        reason = read_explicit(batch, metric, point, temporality, scratch.explicit_bounds);
        break;
      case DataKind::exponential:
        reason = read_exponential(batch, metric, point, temporality, scratch.exponential);
        break;
      case DataKind::summary:
        reason = read_summary(batch, metric, point, scratch.summary);
        break;
    }
    if (reason.empty()) continue;
    tally.reject(reason);
    batch.attributes.resize(mark);
    batch.points.resize(points);
  }
}

void read_metric(MetricBatch& batch, Tally& tally, uint32_t resource, std::string_view bytes,
                 Scratch& scratch) {
  MetricHead metric;
  metric.resource = resource;
  for (pbf_reader reader = reader_of(bytes); reader.next();) {
    switch (reader.tag_and_type()) {
      case message_field(1):
        metric.name = clean_text(batch, view_of(reader));
        break;
      case message_field(2):
        metric.description = clean_text(batch, view_of(reader));
        break;
      case message_field(3):
        metric.unit = clean_text(batch, view_of(reader));
        break;
      default:
        reader.skip();
    }
  }
  for (pbf_reader reader = reader_of(bytes); reader.next();) {
    switch (reader.tag_and_type()) {
      case message_field(5):
      case message_field(7):
      case message_field(9):
      case message_field(10):
      case message_field(11): {
        const auto kind = static_cast<DataKind>(reader.tag());
        read_data(batch, tally, metric, kind, view_of(reader), scratch);
        break;
      }
      default:
        reader.skip();
    }
  }
}

/// Runs a reader and turns what it throws into an Error with its place.
template <class Batch, class ReadRecord>
net::Result<void> guarded(Batch& batch, ReadRecord read_record) {
  Place place{batch.body->data(), batch.body->data()};
  try {
    read_frame(batch, place, read_record);
  } catch (const LimitCrossed& limit) {
    return net::Error{net::Code::too_large, net::Side::downstream, false, limit.sentence};
  } catch (const protozero::exception& fault) {
    return net::Error{net::Code::bad_message, net::Side::downstream, false,
                      "protobuf: " + std::string(fault.what()) + " in the field at byte " +
                          std::to_string(place.at - place.body) + " of " +
                          std::to_string(batch.body->size())};
  }
  return {};
}

}  // namespace

net::Result<void> read_protobuf(TraceBatch& batch, Tally& tally) {
  return guarded(batch, [&](uint32_t resource, std::string_view scope, std::string_view bytes) {
    read_span(batch, tally, resource, scope, bytes);
  });
}

net::Result<void> read_protobuf(MetricBatch& batch, Tally& tally) {
  Scratch scratch;
  return guarded(batch, [&](uint32_t resource, std::string_view, std::string_view bytes) {
    read_metric(batch, tally, resource, bytes, scratch);
  });
}

net::Result<void> read_protobuf(LogBatch& batch, Tally& tally) {
  return guarded(batch, [&](uint32_t resource, std::string_view, std::string_view bytes) {
    read_log(batch, tally, resource, bytes);
  });
}

}  // namespace hms::telemetry::otlp
