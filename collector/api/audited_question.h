// audited_question.h: one question for traces or logs on its way, when questions are audited: who
// asks and what is known on the loop, what the answer touches is added where it is made, and it
// is recorded before the answer goes out.
//
// A question is recorded when it names a marked service, when it names none (it looks through all),
// or when the answer has records of one. Thread: made on the loop, then used by one thread at a
// time.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "collector/audit/audit_log.h"
#include "collector/store/log_store.h"
#include "collector/store/span_store.h"
#include "net/http/server.h"

namespace hms::collector {

class AuditedQuestion {
 public:
  AuditedQuestion(AuditLog& log, AuditRecord who_and_what, bool searches_marked)
      : log_(log), record_(std::move(who_and_what)), searches_marked_(searches_marked) {}

  /// What the answer will have.
  void saw(const Trace& trace);
  void saw(const StoredLog& line);
  /// Whether it is to be recorded, by what is known so far.
  [[nodiscard]] bool concerns() const noexcept {
    return searches_marked_ || !record_.services.empty();
  }
  /// Records it as it is now, if it concerns; then, or at once, `done`. As AuditLog::add.
  void finish(int status, AuditLog::Done done);
  /// The records from here on are told of as `question`, apart from those before.
  void begin_again(std::string question);
  [[nodiscard]] uint64_t records() const noexcept { return record_.records; }

 private:
  AuditLog& log_;
  AuditRecord record_;
  bool searches_marked_;
};
using AuditedPtr = std::shared_ptr<AuditedQuestion>;  // null: questions are not audited

/// What a question says of services beforehand.
struct AuditScope {
  std::string_view question;   // AuditRecord::question
  bool by_id = false;          // names traces: only the answer tells whose they are
  std::string_view service{};  // it names; empty: all
};

/// Who asks, from the request. Null when the audit is off. Thread: the loop's.
[[nodiscard]] AuditedPtr audited_question(AuditLog* log, const net::Request& request,
                                          const AuditScope& scope);

/// 503: the answer was there, and is kept back.
[[nodiscard]] std::string audit_refusal(const net::Error& error);

}  // namespace hms::collector
