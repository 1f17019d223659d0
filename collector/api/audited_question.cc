#include "collector/api/audited_question.h"

#include <utility>

#include "net/core/clock.h"

namespace hms::collector {

void AuditedQuestion::saw(const Trace& trace) {
  bool marked = false;
  for (const StoredSpan& span : trace.spans) {
    if (!log_.settings().marks(span.service)) continue;
    marked = true;
    record_.add_service(span.service);
  }
  if (marked) record_.add_trace(telemetry::to_hex(trace.id));
  record_.records += trace.spans.size();
}

void AuditedQuestion::saw(const StoredLog& line) {
  ++record_.records;
  if (!log_.settings().marks(line.service)) return;
  record_.add_service(line.service);
  if (!line.trace_id.is_zero()) record_.add_trace(telemetry::to_hex(line.trace_id));
}

void AuditedQuestion::finish(int status, AuditLog::Done done) {
  if (!concerns()) return done({});
  record_.status = status;
  record_.time_unix_nanos = net::unix_nanos();
  log_.add(record_, std::move(done));
}

void AuditedQuestion::begin_again(std::string question) {
  record_.question = std::move(question);
  record_.services.clear();
  record_.trace_ids.clear();
  record_.services_total = record_.traces_total = record_.records = 0;
  searches_marked_ = false;
}

AuditedPtr audited_question(AuditLog* log, const net::Request& request, const AuditScope& scope) {
  if (log == nullptr || !log->settings().on()) return nullptr;
  const AuditSettings& settings = log->settings();
  AuditRecord record;
  record.question = std::string(scope.question);
  record.peer = cut_text(request.peer, AuditRecord::kMaxWhoBytes);
  record.tls_name = cut_text(request.peer_name, AuditRecord::kMaxWhoBytes);
  if (!settings.identity_header.empty())
    record.identity = cut_text(request.header(settings.identity_header), AuditRecord::kMaxWhoBytes);
  record.method = request.method;
  record.path = cut_text(request.path, AuditRecord::kMaxPathBytes);
  const size_t mark = request.target.find('?');
  if (mark != std::string::npos)
    record.query =
        cut_text(std::string_view(request.target).substr(mark + 1), AuditRecord::kMaxQueryBytes);
  const bool names_marked = !scope.service.empty() && settings.marks(scope.service);
  if (names_marked) record.add_service(scope.service);
  const bool searches =
      scope.by_id ? settings.every_service : scope.service.empty() || names_marked;
  return std::make_shared<AuditedQuestion>(*log, std::move(record), searches);
}

std::string audit_refusal(const net::Error& error) {
  return "the question could not be recorded for the audit, so it is not answered: " + error.detail;
}

}  // namespace hms::collector
