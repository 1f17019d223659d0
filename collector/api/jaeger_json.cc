#include "collector/api/jaeger_json.h"

#include <map>
#include <nlohmann/json.hpp>

#include "collector/api/attribute_json.h"
#include "collector/api/trace_warnings.h"
#include "collector/store/span_catalogue.h"

namespace hms::collector {
namespace {

using nlohmann::json;

json tag(const StoredAttribute& a) {
  const json value = attribute_value_json(a);
  const char* const type = value.is_boolean()          ? "bool"
                           : value.is_number_integer() ? "int64"
                           : value.is_number()         ? "float64"
                                                       : "string";
  return {{"key", a.key}, {"type", type}, {"value", value}};
}

json text_tag(std::string_view key, std::string_view value) {
  return {{"key", key}, {"type", "string"}, {"value", value}};
}

json tags_of(const StoredSpan& span) {
  json tags = json::array();
  for (const StoredAttribute& a : span.attributes) tags.push_back(tag(a));
  if (span.kind != telemetry::SpanKind::unspecified)
    tags.push_back(text_tag("span.kind", span_kind_name(span.kind)));
  if (!span.scope.empty()) tags.push_back(text_tag("otel.scope.name", span.scope));
  if (span.status == telemetry::SpanStatus::ok) tags.push_back(text_tag("otel.status_code", "OK"));
  if (span.status == telemetry::SpanStatus::error) {
    tags.push_back(text_tag("otel.status_code", "ERROR"));
    tags.push_back({{"key", "error"}, {"type", "bool"}, {"value", true}});
  }
  if (!span.status_message.empty())
    tags.push_back(text_tag("otel.status_description", span.status_message));
  return tags;
}

json references_of(const StoredSpan& span) {
  json references = json::array();
  if (!span.parent_span_id.is_zero()) {
    references.push_back({{"refType", "CHILD_OF"},
                          {"traceID", telemetry::to_hex(span.trace_id)},
                          {"spanID", telemetry::to_hex(span.parent_span_id)}});
  }
  for (const auto& [trace, id] : span.links) {
    references.push_back({{"refType", "FOLLOWS_FROM"},
                          {"traceID", telemetry::to_hex(trace)},
                          {"spanID", telemetry::to_hex(id)}});
  }
  return references;
}

json logs_of(const StoredSpan& span) {
  json logs = json::array();
  for (const StoredEvent& event : span.events) {
    json fields = json::array({text_tag("event", event.name)});
    for (const StoredAttribute& a : event.attributes) fields.push_back(tag(a));
    logs.push_back({{"timestamp", event.time_unix_nanos / 1'000}, {"fields", std::move(fields)}});
  }
  return logs;
}

/// Processes p1, p2, ... one for each different resource.
class Processes {
 public:
  const std::string& id_of(const StoredSpan& span) {
    json tags = json::array();
    for (const StoredAttribute& a : span.resource_attributes) {
      if (a.key != "service.name") tags.push_back(tag(a));
    }
    json process = {{"serviceName", span.service}, {"tags", std::move(tags)}};
    std::string text = process.dump(-1, ' ', false, json::error_handler_t::replace);
    const auto [it, added] =
        ids_.try_emplace(std::move(text), "p" + std::to_string(ids_.size() + 1));
    if (added) all_[it->second] = std::move(process);
    return it->second;
  }
  json take() { return std::move(all_); }

 private:
  std::map<std::string, std::string> ids_;
  json all_ = json::object();
};

}  // namespace

json jaeger_trace(const Trace& trace) {
  const std::string id = telemetry::to_hex(trace.id);
  Processes processes;
  json spans = json::array();
  for (const StoredSpan& span : trace.spans) {
    const uint64_t start = span.start_unix_nanos / 1'000, end = span.end_unix_nanos / 1'000;
    json warnings;  // null unless there is something to say
    if (const auto said = warnings_of(span); !said.empty()) warnings = said;
    spans.push_back({{"traceID", id},
                     {"spanID", telemetry::to_hex(span.span_id)},
                     {"operationName", span.name},
                     {"references", references_of(span)},
                     {"startTime", start},
                     {"duration", end > start ? end - start : 0},
                     {"tags", tags_of(span)},
                     {"logs", logs_of(span)},
                     {"processID", processes.id_of(span)},
                     {"warnings", std::move(warnings)}});
  }
  json warnings;
  if (trace.cut) warnings = json::array({cut_warning()});
  for (const std::string& sentence : trace.warnings) warnings.push_back(sentence);
  json result = {{"traceID", id},
                 {"spans", std::move(spans)},
                 {"processes", processes.take()},
                 {"warnings", std::move(warnings)}};
  if (!trace.x_trace.empty()) result["xTrace"] = trace.x_trace;
  return result;
}

}  // namespace hms::collector
