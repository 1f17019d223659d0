#include "collector/api/query_task.h"

#include <exception>
#include <nlohmann/json.hpp>
#include <utility>

#include "net/core/clock.h"
#include "net/core/log.h"
#include "net/http/compress.h"

namespace hms::collector {
namespace {

constexpr auto kJson = "application/json";
constexpr size_t kCompressFrom = 1024;

/// A question on its way: made on the loop, worked on by one thread of the executor.
struct Question {
  std::function<QueryAnswer(const std::function<bool()>&)> work;
  QueryLimits limits;
  uint64_t asked_at = 0;
  bool gzip = false;
  std::atomic<bool> gone{false};

  [[nodiscard]] bool late() const {
    return net::monotonic_nanos() - asked_at >
           static_cast<uint64_t>(limits.deadline.count()) * 1'000'000ULL;
  }

  QueryAnswer answer() {
    const auto too_late = [this] {
      return error_answer(503, "timeout",
                          "the question took longer than " +
                              std::to_string(limits.deadline.count() / 1000) +
                              " s; ask for less at a time, or later");
    };
    if (late()) return too_late();
    QueryAnswer made;
    try {
      made = work([this] { return gone.load(std::memory_order_relaxed) || late(); });
    } catch (const std::exception& thrown) {
      net::log_error("a question could not be answered", {{"error", thrown.what()}});
      return error_answer(500, "internal", "the question could not be answered");
    }
    if (made.status == 503 && late()) return too_late();
    if (made.body.size() > limits.answer_bytes)
      return error_answer(422, "execution",
                          "the answer has " + std::to_string(made.body.size()) +
                              " bytes, at most " + std::to_string(limits.answer_bytes) +
                              " are allowed; ask for less at a time");
    return made;
  }
};

/// On its way to the loop.
struct ReadyAnswer {
  QueryAnswer answer;
  net::Headers extra;
};

}  // namespace

void run_query(net::Loop& loop, Executor& executor, const net::ReplyPtr& reply,
               std::function<QueryAnswer(const std::function<bool()>& cancelled)> work,
               const QueryLimits& limits, AuditedPtr audited) {
  auto question = std::make_shared<Question>();
  question->work = std::move(work);
  question->limits = limits;
  question->asked_at = net::monotonic_nanos();
  question->gzip = reply->accepts_gzip();
  reply->on_gone([question] { question->gone.store(true, std::memory_order_relaxed); });
  // The reply belongs to the loop's thread, also its last reference: it travels there and back
  // inside the task.
  auto kept = std::make_shared<net::ReplyPtr>(reply);
  const bool queued = executor.try_run(
      [&loop, kept = std::move(kept), question, audited = std::move(audited)]() mutable {
        auto ready = std::make_shared<ReadyAnswer>();
        ready->answer = question->answer();
        if (ready->answer.body.size() > kCompressFrom && question->gzip) {
          ready->answer.body = net::gzip_encode(ready->answer.body);
          ready->extra = {{"Content-Encoding", "gzip"}, {"Vary", "Accept-Encoding"}};
        }
        const auto send = [&loop, kept = std::move(kept), ready] {
          loop.post([kept, ready] {
            (*kept)->send(ready->answer.status, kJson, std::move(ready->answer.body),
                          std::move(ready->extra));
            kept->reset();
          });
        };
        if (!audited) return send();
        audited->finish(ready->answer.status, [send, ready](const net::Result<void>& recorded) {
          if (!recorded.ok())
            *ready = {error_answer(503, "unavailable", audit_refusal(recorded.error())),
                      {{"Retry-After", "5"}}};
          send();
        });
      });
  if (!queued) {
    net::send_error(*reply, 503, "unavailable", "too many questions are waiting; try again",
                    {{"Retry-After", "1"}});
  }
}

QueryAnswer error_answer(int status, const std::string& type, const std::string& sentence) {
  const nlohmann::json body = {{"status", "error"}, {"errorType", type}, {"error", sentence}};
  return {status, body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)};
}

QueryAnswer error_answer(const net::Error& error) {
  switch (error.code) {
    case net::Code::bad_message:
      return error_answer(400, "bad_data", error.detail);
    case net::Code::not_found:
      return error_answer(404, "not_found", error.detail);
    case net::Code::too_large:
      return error_answer(422, "execution", error.detail);
    case net::Code::timeout:
      return error_answer(503, "timeout", error.detail);
    case net::Code::canceled:
      return error_answer(503, "canceled", error.detail);
    case net::Code::overloaded:
    case net::Code::unavailable:
      return error_answer(503, "unavailable", error.detail);
    default:
      return error_answer(500, "internal", net::to_string(error));
  }
}

}  // namespace hms::collector
