#include "collector/api/ingest_api.h"

#include <exception>
#include <string>
#include <utility>
#include <variant>

#include "net/core/log.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;

const char* path_text(IngestPath path) {
  switch (path) {
    case IngestPath::ingest:
      return "/ingest";
    case IngestPath::traces:
      return "/v1/traces";
    case IngestPath::metrics:
      return "/v1/metrics";
    case IngestPath::logs:
      return "/v1/logs";
  }
  return "";
}

}  // namespace

IngestApi::IngestApi(net::Loop& loop, Executor& executor, StorageEngine& engine,
                     ReceiverOptions options, net::Clock clock, uint64_t max_memory_in_flight,
                     std::function<bool()> must_wait)
    : loop_(loop),
      executor_(executor),
      engine_(engine),
      options_(std::move(options)),
      clock_(clock ? std::move(clock) : net::Clock(net::unix_nanos)),
      must_wait_(std::move(must_wait)),
      max_memory_in_flight_(max_memory_in_flight) {}

void IngestApi::register_routes(net::HttpServer& server, bool with_ingest) {
  for (const IngestPath path :
       {IngestPath::ingest, IngestPath::traces, IngestPath::metrics, IngestPath::logs}) {
    if (path == IngestPath::ingest && !with_ingest) continue;
    server.route("POST", path_text(path),
                 [this, path](net::Request& request, const net::ReplyPtr& reply) {
                   handle(path, request, reply);
                 });
  }
}

void IngestApi::handle(IngestPath path, net::Request& request, const net::ReplyPtr& reply) {
  IngestRequest taken;
  taken.path = path;
  taken.content_type = request.header("content-type");
  taken.content_encoding = request.header("content-encoding");
  taken.batch_identity = request.header("x-hms-batch");
  taken.dropped = request.header("x-hms-dropped");
  taken.body = std::move(request.body);
  const uint64_t bytes = taken.body.size();
  body_bytes_ += bytes;
  const std::string content_type = taken.content_type;
  const auto overloaded = [&](const char* what) {
    send(path, *reply,
         storage_failure(path, content_type, Error{Code::overloaded, net::Side::self, true, what}));
  };
  if (must_wait_ && must_wait_()) {
    overloaded("the collector's memory is full for the moment");
    return;
  }
  if (bytes_in_flight_ + bytes > kMaxBytesInFlight) {
    overloaded("too many requests are being stored");
    return;
  }
  const uint64_t number = next_number_++;
  if (!executor_.try_run(
          [this, number, request_ = std::make_shared<IngestRequest>(std::move(taken))] {
            take(number, *request_);
          })) {
    overloaded("too many requests wait to be decoded");
    return;
  }
  bytes_in_flight_ += bytes;
  waiting_.emplace(number, Waiting{reply, path, bytes});
}

void IngestApi::take(uint64_t number, IngestRequest& request) {
  const IngestPath of = request.path;
  std::string type = request.content_type;
  const auto later = [this, number, key = GivenReplies::key_of(request.batch_identity)](
                         IngestReply r, Settled settled, uint64_t memory = 0) {
    loop_.post([this, number, memory, key, settled, answered = std::move(r)]() mutable {
      memory_in_flight_ -= memory;
      // What is stored under this number was answered before: that answer holds.
      const IngestReply* const given = given_.find(key);
      if (settled == Settled::stored)
        given_.remember(key, answered);
      else if (given != nullptr)
        answered = *given;
      answer(number, std::move(answered));
    });
  };
  std::variant<Received, IngestReply> result;
  try {
    result = receive(std::move(request), clock_(), options_);
  } catch (const std::exception& thrown) {  // out of memory, or a library's
    net::log_error("a telemetry request could not be decoded", {{"error", thrown.what()}});
    later(storage_failure(
              of, type,
              Error{Code::unavailable, net::Side::self, true, "the request could not be decoded"}),
          Settled::not_stored);
    return;
  }
  if (auto* refused = std::get_if<IngestReply>(&result)) {
    later(std::move(*refused), Settled::not_stored);
    return;
  }
  auto& received = std::get<Received>(result);
  if (!received.has_something_to_store) {
    later(std::move(received.reply), Settled::not_stored);
    return;
  }
  // Until the answer, which comes after the observers' turn on the loop: a loop that is behind must
  // not let batches pile up before it.
  const uint64_t memory = received.unit.memory_bytes;
  const uint64_t before = memory_in_flight_.fetch_add(memory);
  if (before > 0 && before + memory > max_memory_in_flight_) {
    later(storage_failure(
              of, type,
              Error{Code::overloaded, net::Side::self, true, "too many batches are being stored"}),
          Settled::not_stored, memory);
    return;
  }
  engine_.append(std::move(received.unit), [later, of, memory, content = std::move(type),
                                            good = std::move(received.reply)](
                                               net::Result<AppendOutcome> outcome) mutable {
    if (outcome.ok())
      later(std::move(good), outcome->repeated ? Settled::repeated : Settled::stored, memory);
    else
      later(storage_failure(of, content, outcome.error()), Settled::not_stored, memory);
  });
}

void IngestApi::answer(uint64_t number, IngestReply reply) {
  const auto it = waiting_.find(number);
  if (it == waiting_.end()) return;
  const Waiting waiting = std::move(it->second);
  waiting_.erase(it);
  bytes_in_flight_ -= waiting.bytes;
  send(waiting.path, *waiting.reply, std::move(reply));
}

void IngestApi::send(IngestPath path, net::Reply& to, IngestReply reply) {
  ++answered_[{path, reply.status}];
  rejected_[path] += reply.rejected;
  to.send(reply.status, reply.content_type, std::move(reply.body), std::move(reply.headers));
}

void IngestApi::write_metrics(telemetry::PromWriter& writer) const {
  for (const auto& [key, count] : answered_) {
    writer.counter("hms_collector_ingest_requests_total", "Telemetry requests answered.",
                   {{"path", path_text(key.first)}, {"code", std::to_string(key.second)}},
                   static_cast<double>(count));
  }
  for (const auto& [path, count] : rejected_) {
    writer.counter("hms_collector_ingest_rejected_records_total",
                   "Records refused by themselves, as their senders were told.",
                   {{"path", path_text(path)}}, static_cast<double>(count));
  }
  writer.counter("hms_collector_ingest_body_bytes_total",
                 "Bytes of telemetry request bodies, as sent.", {},
                 static_cast<double>(body_bytes_));
  writer.gauge("hms_collector_ingest_in_flight_bytes", "Bytes of bodies not yet answered.", {},
               static_cast<double>(bytes_in_flight_));
  writer.gauge("hms_collector_ingest_in_flight_memory_bytes",
               "Memory of decoded batches not yet answered.", {},
               static_cast<double>(memory_in_flight_.load()));
}

}  // namespace hms::collector
