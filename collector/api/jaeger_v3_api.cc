#include "collector/api/jaeger_v3_api.h"

#include <nlohmann/json.hpp>

#include "collector/api/json_body.h"
#include "collector/api/otlp_trace_json.h"
#include "collector/api/query_parameters.h"
#include "collector/api/query_task.h"
#include "collector/api/trace_names.h"
#include "collector/api/trace_warnings.h"

namespace hms::collector {
namespace {

using nlohmann::json;

constexpr size_t kMaxAttributes = 32;

/// query.start_time_min as query.startTimeMin.
std::string camel_case(std::string_view name) {
  std::string out;
  bool upper = false;
  for (const char c : name) {
    if (c == '_') {
      upper = true;
      continue;
    }
    out.push_back(upper && c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c);
    upper = false;
  }
  return out;
}

/// The name under which the request has the parameter.
std::string given_name(const QueryParameters& parameters, std::string_view name) {
  const std::string camel = camel_case(name);
  return parameters.text(name).empty() && !parameters.text(camel).empty() ? camel
                                                                          : std::string(name);
}

void read_attributes(QueryParameters& parameters, TraceQuery& query) {
  const std::string text = parameters.text("query.attributes");
  if (text.empty()) return;
  const json parsed = json::parse(text, nullptr, false);
  if (!parsed.is_object()) return parameters.fail("query.attributes", "must be a JSON object");
  if (parsed.size() > kMaxAttributes)
    return parameters.fail("query.attributes", "at most 32 attributes");
  for (const auto& [key, value] : parsed.items()) {
    const std::string wanted = value.is_string() ? value.get<std::string>() : value.dump();
    if (key == "error")
      query.error = wanted == "true";
    else
      query.tags.emplace_back(key, wanted);
  }
}

TraceQuery read_query(QueryParameters& parameters) {
  TraceQuery query;
  const auto name = [&parameters](std::string_view parameter) {
    return given_name(parameters, parameter);
  };
  query.service = parameters.text(name("query.service_name"));
  query.operation = parameters.text(name("query.operation_name"));
  const std::string earliest = name("query.start_time_min"), latest = name("query.start_time_max");
  for (const std::string& time : {earliest, latest}) {
    if (parameters.text(time).empty()) parameters.fail(time, "is required, as RFC 3339");
  }
  query.start_unix_nanos = parameters.time_nanos(earliest, 0);
  query.end_unix_nanos = parameters.time_nanos(latest, 0);
  if (query.start_unix_nanos > query.end_unix_nanos) parameters.fail(earliest, "is after the end");
  query.min_duration_nanos = parameters.go_duration_nanos(name("query.duration_min"), 0);
  query.max_duration_nanos = parameters.go_duration_nanos(name("query.duration_max"), 0);
  const std::string depth = name("query.search_depth"), older = name("query.num_traces");
  query.limit = static_cast<uint32_t>(
      parameters.limit(parameters.text(depth).empty() ? older : depth, 100, 1'500));
  read_attributes(parameters, query);
  return query;
}

QueryAnswer result(const SpanStore& spans, std::vector<Trace> traces) {
  OtlpTraceText text(trace_text_limit(spans));
  for (Trace& trace : traces) text.add(std::move(trace));
  return {200, "{\"result\":" + text.take() + "}"};
}

void register_lists(net::HttpServer& server, const SpanStore& spans) {
  server.route("GET", "/api/v3/services", [&spans](net::Request&, const net::ReplyPtr& reply) {
    reply->send(200, "application/json", dump(json{{"services", spans.services()}}));
  });
  server.route(
      "GET", "/api/v3/operations", [&spans](net::Request& request, const net::ReplyPtr& reply) {
        const QueryParameters parameters(request);
        const std::string service = parameters.text("service");
        if (service.empty())
          return net::send_error(*reply, 400, "bad_data", "parameter \"service\": is required");
        const std::string kind = parameters.text(given_name(parameters, "span_kind"));
        json operations = json::array();
        for (const auto& [name, span_kind] : spans.operations(service)) {
          if (kind.empty() || kind == span_kind)
            operations.push_back({{"name", name}, {"spanKind", span_kind}});
        }
        reply->send(200, "application/json", dump(json{{"operations", std::move(operations)}}));
      });
}

}  // namespace

void register_jaeger_v3_api(net::HttpServer& server, net::Loop& loop, Executor& executor,
                            const SpanStore& spans, AuditLog* audit) {
  register_lists(server, spans);
  server.route(
      "GET", "/api/v3/traces/{id}",
      [&loop, &executor, &spans, audit](net::Request& request, const net::ReplyPtr& reply) {
        auto audited = audited_question(audit, request, {.question = "trace", .by_id = true});
        run_query(
            loop, executor, reply,
            [&spans, id = request.path_parameters[0], audited](const auto&) {
              auto trace = trace_named(spans, id);
              if (!trace) return error_answer(trace.error());
              if (audited) audited->saw(*trace);
              std::vector<Trace> one;
              one.push_back(std::move(trace).value());
              return result(spans, std::move(one));
            },
            {}, audited);
      });
  server.route(
      "GET", "/api/v3/traces",
      [&loop, &executor, &spans, audit](net::Request& request, const net::ReplyPtr& reply) {
        QueryParameters parameters(request);
        TraceQuery query = read_query(parameters);
        if (!parameters.ok()) return net::send_error(*reply, 400, "bad_data", parameters.fault());
        auto audited =
            audited_question(audit, request, {.question = "traces", .service = query.service});
        run_query(
            loop, executor, reply,
            [&spans, query = std::move(query), audited](const auto& cancelled) {
              auto traces = spans.search(query, cancelled);
              if (!traces) return error_answer(traces.error());
              for (size_t i = 0; audited && i < traces->size(); ++i) audited->saw((*traces)[i]);
              return result(spans, std::move(traces).value());
            },
            {}, audited);
      });
}

}  // namespace hms::collector
