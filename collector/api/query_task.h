// query_task.h: runs a question on the executor and answers on the loop; a caller that leaves
// cancels it, and so does its deadline. What every query API has in common.
//
// Limits: 30 s a question (PromQL has its own, docs/query.md): 503 timeout; 64 MiB an answer: 422.
// The answer is compressed on the executor's thread. What throws is answered with 500.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "collector/api/audited_question.h"
#include "collector/executor.h"
#include "net/http/server.h"
#include "net/io/loop.h"

namespace hms::collector {

struct QueryAnswer {
  int status = 200;
  std::string body;  // JSON
};

struct QueryLimits {
  net::Millis deadline{30'000};  // from the moment of asking, waiting included
  size_t answer_bytes = 64ULL * 1024 * 1024;
};

/// `work(cancelled)` runs on a thread of the executor. A full executor answers 503 with Retry-After
/// at once. `audited` (may be null) is recorded before the answer goes out; if that fails the
/// answer is 503 instead. Thread: the loop's.
void run_query(net::Loop& loop, Executor& executor, const net::ReplyPtr& reply,
               std::function<QueryAnswer(const std::function<bool()>& cancelled)> work,
               const QueryLimits& limits = {}, AuditedPtr audited = nullptr);

/// {"status":"error","errorType":...,"error":...} with the status that belongs to the code.
[[nodiscard]] QueryAnswer error_answer(const net::Error& error);
[[nodiscard]] QueryAnswer error_answer(int status, const std::string& type,
                                       const std::string& sentence);

}  // namespace hms::collector
