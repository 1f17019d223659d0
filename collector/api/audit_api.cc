#include "collector/api/audit_api.h"

#include <utility>

#include "collector/api/audited_question.h"
#include "collector/api/query_parameters.h"
#include "collector/api/query_task.h"

namespace hms::collector {
namespace {

constexpr uint64_t kMaxPage = 5'000;

QueryAnswer page_of(const KvReader& reader, const AuditQuery& query) {
  const auto page = AuditLog::search(reader, query);
  if (!page) return error_answer(page.error());
  std::string body = "{\"records\":[";
  for (const AuditRecord& record : page->records) {
    if (body.back() == '}') body += ',';
    body += encode_audit_record(record);
  }
  body += "],\"cursor\":" + (page->cursor.empty() ? "null" : '"' + page->cursor + '"') + "}";
  return {200, std::move(body)};
}

}  // namespace

void register_audit_api(net::HttpServer& server, net::Loop& loop, Executor& executor,
                        const KvReader& reader, AuditLog& log) {
  server.route("GET", "/ops/audit", [&](net::Request& request, const net::ReplyPtr& reply) {
    QueryParameters parameters(request);
    AuditQuery query;
    query.start_unix_nanos = parameters.time_nanos("start", 0);
    query.end_unix_nanos = parameters.time_nanos("end", UINT64_MAX);
    query.service = parameters.text("service");
    query.who = parameters.text("who");
    query.cursor = parameters.text("cursor");
    query.limit = static_cast<uint32_t>(parameters.limit("limit", 100, kMaxPage));
    if (query.end_unix_nanos < query.start_unix_nanos) parameters.fail("start", "is after \"end\"");
    if (!parameters.ok()) return net::send_error(*reply, 400, "bad_data", parameters.fault());
    run_query(
        loop, executor, reply,
        [&reader, query = std::move(query)](const auto&) { return page_of(reader, query); }, {},
        audited_question(&log, request, {.question = "audit"}));
  });
}

}  // namespace hms::collector
