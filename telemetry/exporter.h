// exporter.h: brings a spool's batches to a collector, in order, each until it is acknowledged.
//
// POST /v1/traces, /v1/metrics, /v1/logs: application/x-protobuf, Content-Encoding zstd, and the
// identity of the batch:
//   x-hms-batch: <instance uuid>/<boot number>/<sequence>     stored once however often it is sent
//   x-hms-dropped: spool_full=12;spans_limit=3                 records lost since boot, by reason
//   (the ledger's other half)
// Retries after network faults and 429/502/503/504 with back-off 250 ms .. 5 s and full jitter, or
// what Retry-After says (capped at 60 s). 3xx, 401, 403, 404: a gateway that is being set up, or
// not a collector: retried alike while the path was refused for less than `refused_limit`, then
// dropped as "rejected" until the path takes a batch again. Other 4xx: the batch is dropped as
// "rejected" and logged once a minute. Other 5xx (a collector that is stopping answers 500) are
// tried eight times, then dropped alike. One batch in flight. Thread: one loop.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "net/http/client.h"
#include "net/io/timer_wheel.h"
#include "telemetry/recorder.h"
#include "telemetry/spool.h"

namespace hms::telemetry {

struct ExporterOptions {
  std::string collector_url;  // "" : nothing is sent, the spool fills
  uint64_t spool_bytes = 64ULL * 1024 * 1024;
  std::string instance_id;  // UUID text
  uint64_t boot_number = 1;
  net::Millis refused_limit{300'000};  // how long 3xx, 401, 403 and 404 on a path are waited out
};

struct ExporterState {
  bool connected = false;  // the last attempt was acknowledged
  uint64_t last_ack_unix_nanos = 0;
  uint64_t attempts = 0, failures = 0;
};

class Exporter {
 public:
  static std::unique_ptr<Exporter> create(net::Loop& loop, net::HttpClient& client,
                                          ExporterOptions options);
  virtual ~Exporter() = default;
  /// Compresses and queues one uncompressed OTLP protobuf body.
  virtual void add(Signal signal, std::string body, uint64_t records) = 0;
  /// Queues a body that is compressed (zstd) already, of at most 64 MiB uncompressed.
  virtual void add_packed(Signal signal, std::string body, uint64_t records) = 0;
  virtual void count_dropped(const std::string& reason, uint64_t records) = 0;
  /// Sends what is left, at most until `deadline`; then `done(everything was acknowledged)`.
  virtual void flush(net::Millis deadline, std::function<void(bool)> done) = 0;
  [[nodiscard]] virtual const SpoolCounters& counters() const noexcept = 0;
  [[nodiscard]] virtual const ExporterState& state() const noexcept = 0;
};

}  // namespace hms::telemetry
