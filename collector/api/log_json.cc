#include "collector/api/log_json.h"

#include <array>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "collector/api/attribute_json.h"

namespace hms::collector {
namespace {

using nlohmann::json;

json attribute_json(const StoredAttribute& a) {
  using Kind = telemetry::AttributeValue::Kind;
  if (a.kind == Kind::empty) return nullptr;
  if (a.kind != Kind::json) return attribute_value_json(a);
  json parsed = json::parse(a.text, nullptr, false);
  return parsed.is_discarded() ? json(a.text) : parsed;
}

/// Named by `service` already, or of the sender's library and not of the line.
bool is_of_the_service(std::string_view key) {
  return key == "service.name" || key.substr(0, 14) == "telemetry.sdk.";
}

}  // namespace

std::string iso_time(uint64_t unix_nanos) {
  const auto seconds = static_cast<time_t>(unix_nanos / 1'000'000'000ULL);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 64> text{};
  const int length = std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ",
                                   parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                                   parts.tm_hour, parts.tm_min, parts.tm_sec,
                                   static_cast<unsigned>(unix_nanos / 1'000'000ULL % 1'000ULL));
  return {text.data(), static_cast<size_t>(length)};
}

json log_json(const StoredLog& log) {
  json line = json::object();
  for (const StoredAttribute& a : log.resource_attributes) {
    if (!is_of_the_service(a.key)) line[a.key] = attribute_json(a);
  }
  for (const StoredAttribute& a : log.attributes) line[a.key] = attribute_json(a);
  line["ts"] = iso_time(log.time_unix_nanos);
  line["level"] = log.level;
  line["service"] = log.service;
  line["msg"] = log.message;
  if (!log.severity.empty())
    line["severity"] = log.severity;
  else
    line.erase("severity");
  if (!log.trace_text.empty())
    line["traceId"] = log.trace_text;
  else if (!log.trace_id.is_zero())
    line["traceId"] = telemetry::to_hex(log.trace_id);
  else
    line.erase("traceId");
  if (!log.span_id.is_zero()) line["spanId"] = telemetry::to_hex(log.span_id);
  return line;
}

}  // namespace hms::collector
