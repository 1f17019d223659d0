// engine.h: the storage seam: batches in, once each, acknowledged when durable; spans, logs and
// series out.
//
// `append` may be called from any thread; batches are gathered (under load for about 50 ms, or 4
// MiB) and written as one atomic group with their senders' high-water marks; `done` comes after the
// write-ahead log is synced. A batch whose identity was stored before is answered like the first
// time and stored not again. Observers see each newly stored batch once, after it is durable.
// Retention drops whole days. Limits: max_waiting_bytes of batches waiting (beyond:
// Code::overloaded, answered 429 with Retry-After). Nothing above this header knows RocksDB.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "collector/store/signal_store.h"
#include "net/core/clock.h"

namespace hms::collector {

/// `x-hms-batch: <instance uuid>/<boot number>/<sequence>`.
struct BatchIdentity {
  std::string instance;  // at most 64 bytes
  uint64_t boot = 0;
  uint64_t sequence = 0;
};
[[nodiscard]] net::Result<BatchIdentity> parse_batch_identity(std::string_view header);

struct IngestUnit {
  AcceptedBatch batch;
  std::optional<BatchIdentity> identity;
  std::string service;  // who sends, for the ledger
  std::map<std::string, uint64_t>
      reported_dropped;       // `x-hms-dropped`: reason -> records since that boot
  uint64_t bytes = 0;         // as sent, decompressed: for the gathering bound
  uint64_t memory_bytes = 0;  // what it holds while it waits: for the bound on waiting batches
};

struct AppendOutcome {
  bool repeated = false;
};

struct SenderLedger {
  std::string instance, service;
  uint64_t boot = 0;
  uint64_t batches_received = 0, batches_stored = 0, batches_repeated = 0, batches_missing = 0;
  uint64_t records_received = 0, records_stored = 0, records_repeated = 0;
  uint64_t last_sequence = 0;
  uint64_t last_seen_unix_nanos = 0;
  std::map<std::string, uint64_t> dropped;
};

/// Since start.
struct EngineCounters {
  uint64_t days_dropped_for_age = 0, days_dropped_for_room = 0;
  uint64_t batches_stored = 0, batches_repeated = 0, batches_failed = 0, batches_refused = 0,
           records_stored = 0;
};

struct EngineOptions {
  KvOptions kv;
  uint32_t retention_days = 30;
  bool keep_old_days =
      false;  // days past the retention wait for the lake (`retire_day`) instead of being dropped
  uint64_t max_waiting_bytes = 256ULL * 1024 * 1024;
  uint64_t min_free_bytes = 0;  // below: the oldest day is dropped, never today (not with
                                // keep_old_days); 0: no floor
  net::Clock clock;             // Unix nanoseconds; default the wall clock
  /// The disk failed in a way that only a restart heals. Thread: the commit thread. Default:
  /// batches go on being answered with an error.
  std::function<void(const net::Error&)> on_broken;
};

class StorageEngine {
 public:
  virtual ~StorageEngine() = default;
  using Done = std::function<void(net::Result<AppendOutcome>)>;
  /// Thread: any. `done` is called on the commit thread; at once, on the caller's, when the batch
  /// is refused (overloaded, or unavailable after `close`).
  virtual void append(IngestUnit unit, Done done) = 0;
  /// Called on the commit thread with each newly stored batch. Set before the first append.
  virtual void observe(std::function<void(const AcceptedBatch&)> observer) = 0;
  /// Runs `fill` as an atomic write of its own between groups (alert state, canaries, silences).
  /// `done` as for append.
  virtual void write(std::function<void(KvWriter&)> fill,
                     std::function<void(net::Result<void>)> done) = 0;
  /// Closes a day for good, also over restarts: nothing is written into it any more. A step on its
  /// way to the lake; sealing twice is as once.
  virtual void seal_day(Family day, std::function<void(net::Result<void>)> done) = 0;
  /// The lake has the sealed day: records that, calls `switch_over` (questions go to the lake from
  /// here on), and drops the day. A crash in between drops it at the next start.
  virtual void retire_day(Family day, std::function<void()> switch_over,
                          std::function<void(net::Result<void>)> done) = 0;
  /// What became of days on their way to the lake. Any thread.
  enum class DayState : uint8_t { sealed = 1, in_lake = 2 };
  [[nodiscard]] virtual std::map<Family, DayState> lake_days() const = 0;
  [[nodiscard]] virtual const KvReader& reader() const = 0;
  [[nodiscard]] virtual std::vector<SenderLedger> ledger() const = 0;  // any thread
  [[nodiscard]] virtual KvStats stats() const = 0;                     // any thread
  [[nodiscard]] virtual bool failing()
      const noexcept = 0;  // the disk refused the last write; any thread
  [[nodiscard]] virtual std::vector<Damage> damage() const { return {}; }  // Kv::damage
  [[nodiscard]] virtual EngineCounters counters() const = 0;               // any thread
  /// Thread: any. As Kv::backup.
  [[nodiscard]] virtual net::Result<BackupReport> backup(const std::string& directory) = 0;
  /// Writes what waits and stops. No append afterwards.
  virtual void close() = 0;
};

/// `stores` must outlive the engine. Errors as open_rocks_kv.
[[nodiscard]] net::Result<std::unique_ptr<StorageEngine>> open_engine(
    const EngineOptions& options, std::vector<SignalStore*> stores);

}  // namespace hms::collector
