#include "collector/api/logs_api.h"

#include <array>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "collector/api/jaeger_api.h"
#include "collector/api/query_parameters.h"
#include "collector/api/query_task.h"

namespace hms::collector {
namespace {

using nlohmann::json;

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

json attribute_json(const StoredAttribute& a) {
  using Kind = telemetry::AttributeValue::Kind;
  switch (a.kind) {
    case Kind::empty:
      return nullptr;
    case Kind::text:
      return a.text;
    case Kind::boolean:
      return a.boolean;
    case Kind::integer:
      return a.integer;
    case Kind::real:
      return a.real;
    case Kind::json:
      break;
  }
  json parsed = json::parse(a.text, nullptr, false);
  return parsed.is_discarded() ? json(a.text) : parsed;
}

/// With the names of /ingest; what else the line carried stands beside them under its own name,
/// never over them.
json log_json(const StoredLog& log) {
  json line = json::object();
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

QueryAnswer search(const LogStore& logs, const LogQuery& query,
                   const std::function<bool()>& cancelled) {
  const auto page = logs.search(query, cancelled);
  if (!page) return error_answer(page.error());
  json lines = json::array();
  for (const StoredLog& log : page->logs) lines.push_back(log_json(log));
  json body = {{"logs", std::move(lines)},
               {"cursor", page->cursor.empty() ? json(nullptr) : json(page->cursor)}};
  if (!page->warnings.empty()) body["warnings"] = page->warnings;
  return {200, body.dump(-1, ' ', false, json::error_handler_t::replace)};
}

}  // namespace

void register_logs_api(net::HttpServer& server, net::Loop& loop, Executor& executor,
                       const LogStore& logs) {
  server.route("GET", "/ops/logs", [&](net::Request& request, const net::ReplyPtr& reply) {
    QueryParameters parameters(request);
    LogQuery query;
    query.start_unix_nanos = parameters.time_nanos("start", 0);
    query.end_unix_nanos = parameters.time_nanos("end", 0);
    query.service = parameters.text("service");
    query.level = parameters.text("level");
    query.severity = parameters.text("severity");
    query.text = parameters.text("q");
    query.cursor = parameters.text("cursor");
    query.limit = static_cast<uint32_t>(parameters.limit("limit", 100, 5'000));
    if (const std::string trace = parameters.text("trace"); !trace.empty())
      query.trace_id = trace_id_from_text(trace);
    // A range that ends before it begins would be an empty answer; more likely the two were
    // swapped.
    if (query.end_unix_nanos != 0 && query.end_unix_nanos < query.start_unix_nanos)
      parameters.fail("start", "is after \"end\"");
    if (!parameters.ok()) return net::send_error(*reply, 400, "bad_data", parameters.fault());
    run_query(loop, executor, reply, [&logs, query = std::move(query)](const auto& cancelled) {
      return search(logs, query, cancelled);
    });
  });
}

}  // namespace hms::collector
