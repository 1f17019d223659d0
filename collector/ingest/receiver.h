// receiver.h: one telemetry request (OTLP/HTTP or /ingest) into what the engine stores and what the
// sender is told.
//
// Everything that costs time (decompressing, decoding) happens in `receive`, on an executor's
// thread; nothing here knows sockets. Rules of OTLP/HTTP: opentelemetry-proto
// docs/specification.md 1.11: the reply has the request's content type, errors are
// google.rpc.Status, records that are wrong by themselves are counted in partial_success. Records
// outside of the kept time are left out the same way. Thread: any.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "collector/ingest/metric_bounds.h"
#include "collector/store/engine.h"
#include "net/http/server.h"
#include "telemetry/otlp_decode.h"

namespace hms::collector {

enum class IngestPath : uint8_t { ingest, traces, metrics, logs };

struct IngestRequest {
  IngestPath path = IngestPath::ingest;
  std::string content_type, content_encoding, batch_identity, dropped;  // headers as sent
  std::string body;                                                     // as sent
};

struct IngestReply {
  int status = 200;
  uint64_t rejected = 0;  // records or items that were refused by themselves
  std::string content_type, body;
  net::Headers headers;
};

/// What to store, and what to answer once it is; `identity`-less requests without a record have
/// nothing to store.
struct Received {
  IngestUnit unit;
  IngestReply reply;
  bool has_something_to_store = false;
};

struct ReceiverOptions {
  uint32_t retention_days = 30;
  uint32_t metric_retention_days = 30;            // of which the series store takes points
  MetricBounds::ClosedDays closed_metric_days;    // null: none
  uint64_t max_body_bytes = 64ULL * 1024 * 1024;  // also after decompression
};

/// A refusal is an IngestReply: 400, 413, 415.
[[nodiscard]] std::variant<Received, IngestReply> receive(IngestRequest request,
                                                          uint64_t now_unix_nanos,
                                                          const ReceiverOptions& options);

/// The reply to a batch that could not be stored: 503 with Retry-After, 500 for what trying again
/// does not heal.
[[nodiscard]] IngestReply storage_failure(IngestPath path, const std::string& content_type,
                                          const net::Error& error);

/// "spool_full=12;spans_limit=3"; what does not fit that form is left out. At most 32 reasons.
[[nodiscard]] std::map<std::string, uint64_t> parse_dropped(std::string_view header);

}  // namespace hms::collector
