#include "collector/api/query_task.h"

#include <nlohmann/json.hpp>

namespace hms::collector {
namespace {

constexpr auto kJson = "application/json";

}  // namespace

void run_query(net::Loop& loop, Executor& executor, const net::ReplyPtr& reply,
               std::function<QueryAnswer(const std::function<bool()>& cancelled)> work) {
  auto gone = std::make_shared<std::atomic<bool>>(false);
  reply->on_gone([gone] { gone->store(true, std::memory_order_relaxed); });
  // The reply belongs to the loop's thread, also its last reference: it travels there and back
  // inside the task.
  auto kept = std::make_shared<net::ReplyPtr>(reply);
  const bool queued = executor.try_run([&loop, kept, gone, work = std::move(work)]() mutable {
    const std::function<bool()> cancelled = [gone] {
      return gone->load(std::memory_order_relaxed);
    };
    auto answer = std::make_shared<QueryAnswer>(work(cancelled));
    loop.post([kept = std::move(kept), answer] {
      (*kept)->send(answer->status, kJson, std::move(answer->body));
      kept->reset();
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
