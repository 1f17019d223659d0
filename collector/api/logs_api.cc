#include "collector/api/logs_api.h"

#include <nlohmann/json.hpp>

#include "collector/api/log_json.h"
#include "collector/api/query_parameters.h"
#include "collector/api/query_task.h"
#include "collector/api/trace_names.h"

namespace hms::collector {
namespace {

using nlohmann::json;

constexpr size_t kMaxAttributes = 16;
constexpr size_t kMaxTextBytes = 1024;

/// The same question for each trace that was meant; one that names no trace names no line either.
std::vector<LogQuery> questions_of(const LogQuery& query, const std::string& trace) {
  if (trace.empty()) return {query};
  std::vector<LogQuery> out;
  for (const telemetry::TraceId& id : trace_ids_named(trace)) out.emplace_back(query).trace_id = id;
  return out;
}

/// Of the first question that has lines; later pages are of the same one as the first page.
net::Result<LogPage> first_with_lines(const LogStore& logs, const std::vector<LogQuery>& questions,
                                      const std::function<bool()>& cancelled) {
  for (size_t i = 0; i < questions.size(); ++i) {
    const bool last = i + 1 == questions.size();
    if (!last && !questions[i].cursor.empty()) {
      LogQuery probe = questions[i];
      probe.cursor.clear();
      probe.limit = 1;
      const auto any = logs.search(probe, cancelled);
      if (!any) return any.error();
      if (any->logs.empty() && any->cursor.empty()) continue;
    }
    auto page = logs.search(questions[i], cancelled);
    if (!page || last || !page->logs.empty() || !page->cursor.empty() ||
        !questions[i].cursor.empty())
      return page;
  }
  return LogPage();
}

QueryAnswer search(const LogStore& logs, const std::vector<LogQuery>& questions,
                   const AuditedPtr& audited, const std::function<bool()>& cancelled) {
  const auto page = first_with_lines(logs, questions, cancelled);
  if (!page) return error_answer(page.error());
  json lines = json::array();
  for (const StoredLog& log : page->logs) {
    if (audited) audited->saw(log);
    lines.push_back(log_json(log));
  }
  json body = {{"logs", std::move(lines)},
               {"cursor", page->cursor.empty() ? json(nullptr) : json(page->cursor)}};
  if (!page->warnings.empty()) body["warnings"] = page->warnings;
  return {200, body.dump(-1, ' ', false, json::error_handler_t::replace)};
}

/// `attr=key:value`, any number of times.
void read_attributes(const net::Request& request, QueryParameters& parameters, LogQuery& query) {
  for (const auto& [name, value] : request.query) {
    if (name != "attr") continue;
    const size_t colon = value.find(':');
    if (colon == value.npos || colon == 0)
      parameters.fail("attr", "must be key:value");
    else
      query.attributes.emplace_back(value.substr(0, colon), value.substr(colon + 1));
  }
  if (query.attributes.size() > kMaxAttributes) parameters.fail("attr", "at most 16 attributes");
}

/// What the search and the tail have in common.
LogQuery read_filters(const net::Request& request, QueryParameters& parameters) {
  LogQuery query;
  query.service = parameters.text("service");
  query.level = parameters.text("level");
  query.severity = parameters.text("severity");
  query.text = parameters.text("q");
  if (query.text.size() > kMaxTextBytes) parameters.fail("q", "at most 1024 bytes");
  read_attributes(request, parameters, query);
  return query;
}

void begin_tail(LogTail& tail, const net::ReplyPtr& reply, const std::vector<LogQuery>& any_of,
                const AuditedPtr& audited) {
  if (tail.subscribe(reply, any_of, audited)) return;
  net::send_error(*reply, 503, "unavailable",
                  "the tail has as many readers as it may have; try again later",
                  {{"Retry-After", "5"}});
}

/// Recorded first; the reply waits meanwhile, and belongs to the loop's thread.
void begin_audited_tail(net::Loop& loop, LogTail& tail, const net::ReplyPtr& reply,
                        const std::vector<LogQuery>& any_of, const AuditedPtr& audited) {
  auto kept = std::make_shared<net::ReplyPtr>(reply);
  audited->finish(200, [&loop, &tail, kept, any_of, audited](const net::Result<void>& recorded) {
    std::string refusal = recorded.ok() ? "" : audit_refusal(recorded.error());
    loop.post([&tail, kept, any_of, audited, refusal = std::move(refusal)] {
      if (refusal.empty())
        begin_tail(tail, *kept, any_of, audited);
      else
        net::send_error(**kept, 503, "unavailable", refusal, {{"Retry-After", "5"}});
      kept->reset();
    });
  });
}

}  // namespace

void register_logs_api(net::HttpServer& server, net::Loop& loop, Executor& executor,
                       const LogStore& logs, LogTail& tail, AuditLog* audit) {
  server.route(
      "GET", "/ops/logs",
      [&loop, &executor, &logs, audit](net::Request& request, const net::ReplyPtr& reply) {
        QueryParameters parameters(request);
        LogQuery query = read_filters(request, parameters);
        query.start_unix_nanos = parameters.time_nanos("start", 0);
        query.end_unix_nanos = parameters.time_nanos("end", 0);
        query.cursor = parameters.text("cursor");
        query.limit = static_cast<uint32_t>(parameters.limit("limit", 100, 5'000));
        // A range that ends before it begins would be an empty answer; more likely the two
        // were swapped.
        if (query.end_unix_nanos != 0 && query.end_unix_nanos < query.start_unix_nanos)
          parameters.fail("start", "is after \"end\"");
        if (!parameters.ok()) return net::send_error(*reply, 400, "bad_data", parameters.fault());
        auto audited =
            audited_question(audit, request, {.question = "logs", .service = query.service});
        run_query(
            loop, executor, reply,
            [&logs, questions = questions_of(query, parameters.text("trace")), audited](
                const auto& cancelled) { return search(logs, questions, audited, cancelled); },
            {}, audited);
      });
  server.route("GET", "/ops/logs/tail",
               [&loop, &tail, audit](net::Request& request, const net::ReplyPtr& reply) {
                 QueryParameters parameters(request);
                 const LogQuery query = read_filters(request, parameters);
                 if (!parameters.ok())
                   return net::send_error(*reply, 400, "bad_data", parameters.fault());
                 const auto any_of = questions_of(query, parameters.text("trace"));
                 const auto audited = audited_question(
                     audit, request, {.question = "tail", .service = query.service});
                 if (audited && audited->concerns())
                   begin_audited_tail(loop, tail, reply, any_of, audited);
                 else
                   begin_tail(tail, reply, any_of, nullptr);
               });
}

}  // namespace hms::collector
