#include "telemetry/otlp_json_records.h"

#include <algorithm>
#include <array>
#include <span>

#include "telemetry/text.h"

namespace hms::telemetry::otlp {

std::string_view kept(BatchStorage& batch, std::string_view text) {
  if (text.empty()) return {};
  const auto cut = clean_text(batch, text);
  return cut.data() >= text.data() && cut.data() < text.data() + text.size()
             ? batch.keep(std::string(cut))
             : cut;
}

namespace {

constexpr std::string_view kKinds[] = {"UNSPECIFIED", "INTERNAL", "SERVER",
                                       "CLIENT",      "PRODUCER", "CONSUMER"};
constexpr std::string_view kStatusCodes[] = {"UNSET", "OK", "ERROR"};
constexpr std::string_view kTemporalities[] = {"UNSPECIFIED", "DELTA", "CUMULATIVE"};
constexpr std::string_view kSeverities[] = {
    "UNSPECIFIED", "TRACE",  "TRACE2", "TRACE3", "TRACE4", "DEBUG",  "DEBUG2", "DEBUG3", "DEBUG4",
    "INFO",        "INFO2",  "INFO3",  "INFO4",  "WARN",   "WARN2",  "WARN3",  "WARN4",  "ERROR",
    "ERROR2",      "ERROR3", "ERROR4", "FATAL",  "FATAL2", "FATAL3", "FATAL4"};

/// An enum is a number in OTLP's JSON; protobuf's own JSON writes its name, and some senders do.
int64_t enum_number(Value value, std::string_view prefix, std::span<const std::string_view> names) {
  const std::string_view text = value.text();
  if (!text.starts_with(prefix)) return value.integer();
  const auto at = std::find(names.begin(), names.end(), text.substr(prefix.size()));
  return at == names.end() ? 0 : at - names.begin();
}

int64_t temporality_number(Value value) {
  return enum_number(value, "AGGREGATION_TEMPORALITY_", kTemporalities);
}

/// A plain JSON text of an AnyValue. False when it has grown past its bound.
bool append_any_json(std::string& out, Value any, int depth) {
  if (out.size() > kMaxTextBytes || depth > kMaxNesting) return false;
  bool whole = true;
  const size_t begin = out.size();
  any.each([&](Value field) {
    if (!whole) return;
    out.resize(begin);
    const auto key = field.key();
    if (key == "stringValue") {
      append_json_text(out, field.text());
    } else if (key == "boolValue") {
      out += field.boolean() ? "true" : "false";
    } else if (key == "intValue") {
      out += std::to_string(field.integer());
    } else if (key == "doubleValue") {
      append_json_number(out, field.real());
    } else if (key == "bytesValue") {
      append_json_text(out, field.text());  // base64 already
    } else if (key == "arrayValue" || key == "kvlistValue") {
      const bool is_map = key == "kvlistValue";
      out += is_map ? '{' : '[';
      bool first = true;
      field.get("values").each([&](Value item) {
        if (!whole) return;
        if (!first) out += ',';
        first = false;
        if (is_map) {
          append_json_text(out, item.get("key").text());
          out += ':';
        }
        whole = append_any_json(out, is_map ? item.get("value") : item, depth + 1);
      });
      out += is_map ? '}' : ']';
    }
  });
  if (out.size() == begin) out += "null";
  return whole && out.size() <= kMaxTextBytes;
}

AttributeValue read_any(BatchStorage& batch, Value any) {
  AttributeValue value;
  any.each([&](Value field) {
    if (value.kind == AttributeValue::Kind::json)
      return;  // read whole already; a repeated key must not cost a pass each
    const auto key = field.key();
    if (key == "stringValue" && field.is(NodeKind::text)) {
      value.kind = AttributeValue::Kind::text;
      value.text = kept(batch, field.text());
    } else if (key == "boolValue" && field.is(NodeKind::boolean)) {
      value.kind = AttributeValue::Kind::boolean;
      value.boolean = field.boolean();
    } else if (key == "intValue") {
      value.kind = AttributeValue::Kind::integer;
      value.integer = field.integer();
    } else if (key == "doubleValue") {
      value.kind = AttributeValue::Kind::real;
      value.real = field.real();
    } else if (key == "arrayValue" || key == "kvlistValue" || key == "bytesValue") {
      std::string json;
      if (!append_any_json(json, any, 1)) {
        json = "\"(left out: larger than 65536 bytes or deeper than 16 levels)\"";
        ++batch.truncated;
      }
      value.kind = AttributeValue::Kind::json;
      value.text = batch.keep(std::move(json));
    }
  });
  return value;
}

}  // namespace

AttributeRange read_attributes(BatchStorage& batch, Value list) {
  AttributeRange range;
  range.begin = attribute_mark(batch);
  list.each([&](Value item) {
    Attribute attribute;
    attribute.key = item.get("key").text();
    if (attribute.key.empty()) return;
    if (batch.attributes.size() - range.begin < kMaxAttributesPerRecord) {
      attribute.key = kept(batch, attribute.key);
      attribute.value = read_any(batch, item.get("value"));
    }
    add_attribute(batch, range.begin, attribute);
  });
  range.end = attribute_mark(batch);
  return range;
}

namespace {

/// Fields that protobuf has as unsigned: there a negative number cannot be written.
struct UnsignedField {
  std::string_view name, reason;
};
constexpr std::array kTimeFields = {
    UnsignedField{"timeUnixNano", "timeUnixNano is negative; it must be 0 or more"},
    UnsignedField{"startTimeUnixNano", "startTimeUnixNano is negative; it must be 0 or more"},
    UnsignedField{"endTimeUnixNano", "endTimeUnixNano is negative; it must be 0 or more"},
    UnsignedField{"observedTimeUnixNano",
                  "observedTimeUnixNano is negative; it must be 0 or more"}};
constexpr std::array kPointFields = {
    kTimeFields[0], kTimeFields[1],
    UnsignedField{"count", "count is negative; it must be 0 or more"},
    UnsignedField{"zeroCount", "zeroCount is negative; it must be 0 or more"},
    UnsignedField{"bucketCounts", "a count of bucketCounts is negative; each must be 0 or more"}};

/// Why a record with a negative number in an unsigned field is left out; "" if it has none.
std::string_view negative_field(std::span<const UnsignedField> fields, Value record) {
  std::string_view reason;
  record.each([&](Value field) {
    if (!reason.empty()) return;
    if (field.key() == "positive" || field.key() == "negative") {
      reason = negative_field(fields, field);
      return;
    }
    for (const UnsignedField& known : fields) {
      if (field.key() != known.name) continue;
      bool negative = field.negative();
      field.each([&](Value item) { negative = negative || item.negative(); });
      if (negative) reason = known.reason;
    }
  });
  return reason;
}

bool take_id(Value value, TraceId& id) {
  const auto parsed = parse_trace_id(value.text());
  if (parsed) id = *parsed;
  return parsed.has_value();
}
bool take_id(Value value, SpanId& id) {
  const auto parsed = parse_span_id(value.text());
  if (parsed) id = *parsed;
  return parsed.has_value();
}

void read_events_and_links(TraceBatch& batch, SpanView& span, Value record) {
  const auto check = [&] {
    if (batch.events.size() + batch.links.size() >= kMaxEventsAndLinks) {
      throw LimitCrossed(
          "more than 1000000 span events and links in one body; send smaller batches");
    }
  };
  span.events_begin = static_cast<uint32_t>(batch.events.size());
  record.get("events").each([&](Value item) {
    if (batch.events.size() - span.events_begin >= kMaxEventsPerSpan) {
      ++batch.truncated;
      return;
    }
    check();
    SpanEventView event;
    event.time_unix_nanos = item.get("timeUnixNano").unsigned_integer();
    event.name = kept(batch, item.get("name").text());
    event.attributes = read_attributes(batch, item.get("attributes"));
    batch.events.push_back(event);
  });
  span.events_end = static_cast<uint32_t>(batch.events.size());
  span.links_begin = static_cast<uint32_t>(batch.links.size());
  record.get("links").each([&](Value item) {
    if (batch.links.size() - span.links_begin >= kMaxEventsPerSpan) {
      ++batch.truncated;
      return;
    }
    check();
    SpanLinkView link;
    if (take_id(item.get("traceId"), link.trace_id) && take_id(item.get("spanId"), link.span_id) &&
        !link.trace_id.is_zero() && !link.span_id.is_zero()) {
      batch.links.push_back(link);
    }
  });
  span.links_end = static_cast<uint32_t>(batch.links.size());
}

}  // namespace

void read_record(TraceBatch& batch, Tally& tally, uint32_t resource, Value record) {
  tally.next();
  if (const auto reason = negative_field(kTimeFields, record); !reason.empty())
    return tally.reject(reason);
  SpanView span;
  span.resource = resource;
  IdFaults faults;
  faults.trace = !take_id(record.get("traceId"), span.trace_id);
  faults.span = !take_id(record.get("spanId"), span.span_id);
  const Value parent = record.get("parentSpanId");
  faults.parent = !parent.text().empty() && !take_id(parent, span.parent_span_id);
  span.name = kept(batch, record.get("name").text());
  span.kind = span_kind(enum_number(record.get("kind"), "SPAN_KIND_", kKinds));
  span.start_unix_nanos = record.get("startTimeUnixNano").unsigned_integer();
  span.end_unix_nanos = record.get("endTimeUnixNano").unsigned_integer();
  const Value status = record.get("status");
  span.status = span_status(enum_number(status.get("code"), "STATUS_CODE_", kStatusCodes));
  span.status_message = kept(batch, status.get("message").text());
  span.attributes = read_attributes(batch, record.get("attributes"));
  read_events_and_links(batch, span, record);
  if (const auto reason = add_span(batch, span, faults); !reason.empty()) {
    tally.reject(reason);
    batch.attributes.resize(span.attributes.begin);
    batch.events.resize(span.events_begin);
    batch.links.resize(span.links_begin);
  }
}

void read_record(LogBatch& batch, Tally& tally, uint32_t resource, Value record) {
  tally.next();
  if (const auto reason = negative_field(kTimeFields, record); !reason.empty())
    return tally.reject(reason);
  LogView log;
  log.resource = resource;
  log.time_unix_nanos = record.get("timeUnixNano").unsigned_integer();
  const int64_t number = enum_number(record.get("severityNumber"), "SEVERITY_NUMBER_", kSeverities);
  log.severity_number = static_cast<uint8_t>(number >= 0 && number <= 24 ? number : 0);
  log.level = kept(batch, record.get("severityText").text());
  log.message = message_of(batch, read_any(batch, record.get("body")));
  if (!take_id(record.get("traceId"), log.trace_id)) log.trace_id = {};
  if (!take_id(record.get("spanId"), log.span_id)) log.span_id = {};
  log.attributes = read_attributes(batch, record.get("attributes"));
  add_log(batch, log, record.get("observedTimeUnixNano").unsigned_integer());
}

namespace {

// === metrics ===

template <class T, class Read>
void fill(Value list, std::vector<T>& out, Read read) {
  list.each([&](Value item) {
    if (out.size() <= kMaxBucketSlots)
      out.push_back(read(item));  // one more than allowed: refused further on
  });
}

void read_buckets(RawBuckets& buckets, Value value) {
  buckets.offset = value.get("offset").integer();
  fill(value.get("bucketCounts"), buckets.counts, [](Value v) { return v.unsigned_integer(); });
}

struct Scratch {
  RawExponential exponential;
  RawExplicit explicit_bounds;
  RawSummary summary;
};

template <class Raw>
void read_extremes(Raw& raw, Value point) {
  raw.count = point.get("count").unsigned_integer();
  raw.sum = point.get("sum").real();
  raw.has_min = point.get("min").present(), raw.min = point.get("min").real();
  raw.has_max = point.get("max").present(), raw.max = point.get("max").real();
}

void read_exemplars(MetricBatch& batch, PointHead& point, Value list) {
  list.each([&](Value item) {
    ExemplarView exemplar;
    exemplar.time_unix_nanos = item.get("timeUnixNano").unsigned_integer();
    const Value integer = item.get("asInt");
    exemplar.value =
        integer.present() ? static_cast<double>(integer.integer()) : item.get("asDouble").real();
    if (!take_id(item.get("traceId"), exemplar.trace_id)) return;
    if (!take_id(item.get("spanId"), exemplar.span_id)) exemplar.span_id = {};
    add_exemplar(batch, point, exemplar);
  });
}

std::string_view read_point(MetricBatch& batch, const MetricHead& metric, std::string_view kind,
                            Value data, Value value, Scratch& scratch) {
  if (const auto reason = negative_field(kPointFields, value); !reason.empty()) return reason;
  PointHead point = begin_point(batch);
  point.start_unix_nanos = value.get("startTimeUnixNano").unsigned_integer();
  point.time_unix_nanos = value.get("timeUnixNano").unsigned_integer();
  point.flags = value.get("flags").unsigned_integer();
  point.attributes = read_attributes(batch, value.get("attributes"));
  read_exemplars(batch, point, value.get("exemplars"));
  const int64_t temporality = temporality_number(data.get("aggregationTemporality"));
  if (kind == "exponentialHistogram") {
    RawExponential& raw = scratch.exponential;
    raw.clear();
    read_extremes(raw, value);
    raw.scale = value.get("scale").integer();
    raw.zero_count = value.get("zeroCount").unsigned_integer();
    read_buckets(raw.positive, value.get("positive"));
    read_buckets(raw.negative, value.get("negative"));
    return add_exponential(batch, metric, point, raw, temporality);
  }
  if (kind == "histogram") {
    RawExplicit& raw = scratch.explicit_bounds;
    raw.clear();
    read_extremes(raw, value);
    fill(value.get("bucketCounts"), raw.counts, [](Value v) { return v.unsigned_integer(); });
    fill(value.get("explicitBounds"), raw.bounds, [](Value v) { return v.real(); });
    return add_explicit(batch, metric, point, raw, temporality);
  }
  if (kind == "summary") {
    RawSummary& raw = scratch.summary;
    raw.clear();
    raw.count = value.get("count").unsigned_integer();
    raw.sum = value.get("sum").real();
    value.get("quantileValues").each([&](Value pair) {
      if (raw.quantiles.size() <= kMaxQuantiles)
        raw.quantiles.emplace_back(pair.get("quantile").real(), pair.get("value").real());
    });
    return add_summary(batch, metric, point, raw);
  }
  const Value real = value.get("asDouble"), integer = value.get("asInt");
  if (!real.present() && !integer.present() && (point.flags & 1) == 0)
    return "the data point has no value";
  const double number = integer.present() ? static_cast<double>(integer.integer()) : real.real();
  if (kind == "sum")
    return add_sum(batch, metric, point, number, temporality, data.get("isMonotonic").boolean());
  return add_gauge(batch, metric, point, number);
}

}  // namespace

void read_record(MetricBatch& batch, Tally& tally, uint32_t resource, Value record) {
  MetricHead metric;
  metric.resource = resource;
  metric.name = kept(batch, record.get("name").text());
  metric.unit = kept(batch, record.get("unit").text());
  metric.description = kept(batch, record.get("description").text());
  Scratch scratch;
  for (const std::string_view kind :
       {"gauge", "sum", "histogram", "exponentialHistogram", "summary"}) {
    const Value data = record.get(kind);
    data.get("dataPoints").each([&](Value point) {
      tally.next();
      const auto mark = attribute_mark(batch);
      const size_t points = batch.points.size(), exemplars = batch.exemplars.size();
      const auto reason = read_point(batch, metric, kind, data, point, scratch);
      if (reason.empty()) return;
      tally.reject(reason);
      batch.attributes.resize(mark);
      batch.points.resize(points);
      batch.exemplars.resize(exemplars);
    });
  }
}

}  // namespace hms::telemetry::otlp
