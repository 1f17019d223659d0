// ingest_item.cc: field rules of /ingest items (docs/ingest.md).
#include "collector/ingest/ingest_item.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

#include "collector/ingest/ingest_time.h"
#include "net/core/random.h"
#include "telemetry/text.h"

namespace hms::collector {
namespace {

using nlohmann::json;
using telemetry::Attribute;
using telemetry::AttributeRange;
using telemetry::AttributeValue;
using telemetry::BatchStorage;

constexpr size_t kMaxNameBytes = 256;
constexpr size_t kMaxTraceTextBytes = 256;
constexpr size_t kMaxUnitBytes = 63;
constexpr size_t kMaxAttributes = 128;
constexpr double kMaxDurationMillis = 30.0 * 86'400'000;  // as long as anything is kept
constexpr std::string_view kUnknownService = "unknown_service";

using Fault = std::optional<FieldFault>;

Fault fault(std::string field, std::string error) {
  return FieldFault{std::move(field), std::move(error)};
}

/// The member, or nullptr when absent or null.
const json* member(const json& object, const char* name) {
  const auto it = object.find(name);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

std::string type_text(const json& value) {
  return std::string("expected a text, found a") +
         (value.is_array() || value.is_object() ? "n " : " ") + value.type_name();
}

/// Reads an optional text of at most `most` bytes.
Fault read_text(const json& payload, const char* field, size_t most, std::string& out) {
  const json* value = member(payload, field);
  if (value == nullptr) return {};
  const auto* text = value->get_ptr<const std::string*>();
  if (text == nullptr) return fault(field, type_text(*value));
  if (text->size() > most) return fault(field, "longer than " + std::to_string(most) + " bytes");
  out = *text;
  return {};
}

std::string_view keep_cut(BatchStorage& batch, const std::string& text) {
  const std::string_view cut = telemetry::cut_utf8(text, telemetry::kMaxTextBytes);
  if (cut.size() < text.size()) ++batch.truncated;
  return batch.keep(std::string(cut));
}

AttributeValue attribute_value(BatchStorage& batch, const json& value) {
  AttributeValue out;
  switch (value.type()) {
    case json::value_t::string:
      out.kind = AttributeValue::Kind::text;
      out.text = keep_cut(batch, value.get_ref<const std::string&>());
      break;
    case json::value_t::boolean:
      out.kind = AttributeValue::Kind::boolean;
      out.boolean = value.get<bool>();
      break;
    case json::value_t::number_integer:
      out.kind = AttributeValue::Kind::integer;
      out.integer = value.get<int64_t>();
      break;
    case json::value_t::number_unsigned: {
      const auto number = value.get<uint64_t>();
      const bool fits = number <= static_cast<uint64_t>(INT64_MAX);
      out.kind = fits ? AttributeValue::Kind::integer : AttributeValue::Kind::real;
      if (fits)
        out.integer = static_cast<int64_t>(number);
      else
        out.real = static_cast<double>(number);
      break;
    }
    case json::value_t::number_float:
      out.kind = AttributeValue::Kind::real;
      out.real = value.get<double>();
      break;
    case json::value_t::object:
    case json::value_t::array: {
      std::string text = value.dump();
      // Cut JSON is no JSON any more: then it is kept as a text.
      out.kind = text.size() > telemetry::kMaxTextBytes ? AttributeValue::Kind::text
                                                        : AttributeValue::Kind::json;
      out.text = keep_cut(batch, text);
      break;
    }
    case json::value_t::null:
    case json::value_t::binary:
    case json::value_t::discarded:
      break;
  }
  return out;
}

void add_attribute(BatchStorage& batch, uint32_t begin, const std::string& key, const json& value) {
  if (value.is_null() || key.empty()) return;
  if (batch.attributes.size() - begin >= kMaxAttributes) {
    ++batch.truncated;
    return;
  }
  const std::string_view name = telemetry::cut_utf8(key, kMaxNameBytes);
  batch.attributes.push_back(
      Attribute{batch.keep(std::string(name)), attribute_value(batch, value)});
}

AttributeRange end_range(const BatchStorage& batch, uint32_t begin) {
  return {begin, static_cast<uint32_t>(batch.attributes.size())};
}

uint32_t mark(const BatchStorage& batch) { return static_cast<uint32_t>(batch.attributes.size()); }

struct TraceName {
  telemetry::TraceId id;
  std::string text;  // when it is not the id itself
};

/// What OpenTelemetry's loggers print when there is no trace.
bool is_all_zero(const std::string& text) {
  return (text.size() == 32 || text.size() == 36) &&
         text.find_first_not_of("0-") == std::string::npos;
}

Fault read_trace_id(const json& payload, bool required, TraceName& out) {
  std::string text;
  if (auto wrong = read_text(payload, "traceId", kMaxTraceTextBytes, text)) return wrong;
  if (text.empty() || is_all_zero(text)) {
    if (!required) return {};
    return fault("traceId", std::string(text.empty() ? "missing" : "all zeros, which is no trace") +
                                "; expected 32 hex digits, a UUID, or a text of at most 256 bytes");
  }
  out.id = telemetry::trace_id_of_text(text);
  if (!telemetry::is_literal_trace_text(text)) out.text = std::move(text);
  return {};
}

Fault read_span_id(const json& payload, const char* field, telemetry::SpanId& out) {
  std::string text;
  if (auto wrong = read_text(payload, field, kMaxNameBytes, text)) return wrong;
  if (text.empty()) return {};
  const auto id = telemetry::parse_span_id(text);
  if (!id) return fault(field, "expected 16 hex digits");
  out = *id;
  return {};
}

std::string lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  return text;
}

/// OpenTelemetry severity number of what programs call their levels; 0 for names we do not know.
uint8_t severity_number(const std::string& level) {
  static constexpr std::pair<std::string_view, uint8_t> kLevels[] = {
      {"trace", 1},      {"verbose", 1}, {"debug", 5},     {"info", 9},   {"information", 9},
      {"notice", 10},    {"warn", 13},   {"warning", 13},  {"error", 17}, {"err", 17},
      {"severe", 17},    {"fatal", 21},  {"critical", 21}, {"crit", 21},  {"alert", 22},
      {"emergency", 24}, {"emerg", 24},  {"panic", 24}};
  const std::string name = lower(level);
  for (const auto& [known, number] : kLevels) {
    if (name == known) return number;
  }
  return 0;
}

Fault read_number(const json& payload, const char* field, double& out, bool& present) {
  const json* value = member(payload, field);
  present = value != nullptr;
  if (!present) return {};
  if (!value->is_number())
    return fault(field, std::string("expected a number, found ") + value->type_name());
  out = value->get<double>();
  if (!std::isfinite(out)) return fault(field, "is not a finite number");
  return {};
}

/// Seconds of one unit of a timing, or 0.
double seconds_of_unit(const std::string& unit) {
  if (unit.empty() || unit == "ms" || unit == "milliseconds") return 1e-3;
  if (unit == "s" || unit == "seconds") return 1;
  if (unit == "us" || unit == "\xC2\xB5s" || unit == "microseconds") return 1e-6;
  if (unit == "ns" || unit == "nanoseconds") return 1e-9;
  if (unit == "min" || unit == "minutes") return 60;
  return 0;
}

Fault read_span_kind(const json& payload, telemetry::SpanKind& out) {
  std::string text;
  if (auto wrong = read_text(payload, "kind", kMaxNameBytes, text)) return wrong;
  text = lower(text);
  using telemetry::SpanKind;
  if (text.empty())
    out = SpanKind::unspecified;
  else if (text == "internal")
    out = SpanKind::internal;
  else if (text == "server")
    out = SpanKind::server;
  else if (text == "client")
    out = SpanKind::client;
  else if (text == "producer")
    out = SpanKind::producer;
  else if (text == "consumer")
    out = SpanKind::consumer;
  else
    return fault("kind", "expected internal, server, client, producer or consumer");
  return {};
}

/// "ok", "error", "unset", OpenTelemetry's 0..2, or an HTTP status.
Fault read_status(const json& payload, telemetry::SpanStatus& out) {
  using telemetry::SpanStatus;
  const char* expected = "expected \"ok\", \"error\", \"unset\", or an HTTP status";
  const json* value = member(payload, "status");
  if (value == nullptr) return {};
  if (value->is_number_integer()) {
    const auto number = value->get<int64_t>();
    if (number >= 0 && number <= 2)
      out = static_cast<SpanStatus>(number);
    else if (number >= 100 && number <= 599)
      out = number >= 500 ? SpanStatus::error : SpanStatus::unset;
    else
      return fault("status", expected);
    return {};
  }
  const auto* text = value->get_ptr<const std::string*>();
  if (text == nullptr) return fault("status", expected);
  const std::string name = lower(*text);
  if (name == "ok")
    out = SpanStatus::ok;
  else if (name == "error")
    out = SpanStatus::error;
  else if (name == "unset" || name.empty())
    out = SpanStatus::unset;
  else
    return fault("status", expected);
  return {};
}

/// Checks an object of attributes or labels before anything of it is kept.
Fault check_object(const json& payload, const char* field, bool scalars_only, const json*& out) {
  out = member(payload, field);
  if (out == nullptr) return {};
  if (!out->is_object())
    return fault(field, std::string("expected an object, found ") + out->type_name());
  for (const auto& [key, value] : out->items()) {
    if (scalars_only && value.is_structured())
      return fault(std::string(field) + "." + key, "expected a text, a number or a boolean");
  }
  return {};
}

}  // namespace

// ---------------------------------------------------------------- shared fields

Fault ItemReader::read_time(const json& payload, const char* field, uint64_t& out) const {
  const json* value = member(payload, field);
  out = bounds_.now;
  if (value == nullptr) return {};
  std::optional<uint64_t> time;
  if (value->is_number()) {
    time = time_of_unix_millis(value->get<double>());
  } else if (const auto* text = value->get_ptr<const std::string*>()) {
    time = parse_iso_time(*text);
    if (!time && !text->empty() && text->size() <= 20 &&
        std::all_of(text->begin(), text->end(), [](char c) { return c >= '0' && c <= '9'; })) {
      time = time_of_unix_millis(std::strtod(text->c_str(), nullptr));
    }
  }
  if (!time) return fault(field, "expected an ISO 8601 time or Unix milliseconds");
  if (*time < bounds_.oldest) {
    return fault(field, "is of a day before " + bounds_.oldest_day() +
                            ", the oldest that records are kept of (times are Unix milliseconds)");
  }
  if (*time > bounds_.newest)
    return fault(field, "is more than a day ahead of the collector's clock");
  out = *time;
  return {};
}

Fault ItemReader::read_service(const json& payload, std::string& out) const {
  if (auto wrong = read_text(payload, "service", kMaxNameBytes, out)) return wrong;
  if (out.empty()) out = kUnknownService;
  return {};
}

uint32_t ItemReader::resource_of(BatchStorage& batch, ResourceIndex& known,
                                 const std::string& service) {
  if (const auto it = known.find(service); it != known.end()) return it->second;
  const auto index = static_cast<uint32_t>(batch.resources.size());
  const uint32_t begin = mark(batch);
  const std::string_view name = batch.keep(service);
  AttributeValue value;
  value.kind = AttributeValue::Kind::text;
  value.text = name;
  batch.attributes.push_back(Attribute{"service.name", value});
  telemetry::ResourceView resource;
  resource.service_name = name;
  resource.attributes = end_range(batch, begin);
  batch.resources.push_back(resource);
  known.emplace(service, index);
  return index;
}

// ---------------------------------------------------------------- the three types

Fault ItemReader::add(const json& item) {
  if (!item.is_object())
    return fault("", std::string("expected an object, found ") + item.type_name());
  const json* type = member(item, "type");
  const std::string* name = type == nullptr ? nullptr : type->get_ptr<const std::string*>();
  if (name == nullptr) return fault("type", "expected \"log\", \"metric\" or \"trace\"");
  const json* payload = member(item, "payload");
  const bool known = *name == "log" || *name == "metric" || *name == "trace";
  if (!known)
    return fault("type", "expected \"log\", \"metric\" or \"trace\", found \"" +
                             std::string(telemetry::cut_utf8(*name, 64)) + "\"");
  if (payload == nullptr || !payload->is_object()) return fault("payload", "expected an object");
  if (*name == "log") return add_log(*payload);
  if (*name == "metric") return add_metric(*payload);
  return add_span(*payload);
}

Fault ItemReader::add_log(const json& payload) {
  telemetry::LogView log;
  std::string service, level, severity;
  TraceName trace;
  if (auto wrong = read_time(payload, "ts", log.time_unix_nanos)) return wrong;
  if (auto wrong = read_text(payload, "level", kMaxNameBytes, level)) return wrong;
  if (auto wrong = read_text(payload, "severity", kMaxNameBytes, severity)) return wrong;
  if (auto wrong = read_service(payload, service)) return wrong;
  if (auto wrong = read_trace_id(payload, false, trace)) return wrong;
  if (auto wrong = read_span_id(payload, "spanId", log.span_id)) return wrong;
  const json* message = member(payload, "msg");
  if (message == nullptr) return fault("msg", "missing; expected a text");
  if (!message->is_string()) return fault("msg", type_text(*message));

  telemetry::LogBatch& batch = out_.logs;
  log.resource = resource_of(batch, log_resources_, service);
  log.severity_number = severity_number(level);
  log.level = batch.keep(std::move(level));
  // "security" decides who is woken: its case must not.
  std::string folded = lower(severity);
  log.severity = batch.keep(folded == "security" ? std::move(folded) : std::move(severity));
  log.message = keep_cut(batch, message->get_ref<const std::string&>());
  log.trace_id = trace.id;
  log.trace_text = batch.keep(std::move(trace.text));
  const uint32_t begin = mark(batch);
  for (const auto& [key, value] : payload.items()) {
    static constexpr std::string_view kOwn[] = {"ts",      "level",  "severity", "service",
                                                "traceId", "spanId", "msg"};
    if (std::find(std::begin(kOwn), std::end(kOwn), key) == std::end(kOwn))
      add_attribute(batch, begin, key, value);
  }
  log.attributes = end_range(batch, begin);
  batch.logs.push_back(log);
  return {};
}

Fault ItemReader::add_metric(const json& payload) {
  telemetry::MetricPointView point;
  std::string service, name, unit, kind;
  if (auto wrong = read_time(payload, "ts", point.time_unix_nanos)) return wrong;
  if (const PointFault late = metrics_.time_fault(point.time_unix_nanos); late != PointFault::none)
    return fault("ts", "is " + metrics_.describe(late));
  if (auto wrong = read_service(payload, service)) return wrong;
  if (auto wrong = read_text(payload, "name", kMaxNameBytes, name)) return wrong;
  if (name.empty()) return fault("name", "missing; expected a text");
  double value = 0;
  bool present = false;
  if (auto wrong = read_number(payload, "value", value, present)) return wrong;
  if (!present) return fault("value", "missing; expected a number");
  if (auto wrong = read_text(payload, "kind", kMaxNameBytes, kind)) return wrong;
  if (auto wrong = read_text(payload, "unit", kMaxUnitBytes, unit)) return wrong;
  const json* labels = nullptr;
  if (auto wrong = check_object(payload, "labels", true, labels)) return wrong;
  const bool timing = kind == "timing";
  if (kind.empty()) kind = "gauge";
  if (kind != "count" && kind != "gauge" && !timing)
    return fault("kind", "expected \"count\", \"gauge\" or \"timing\"");
  if (kind != "gauge" && value < 0) return fault("value", "a " + kind + " is never negative");
  const double seconds = timing ? seconds_of_unit(unit) : 0;
  if (timing && seconds == 0) return fault("unit", "a timing is in ns, us, ms, s or min");

  telemetry::MetricBatch& batch = out_.metrics;
  point.resource = resource_of(batch, metric_resources_, service);
  point.name = batch.keep(std::move(name));
  point.start_unix_nanos = point.time_unix_nanos;
  if (timing) {
    point.kind = telemetry::PointKind::histogram;
    point.temporality = telemetry::Temporality::delta;
    point.unit = "s";
    point.histogram = static_cast<uint32_t>(batch.histograms.size());
    batch.histograms.emplace_back().record(value * seconds);
  } else {
    point.kind = kind == "count" ? telemetry::PointKind::counter : telemetry::PointKind::gauge;
    point.temporality =
        kind == "count" ? telemetry::Temporality::delta : telemetry::Temporality::cumulative;
    point.unit = batch.keep(std::move(unit));
    point.value = value;
  }
  const uint32_t begin = mark(batch);
  if (labels != nullptr) {
    for (const auto& [key, label] : labels->items()) add_attribute(batch, begin, key, label);
  }
  point.attributes = end_range(batch, begin);
  batch.points.push_back(point);
  return {};
}

Fault ItemReader::add_span(const json& payload) {
  telemetry::SpanView span;
  std::string service, name;
  TraceName trace;
  if (auto wrong = read_trace_id(payload, true, trace)) return wrong;
  if (auto wrong = read_span_id(payload, "spanId", span.span_id)) return wrong;
  if (auto wrong = read_span_id(payload, "parentId", span.parent_span_id)) return wrong;
  if (auto wrong = read_service(payload, service)) return wrong;
  if (auto wrong = read_text(payload, "name", telemetry::kMaxTextBytes, name)) return wrong;
  if (name.empty()) return fault("name", "missing; expected a text");
  if (auto wrong = read_time(payload, "start", span.start_unix_nanos)) return wrong;
  double duration = 0;
  bool present = false;
  if (auto wrong = read_number(payload, "durationMs", duration, present)) return wrong;
  if (duration < 0) return fault("durationMs", "is negative");
  if (duration > kMaxDurationMillis) return fault("durationMs", "is longer than 30 days");
  if (auto wrong = read_status(payload, span.status)) return wrong;
  if (auto wrong = read_span_kind(payload, span.kind)) return wrong;
  const json* attributes = nullptr;
  if (auto wrong = check_object(payload, "attributes", false, attributes)) return wrong;

  telemetry::TraceBatch& batch = out_.traces;
  if (span.span_id.is_zero()) {
    const uint64_t random = net::random_u64() | 1;
    std::memcpy(span.span_id.bytes.data(), &random, sizeof random);
  }
  span.resource = resource_of(batch, span_resources_, service);
  span.trace_id = trace.id;
  span.trace_text = batch.keep(std::move(trace.text));
  span.name = batch.keep(std::move(name));
  span.end_unix_nanos = span.start_unix_nanos + static_cast<uint64_t>(duration * 1e6);
  const uint32_t begin = mark(batch);
  if (attributes != nullptr) {
    for (const auto& [key, value] : attributes->items()) add_attribute(batch, begin, key, value);
  }
  span.attributes = end_range(batch, begin);
  batch.spans.push_back(span);
  return {};
}

}  // namespace hms::collector
