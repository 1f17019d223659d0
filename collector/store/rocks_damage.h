// rocks_damage.h: files that cannot be read are set aside, and the rest is served.
//
// Of a damaged table file (a checksum that is wrong, cut short, gone) all that can still be read
// and is the newest of its key is written anew; then the file leaves the database. RocksDB lets go
// of a file of the last level only, because tombstones in others would be lost with it; for those
// the database is rebuilt at the next start (rocksdb::RepairDB). Of a damaged log all records but
// the damaged ones are taken. What was set aside is linked or moved to DIR/set-aside, with a list
// (damage.jsonl, one line a file) that is read at each start: who removes that directory says that
// the loss is accepted. Limits: 64 files a process. Thread: any; one at a time.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/listener.h>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "collector/store/kv.h"
#include "net/core/result.h"

namespace hms::collector {

/// The table file that a status blames ("000012.sst"), when what is wrong is the file.
[[nodiscard]] std::optional<std::string> damaged_table_of(const rocksdb::Status& status);

/// Faults that compaction met. It must not end the writing, as RocksDB would have it: the file is
/// set aside before the next commit instead.
class DamageListener final : public rocksdb::EventListener {
 public:
  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* fault) override;
  /// What came since the last call.
  [[nodiscard]] std::vector<rocksdb::Status> take();
  [[nodiscard]] bool any() const noexcept { return any_.load(std::memory_order_relaxed); }

 private:
  std::mutex mutex_;
  std::vector<rocksdb::Status> faults_;
  std::atomic<bool> any_{false};
};

/// One data directory's damaged files.
class RocksDamage {
 public:
  static constexpr size_t kMaxFiles = 64;
  /// Handle of a family; nullptr when it is gone.
  using FindHandle = std::function<std::shared_ptr<rocksdb::ColumnFamilyHandle>(Family)>;

  explicit RocksDamage(std::string directory);

  /// Takes the table out of the database. `writing` is held while keys are compared and written, so
  /// that no commit comes in between. Errors: corrupt (it cannot be taken out now: the database is
  /// rebuilt at the next start; or there are too many), io, no_space.
  [[nodiscard]] net::Result<void> set_table_aside(rocksdb::DB& db, const FindHandle& find,
                                                  std::mutex& writing, const std::string& file,
                                                  const std::string& reason);
  /// Before the logs are read past their damage: keeps them. Errors: io.
  [[nodiscard]] net::Result<void> keep_logs(const std::string& reason);
  /// A table that could not be taken out waits for the next start.
  [[nodiscard]] bool needs_rebuild() const;
  /// Rebuilds the database from the files that can be read. It must not be open. Errors: corrupt,
  /// io, no_space.
  [[nodiscard]] net::Result<void> rebuild(
      const rocksdb::DBOptions& options,
      const std::vector<rocksdb::ColumnFamilyDescriptor>& families,
      const rocksdb::ColumnFamilyOptions& other_families);
  [[nodiscard]] std::vector<Damage> list() const;

 private:
  struct Salvage;
  [[nodiscard]] net::Result<void> make_place() const;
  void record(Damage damage);
  [[nodiscard]] std::string place() const { return directory_ + "/set-aside"; }

  const std::string directory_;
  mutable std::mutex mutex_;     // of the list
  std::mutex one_at_a_time_;     // of set_table_aside
  std::set<std::string> tried_;  // one_at_a_time_
  std::vector<Damage> list_;     // mutex_
};

}  // namespace hms::collector
