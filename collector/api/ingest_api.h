// ingest_api.h: POST /ingest, /v1/traces, /v1/metrics, /v1/logs: from the socket to the engine and
// back.
//
// The loop only hands over: decoding runs on the executor, storing on the commit thread, and the
// answer comes back by `post`, behind what the observers were handed. Limits: 256 MiB of bodies and
// 512 MiB of decoded batches not yet answered, the executor's queue, and what
// `must_wait` says of memory: beyond any of them 429 with Retry-After, nothing kept. Thread: the
// loop's.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "collector/executor.h"
#include "collector/ingest/given_replies.h"
#include "collector/ingest/receiver.h"
#include "collector/store/engine.h"
#include "net/core/clock.h"
#include "net/http/server.h"
#include "net/io/loop.h"
#include "telemetry/prom_text.h"

namespace hms::collector {

class IngestApi {
 public:
  static constexpr uint64_t kMaxBytesInFlight = 256ULL * 1024 * 1024;
  static constexpr uint64_t kMaxMemoryInFlight = 512ULL * 1024 * 1024;

  /// All must outlive this; the executor and the engine must be closed before this is destroyed.
  /// `must_wait` is asked before each request; null: never.
  IngestApi(net::Loop& loop, Executor& executor, StorageEngine& engine, ReceiverOptions options,
            net::Clock clock, uint64_t max_memory_in_flight = kMaxMemoryInFlight,
            std::function<bool()> must_wait = nullptr);

  /// The OTLP paths, and /ingest too when asked.
  void register_routes(net::HttpServer& server, bool with_ingest);
  void write_metrics(telemetry::PromWriter& writer) const;
  [[nodiscard]] size_t in_flight() const noexcept { return waiting_.size(); }

 private:
  struct Waiting {
    net::ReplyPtr reply;
    IngestPath path;
    uint64_t bytes = 0;
  };
  enum class Settled : uint8_t { stored, repeated, not_stored };
  void handle(IngestPath path, net::Request& request, const net::ReplyPtr& reply);
  /// Thread: the executor's.
  void take(uint64_t number, IngestRequest& request);
  void answer(uint64_t number, IngestReply reply);
  void send(IngestPath path, net::Reply& to, IngestReply reply);

  net::Loop& loop_;
  Executor& executor_;
  StorageEngine& engine_;
  const ReceiverOptions options_;
  const net::Clock clock_;
  const std::function<bool()> must_wait_;
  // Replies belong to the loop's thread, so the others are only given a number.
  std::map<uint64_t, Waiting> waiting_;
  uint64_t next_number_ = 1;
  uint64_t bytes_in_flight_ = 0;
  const uint64_t max_memory_in_flight_;
  std::atomic<uint64_t> memory_in_flight_{0};                // any thread's
  std::map<std::pair<IngestPath, int>, uint64_t> answered_;  // by path and status
  GivenReplies given_;
  std::map<IngestPath, uint64_t> rejected_;
  uint64_t body_bytes_ = 0;
};

}  // namespace hms::collector
