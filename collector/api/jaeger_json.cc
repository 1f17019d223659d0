#include "collector/api/jaeger_json.h"

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

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

std::string text_of(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

/// Processes p1, p2, ... one for each different resource.
class Processes {
 public:
  struct Process {
    std::string text, id;  // as JSON
    bool known = false;
  };
  [[nodiscard]] Process of(const StoredSpan& span) const {
    json tags = json::array();
    for (const StoredAttribute& a : span.resource_attributes) {
      if (a.key != "service.name") tags.push_back(tag(a));
    }
    std::string text = text_of({{"serviceName", span.service}, {"tags", std::move(tags)}});
    const auto it = ids_.find(text);
    if (it != ids_.end()) return {std::move(text), it->second, true};
    return {std::move(text), "p" + std::to_string(ids_.size() + 1), false};
  }
  void keep(Process process) {
    if (process.known) return;
    bytes_ += process.text.size();
    ids_.emplace(std::move(process.text), std::move(process.id));
  }
  [[nodiscard]] size_t bytes_with(const Process& process) const noexcept {
    return bytes_ + (process.known ? 0 : process.text.size());
  }
  [[nodiscard]] std::string text() const {
    std::string out = "{";
    for (const auto& [process, id] : ids_)
      out.append(out.size() > 1 ? ",\"" : "\"").append(id).append("\":").append(process);
    return out + "}";
  }

 private:
  std::map<std::string, std::string> ids_;  // by the process as JSON
  size_t bytes_ = 0;
};

json span_json(const StoredSpan& span, const std::string& process) {
  const uint64_t start = span.start_unix_nanos / 1'000, end = span.end_unix_nanos / 1'000;
  json warnings;  // null unless there is something to say
  if (const auto said = warnings_of(span); !said.empty()) warnings = said;
  return {{"traceID", telemetry::to_hex(span.trace_id)},
          {"spanID", telemetry::to_hex(span.span_id)},
          {"operationName", span.name},
          {"references", references_of(span)},
          {"startTime", start},
          {"duration", end > start ? end - start : 0},
          {"tags", tags_of(span)},
          {"logs", logs_of(span)},
          {"processID", process},
          {"warnings", std::move(warnings)}};
}

}  // namespace

void JaegerText::add(Trace trace) {
  if (full()) return leave_out_rest();
  if (traces_++ > 0) {
    end_trace();
    text_ += ',';
  }
  warnings_ = std::move(trace.warnings);
  text_.append("{\"traceID\":\"").append(telemetry::to_hex(trace.id)).append("\",");
  if (!trace.x_trace.empty())
    text_.append("\"xTrace\":").append(text_of(trace.x_trace)).append(",");
  add_spans(std::move(trace.spans));
}

void JaegerText::add_spans(std::vector<StoredSpan> spans) {
  text_ += "\"spans\":[";
  Processes processes;
  size_t shown = 0;
  for (; shown < spans.size() && !cut_; ++shown) {
    StoredSpan span = std::move(spans[shown]);
    Processes::Process process = processes.of(span);
    std::string text = text_of(span_json(span, process.id));
    cut_ = text_.size() + text.size() + processes.bytes_with(process) > limit_;
    if (cut_ && shown > 0) break;
    if (cut_) {
      leave_out_lists(span);
      process = processes.of(span);
      text = text_of(span_json(span, process.id));
      warnings_.push_back(
          "the first span's attributes, events and links and its process's tags are left out" +
          most_text(limit_));
    }
    if (shown > 0) text_ += ',';
    text_ += text;
    processes.keep(std::move(process));
  }
  if (shown < spans.size()) warnings_.push_back(text_full_warning(shown, limit_));
  text_.append("],\"processes\":").append(processes.text());
}

void JaegerText::leave_out_rest() {
  if (!std::exchange(told_, true)) warnings_.push_back(text_full_warning(0, limit_));
}

void JaegerText::end_trace() {
  const json warnings = warnings_.empty() ? json() : json(warnings_);
  text_.append(",\"warnings\":").append(text_of(warnings)).append("}");
}

std::string JaegerText::take() {
  if (traces_ > 0) end_trace();
  text_ += ']';
  return std::move(text_);
}

}  // namespace hms::collector
