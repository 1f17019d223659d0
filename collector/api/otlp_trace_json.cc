#include "collector/api/otlp_trace_json.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>
#include <vector>

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

std::string text_of(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string resource_text(const StoredSpan& span) {
  json attributes = attributes_json(span.resource_attributes);
  bool named = false;
  for (const StoredAttribute& a : span.resource_attributes)
    named = named || a.key == "service.name";
  if (!named)
    attributes.push_back({{"key", "service.name"}, {"value", {{"stringValue", span.service}}}});
  return text_of({{"attributes", std::move(attributes)}});
}

/// Spans of one resource and one scope stand together, in the order in which they first came.
class Groups {
 public:
  struct Place {
    size_t resource, scope;
    uint32_t span;
  };
  explicit Groups(const std::vector<StoredSpan>& spans) {
    places_.reserve(spans.size());
    for (uint32_t i = 0; i < spans.size(); ++i) {
      const auto resource = ids_.try_emplace(resource_text(spans[i]), ids_.size()).first;
      const auto scope = scopes_.try_emplace({resource->second, spans[i].scope}, scopes_.size());
      places_.push_back({resource->second, scope.first->second, i});
    }
    std::sort(places_.begin(), places_.end(), [](const Place& a, const Place& b) {
      return std::tie(a.resource, a.scope, a.span) < std::tie(b.resource, b.scope, b.span);
    });
    resources_.resize(ids_.size());
    for (const auto& [text, number] : ids_) resources_[number] = &text;
  }
  [[nodiscard]] const std::vector<Place>& places() const noexcept { return places_; }
  [[nodiscard]] const std::string& resource(size_t number) const { return *resources_[number]; }

 private:
  std::vector<Place> places_;
  std::map<std::string, size_t> ids_;  // of resources as JSON
  std::vector<const std::string*> resources_;
  std::map<std::pair<size_t, std::string>, size_t> scopes_;
};

std::string shortened_warning(bool resource_too, size_t limit) {
  return std::string("this span is shown without its attributes, events and links") +
         (resource_too ? " and its resource's attributes" : "") + ", and none is shown after it" +
         most_text(limit);
}

}  // namespace

void OtlpTraceText::add(Trace trace) {
  if (full_) return;
  const Groups groups(trace.spans);
  const Groups::Place* before = nullptr;
  for (const Groups::Place& place : groups.places()) {
    StoredSpan span = std::move(trace.spans[place.span]);
    const bool next_resource = before == nullptr || before->resource != place.resource;
    const bool next_scope = next_resource || before->scope != place.scope;
    std::vector<std::string> warnings = warnings_of(span);
    if (place.span == 0)  // the first by time
      warnings.insert(warnings.end(), trace.warnings.begin(), trace.warnings.end());
    std::string one = text_of(span_json(span, warnings));
    const std::string* resource = &groups.resource(place.resource);
    std::string short_resource;
    full_ = text_.size() + one.size() + (next_resource ? resource->size() : 0) > limit_;
    if (full_) {
      leave_out_lists(span);
      warnings.push_back(shortened_warning(next_resource, limit_));
      one = text_of(span_json(span, warnings));
      short_resource = resource_text(span);
      resource = &short_resource;
    }
    if (before != nullptr) text_ += next_resource ? "]}]}" : next_scope ? "]}" : ",";
    if (next_resource) {
      text_.append(first_ ? "{\"resource\":" : ",{\"resource\":");
      text_.append(*resource).append(",\"scopeSpans\":[");
      first_ = false;
    }
    if (next_scope) {
      const json scope = span.scope.empty() ? json::object() : json{{"name", span.scope}};
      text_.append(next_resource ? "{\"scope\":" : ",{\"scope\":");
      text_.append(text_of(scope)).append(",\"spans\":[");
    }
    text_ += one;
    before = &place;
    if (full_) break;
  }
  if (before != nullptr) text_ += "]}]}";
}

std::string OtlpTraceText::take() {
  text_ += "]}";
  return std::move(text_);
}

}  // namespace hms::collector
