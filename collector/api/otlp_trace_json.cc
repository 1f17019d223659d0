#include "collector/api/otlp_trace_json.h"

#include <map>
#include <nlohmann/json.hpp>

#include "collector/api/trace_warnings.h"

namespace hms::collector {
namespace {

using nlohmann::json;

/// Arrays and maps that are kept as JSON, as AnyValue again. At most 16 levels: decoders keep no
/// more.
json any_of_json(const json& value, bool top) {
  switch (value.type()) {
    case json::value_t::string:
      // At the top only bytes are kept as a JSON text, in base64 already.
      return {{top ? "bytesValue" : "stringValue", value}};
    case json::value_t::boolean:
      return {{"boolValue", value}};
    case json::value_t::number_integer:
    case json::value_t::number_unsigned:
      return {{"intValue", value.dump()}};
    case json::value_t::number_float:
      return {{"doubleValue", value}};
    case json::value_t::array: {
      json values = json::array();
      for (const json& item : value) values.push_back(any_of_json(item, false));
      return {{"arrayValue", {{"values", std::move(values)}}}};
    }
    case json::value_t::object: {
      json values = json::array();
      for (const auto& [key, item] : value.items())
        values.push_back({{"key", key}, {"value", any_of_json(item, false)}});
      return {{"kvlistValue", {{"values", std::move(values)}}}};
    }
    case json::value_t::null:
    case json::value_t::binary:
    case json::value_t::discarded:
      break;
  }
  return json::object();
}

json any_value(const StoredAttribute& a) {
  using Kind = telemetry::AttributeValue::Kind;
  switch (a.kind) {
    case Kind::empty:
      return json::object();
    case Kind::text:
      return {{"stringValue", a.text}};
    case Kind::boolean:
      return {{"boolValue", a.boolean}};
    case Kind::integer:
      return {{"intValue", std::to_string(a.integer)}};
    case Kind::real:
      return {{"doubleValue", a.real}};
    case Kind::json:
      break;
  }
  const json parsed = json::parse(a.text, nullptr, false);
  return parsed.is_discarded() ? json{{"stringValue", a.text}} : any_of_json(parsed, true);
}

json attributes_json(const std::vector<StoredAttribute>& attributes) {
  json list = json::array();
  for (const StoredAttribute& a : attributes)
    list.push_back({{"key", a.key}, {"value", any_value(a)}});
  return list;
}

json warnings_attribute(const std::vector<std::string>& warnings) {
  json values = json::array();
  for (const std::string& warning : warnings) values.push_back({{"stringValue", warning}});
  return {{"key", "@jaeger@warnings"},
          {"value", {{"arrayValue", {{"values", std::move(values)}}}}}};
}

json events_json(const StoredSpan& span) {
  json events = json::array();
  for (const StoredEvent& event : span.events) {
    events.push_back({{"timeUnixNano", std::to_string(event.time_unix_nanos)},
                      {"name", event.name},
                      {"attributes", attributes_json(event.attributes)}});
  }
  return events;
}

json links_json(const StoredSpan& span) {
  json links = json::array();
  for (const auto& [trace, id] : span.links)
    links.push_back({{"traceId", telemetry::to_hex(trace)}, {"spanId", telemetry::to_hex(id)}});
  return links;
}

json span_json(const StoredSpan& span, const std::vector<std::string>& warnings) {
  json attributes = attributes_json(span.attributes);
  if (!warnings.empty()) attributes.push_back(warnings_attribute(warnings));
  json out = {{"traceId", telemetry::to_hex(span.trace_id)},
              {"spanId", telemetry::to_hex(span.span_id)},
              {"name", span.name},
              {"kind", static_cast<int>(span.kind)},
              {"startTimeUnixNano", std::to_string(span.start_unix_nanos)},
              {"endTimeUnixNano", std::to_string(span.end_unix_nanos)},
              {"attributes", std::move(attributes)},
              {"status", json::object()}};
  if (!span.parent_span_id.is_zero()) out["parentSpanId"] = telemetry::to_hex(span.parent_span_id);
  if (span.status != telemetry::SpanStatus::unset)
    out["status"]["code"] = static_cast<int>(span.status);
  if (!span.status_message.empty()) out["status"]["message"] = span.status_message;
  if (!span.events.empty()) out["events"] = events_json(span);
  if (!span.links.empty()) out["links"] = links_json(span);
  return out;
}

/// Spans of one resource and one scope stand together, in the order in which they first came.
class Grouped {
 public:
  void add(const StoredSpan& span, const std::vector<std::string>& warnings) {
    json attributes = attributes_json(span.resource_attributes);
    bool named = false;
    for (const StoredAttribute& a : span.resource_attributes)
      named = named || a.key == "service.name";
    if (!named)
      attributes.push_back({{"key", "service.name"}, {"value", {{"stringValue", span.service}}}});
    const std::string key = attributes.dump(-1, ' ', false, json::error_handler_t::replace);
    const auto [resource, fresh] = resources_.try_emplace(key, all_.size());
    if (fresh) {
      all_.push_back(
          {{"resource", {{"attributes", std::move(attributes)}}}, {"scopeSpans", json::array()}});
    }
    json& scopes = all_[resource->second]["scopeSpans"];
    const auto [scope, added] = scopes_.try_emplace({resource->second, span.scope}, scopes.size());
    if (added) {
      json named_scope = span.scope.empty() ? json::object() : json{{"name", span.scope}};
      scopes.push_back({{"scope", std::move(named_scope)}, {"spans", json::array()}});
    }
    scopes[scope->second]["spans"].push_back(span_json(span, warnings));
  }
  json take() { return std::move(all_); }

 private:
  json all_ = json::array();
  std::map<std::string, size_t> resources_;
  std::map<std::pair<size_t, std::string>, size_t> scopes_;
};

}  // namespace

json otlp_traces(const std::vector<Trace>& traces) {
  json all = json::array();
  for (const Trace& trace : traces) {
    Grouped grouped;
    bool first = true;
    for (const StoredSpan& span : trace.spans) {
      std::vector<std::string> warnings = warnings_of(span);
      if (first && trace.cut) warnings.push_back(cut_warning());
      if (first) warnings.insert(warnings.end(), trace.warnings.begin(), trace.warnings.end());
      first = false;
      grouped.add(span, warnings);
    }
    for (json& resource : grouped.take()) all.push_back(std::move(resource));
  }
  return {{"resourceSpans", std::move(all)}};
}

}  // namespace hms::collector
