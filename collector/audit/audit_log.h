// audit_log.h: the records of who asked, append-only, in the family that outlives days.
//
// `add` comes back after the record is durable; records that wait for the disk together are written
// together, so a burst of questions costs a few syncs. Nothing changes or removes a record but its
// age (AuditSettings::keep_days): at most kRemovedAtOnce a second. It is one of the engine's stores
// (recover, maintain). Limits: kMaxWaiting records waiting for the disk (beyond: refused), a search
// looks at kMaxLooked records and then gives a cursor. Thread: any; maintain: the commit thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "collector/audit/record.h"
#include "collector/audit/settings.h"
#include "collector/store/engine.h"
#include "collector/store/signal_store.h"
#include "telemetry/prom_text.h"

namespace hms::collector {

struct AuditQuery {
  uint64_t start_unix_nanos = 0, end_unix_nanos = UINT64_MAX;  // both included
  std::string service;  // of the record's services; empty: any
  std::string who;      // the peer (with or without its port), TLS name or identity; empty: any
  uint32_t limit = 100;
  std::string cursor;  // from an earlier page
};

struct AuditPage {
  std::vector<AuditRecord> records;  // newest first
  std::string cursor;                // empty: no more
};

class AuditLog final : public SignalStore {
 public:
  static constexpr size_t kMaxWaiting = 10'000;
  static constexpr size_t kMaxLooked = 200'000;
  static constexpr size_t kRemovedAtOnce = 1'000;
  using Done = std::function<void(net::Result<void>)>;

  explicit AuditLog(AuditSettings settings);
  [[nodiscard]] const AuditSettings& settings() const noexcept { return settings_; }
  /// Before the first `add`; `engine` must outlive the log or be closed before it goes.
  void attach(StorageEngine& engine) { engine_ = &engine; }

  /// `done` on the commit thread, or at once on the caller's when it is refused.
  void add(const AuditRecord& record, Done done);
  /// Errors: bad_message (cursor), corrupt, io.
  [[nodiscard]] static net::Result<AuditPage> search(const KvReader& reader,
                                                     const AuditQuery& query);
  /// Everything but the cursor.
  [[nodiscard]] static bool fits(const AuditRecord& record, const AuditQuery& query);
  /// Key and value of a record for one write; sets its id. For who writes without an engine.
  [[nodiscard]] static std::pair<std::string, std::string> encode(AuditRecord record);
  void write_metrics(telemetry::PromWriter& writer) const;

  [[nodiscard]] net::Result<void> recover(const KvReader& reader) override;
  void prepare(std::span<const AcceptedBatch>, KvWriter&) override {}
  void committed(std::span<const AcceptedBatch>) override {}
  void failed(std::span<const AcceptedBatch>) override {}
  void maintain(uint64_t now_unix_nanos, KvWriter& writer) override;
  void forget_day(Family) override {}

 private:
  struct Waiting {
    std::string key, value;
    Done done;
  };
  std::vector<Waiting> take();
  void answer(std::vector<Waiting>& group, const net::Result<void>& outcome);

  const AuditSettings settings_;
  StorageEngine* engine_ = nullptr;
  const KvReader* reader_ = nullptr;  // the commit thread's, as what follows
  uint64_t next_look_ = 0;

  std::mutex mutex_;
  std::vector<Waiting> waiting_;  // mutex_
  bool asked_ = false;            // mutex_: a write that will take what waits is on its way
  std::atomic<uint64_t> recorded_{0}, refused_{0}, removed_{0};
};

}  // namespace hms::collector
