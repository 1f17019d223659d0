#include "collector/api/jaeger_api.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "collector/api/jaeger_json.h"
#include "collector/api/query_parameters.h"
#include "collector/api/query_task.h"
#include "collector/api/trace_names.h"
#include "collector/api/trace_warnings.h"
#include "net/core/clock.h"

namespace hms::collector {
namespace {

using nlohmann::json;

constexpr uint64_t kDefaultLookbackNanos =
    3'600'000'000'000ULL;  // Jaeger's own page asks for the last hour
constexpr uint64_t kMaxMicros = 18'000'000'000'000'000ULL;  // keeps nanoseconds within 64 bits
constexpr size_t kMaxTags = 32;

QueryAnswer traces_envelope(JaegerText& traces) {
  const std::string total = std::to_string(traces.traces());
  return {200, "{\"data\":" + traces.take() +
                   ",\"errors\":null,\"limit\":0,\"offset\":0,\"total\":" + total + "}"};
}

QueryAnswer envelope(json data, size_t total, const std::vector<std::string>& warnings = {}) {
  json body = {{"data", std::move(data)},
               {"total", total},
               {"limit", 0},
               {"offset", 0},
               {"errors", nullptr}};
  if (!warnings.empty()) body["warnings"] = warnings;
  return {200, body.dump(-1, ' ', false, json::error_handler_t::replace)};
}

/// Jaeger's clients read `errors`, ours read `error`: both are given.
QueryAnswer jaeger_error(const net::Error& error, const std::string& trace = {}) {
  QueryAnswer answer = error_answer(error);
  json body = json::parse(answer.body);
  body["data"] = nullptr;
  json entry = {{"code", answer.status}, {"msg", error.detail}};
  if (!trace.empty()) entry["traceID"] = trace;
  body["errors"] = json::array({std::move(entry)});
  answer.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  return answer;
}

net::Error bad_request(std::string sentence) {
  return {net::Code::bad_message, net::Side::downstream, false, std::move(sentence)};
}

std::string tag_text(const json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

/// `tags={"k":"v",...}` and any number of `tag=k:v`.
void read_tags(const net::Request& request, QueryParameters& parameters, TraceQuery& query) {
  for (const auto& [name, value] : request.query) {
    if (name == "tag") {
      const size_t colon = value.find(':');
      if (colon == value.npos)
        parameters.fail("tag", "must be key:value");
      else
        query.tags.emplace_back(value.substr(0, colon), value.substr(colon + 1));
    } else if (name == "tags" && !value.empty()) {
      const json parsed = json::parse(value, nullptr, false);
      if (!parsed.is_object()) {
        parameters.fail("tags", "must be a JSON object of texts");
        continue;
      }
      for (const auto& [key, text] : parsed.items()) query.tags.emplace_back(key, tag_text(text));
    }
  }
  if (query.tags.size() > kMaxTags) parameters.fail("tags", "at most 32 tags");
  // "error" is a column of its own: true narrows the search before any span is read.
  const auto error = std::find_if(query.tags.begin(), query.tags.end(),
                                  [](const auto& tag) { return tag.first == "error"; });
  if (error != query.tags.end()) {
    query.error = error->second == "true";
    query.tags.erase(error);
  }
}

net::Result<TraceQuery> read_query(const net::Request& request) {
  QueryParameters parameters(request);
  TraceQuery query;
  query.service = parameters.text("service");
  query.operation = parameters.text("operation");
  if (query.operation == "all") query.operation.clear();
  const uint64_t now = net::unix_nanos();
  query.end_unix_nanos = parameters.integer("end", now / 1'000, kMaxMicros) * 1'000;
  const uint64_t earliest = query.end_unix_nanos > kDefaultLookbackNanos
                                ? query.end_unix_nanos - kDefaultLookbackNanos
                                : 0;
  query.start_unix_nanos = parameters.integer("start", earliest / 1'000, kMaxMicros) * 1'000;
  query.min_duration_nanos = parameters.go_duration_nanos("minDuration", 0);
  query.max_duration_nanos = parameters.go_duration_nanos("maxDuration", 0);
  query.limit = static_cast<uint32_t>(parameters.limit("limit", 100, 1'500));
  read_tags(request, parameters, query);
  if (!parameters.ok()) return bad_request(parameters.fault());
  if (query.start_unix_nanos > query.end_unix_nanos)
    return bad_request("parameter \"start\": is after \"end\"");
  return query;
}

QueryAnswer traces_by_id(const SpanStore& spans, const std::vector<std::string>& ids,
                         const AuditedPtr& audited, const std::function<bool()>& cancelled) {
  JaegerText data(trace_text_limit(spans));
  for (const std::string& text : ids) {
    if (data.full()) {
      data.leave_out_rest();
      break;
    }
    if (cancelled())
      return jaeger_error({net::Code::canceled, net::Side::downstream, false, "cancelled"});
    auto trace = trace_named(spans, text);
    if (!trace) return jaeger_error(trace.error(), text);
    if (audited) audited->saw(*trace);
    data.add(std::move(trace).value());
  }
  return traces_envelope(data);
}

QueryAnswer search(const SpanStore& spans, const TraceQuery& query, const AuditedPtr& audited,
                   const std::function<bool()>& cancelled) {
  auto traces = spans.search(query, cancelled);
  if (!traces) return jaeger_error(traces.error());
  JaegerText data(trace_text_limit(spans));
  for (Trace& trace : *traces) {
    if (data.full()) {
      data.leave_out_rest();
      break;
    }
    if (audited) audited->saw(trace);
    data.add(std::move(trace));
  }
  return traces_envelope(data);
}

QueryAnswer dependencies(const ServiceEdgeStore& edges, uint64_t start, uint64_t end,
                         const std::function<bool()>& cancelled) {
  const auto totals = edges.totals(start, end, cancelled);
  if (!totals) return jaeger_error(totals.error());
  json data = json::array();
  for (const ServiceEdge& edge : totals->edges) {
    if (edge.from.empty()) continue;
    data.push_back(
        {{"parent", edge.from}, {"child", edge.to}, {"callCount", std::llround(edge.requests)}});
  }
  const size_t total = data.size();
  return envelope(std::move(data), total, totals->warnings);
}

json operations_json(const SpanStore& spans, const std::string& service, const std::string& kind) {
  json data = json::array();
  for (const auto& [name, span_kind] : spans.operations(service)) {
    if (kind.empty() || kind == span_kind)
      data.push_back({{"name", name}, {"spanKind", span_kind}});
  }
  return data;
}

void answer_now(const net::ReplyPtr& reply, json data) {
  const size_t total = data.size();
  QueryAnswer answer = envelope(std::move(data), total);
  reply->send(answer.status, "application/json", std::move(answer.body));
}

void register_lists(net::HttpServer& server, const SpanStore& spans) {
  server.route("GET", "/api/services", [&spans](net::Request&, const net::ReplyPtr& reply) {
    answer_now(reply, json(spans.services()));
  });
  server.route("GET", "/api/services/{service}/operations",
               [&spans](net::Request& request, const net::ReplyPtr& reply) {
                 std::set<std::string> names;
                 for (const auto& [name, kind] : spans.operations(request.path_parameters[0]))
                   names.insert(name);
                 answer_now(reply, json(names));
               });
  server.route(
      "GET", "/api/operations", [&spans](net::Request& request, const net::ReplyPtr& reply) {
        const QueryParameters parameters(request);
        answer_now(reply,
                   operations_json(spans, parameters.text("service"), parameters.text("spanKind")));
      });
}

}  // namespace

void register_jaeger_api(net::HttpServer& server, net::Loop& loop, Executor& executor,
                         const SpanStore& spans, const ServiceEdgeStore& edges, AuditLog* audit) {
  register_lists(server, spans);
  const auto answer_ids = [&loop, &executor, &spans, audit](const net::Request& request,
                                                            const net::ReplyPtr& reply,
                                                            std::vector<std::string> ids) {
    auto audited = audited_question(audit, request, {.question = "trace", .by_id = true});
    run_query(
        loop, executor, reply,
        [&spans, ids = std::move(ids), audited](const auto& cancelled) {
          return traces_by_id(spans, ids, audited, cancelled);
        },
        {}, audited);
  };
  server.route("GET", "/api/traces/{id}",
               [answer_ids](net::Request& request, const net::ReplyPtr& reply) {
                 answer_ids(request, reply, {request.path_parameters[0]});
               });
  server.route("GET", "/api/traces",
               [&loop, &executor, &spans, audit, answer_ids](net::Request& request,
                                                             const net::ReplyPtr& reply) {
                 std::vector<std::string> ids;
                 for (const auto& [name, value] : request.query) {
                   if (name == "traceID" && ids.size() < 100) ids.push_back(value);
                 }
                 if (!ids.empty()) return answer_ids(request, reply, std::move(ids));
                 auto query = read_query(request);
                 if (!query) {
                   QueryAnswer answer = jaeger_error(query.error());
                   reply->send(answer.status, "application/json", std::move(answer.body));
                   return;
                 }
                 auto audited = audited_question(audit, request,
                                                 {.question = "traces", .service = query->service});
                 run_query(
                     loop, executor, reply,
                     [&spans, query = std::move(query).value(), audited](const auto& cancelled) {
                       return search(spans, query, audited, cancelled);
                     },
                     {}, audited);
               });
  server.route("GET", "/api/dependencies", [&](net::Request& request, const net::ReplyPtr& reply) {
    QueryParameters parameters(request);
    const uint64_t end =
        parameters.integer("endTs", net::unix_nanos() / 1'000'000, kMaxMicros / 1'000) * 1'000'000;
    const uint64_t lookback =
        parameters.integer("lookback", 86'400'000, kMaxMicros / 1'000) * 1'000'000;
    if (!parameters.ok()) {
      QueryAnswer answer = jaeger_error(bad_request(parameters.fault()));
      reply->send(answer.status, "application/json", std::move(answer.body));
      return;
    }
    const uint64_t start = end > lookback ? end - lookback : 0;
    run_query(loop, executor, reply, [&edges, start, end](const auto& cancelled) {
      return dependencies(edges, start, end, cancelled);
    });
  });
}

}  // namespace hms::collector
