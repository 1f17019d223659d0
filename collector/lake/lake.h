// lake.h: the days that questions go to the lake for, and their open files.
//
// Which days those are is known from the hot store (StorageEngine::lake_days), so a lake that is
// away makes answers incomplete, with a warning, never silently. Manifests and footers are read
// when first needed and kept: kMaxOpenFiles files. A lake that could not be reached is not asked
// again for kRetryMillis. Thread: any.
#pragma once

#include <atomic>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "collector/lake/block_cache.h"
#include "collector/lake/destination.h"
#include "collector/lake/manifest.h"

namespace hms::collector {

using ManifestPtr = std::shared_ptr<const LakeManifest>;
using ParquetPtr = std::shared_ptr<const ParquetFile>;

class Lake {
 public:
  static constexpr size_t kMaxOpenFiles = 128;
  static constexpr uint64_t kRetryMillis = 5'000;

  /// `cache` (may be null) keeps what is read of a remote lake.
  explicit Lake(std::unique_ptr<LakeDestination> destination,
                std::shared_ptr<BlockCache> cache = nullptr)
      : destination_(std::move(destination)), cache_(std::move(cache)) {}

  [[nodiscard]] const LakeDestination& destination() const noexcept { return *destination_; }

  /// Questions about this day go here from now on. `manifest` may be null: then it is read.
  void publish(uint32_t day, ManifestPtr manifest);
  /// Around the step in which a day leaves the hot store: publish and drop.
  void begin_move() { version_.fetch_add(1); }
  void end_move() { version_.fetch_add(1); }
  /// Odd while a day moves, and another number afterwards: a question that saw either asks again
  /// (federated.h).
  [[nodiscard]] uint64_t version() const noexcept { return version_.load(); }
  [[nodiscard]] std::vector<uint32_t> days() const;  // rising
  [[nodiscard]] bool empty() const;

  /// Errors: unavailable, corrupt, not_found (a day that is not published, or lost).
  [[nodiscard]] net::Result<ManifestPtr> manifest(uint32_t day) const;
  /// An open file of the lake, with its columns checked. Errors: unavailable, corrupt, not_found.
  [[nodiscard]] net::Result<ParquetPtr> table_file(const LakeObject& object, LakeTable table) const;
  [[nodiscard]] net::Result<ParquetPtr> index_file(const LakeObject& object) const;

 private:
  net::Result<ParquetPtr> open(const LakeObject& object, const TableSpec* spec) const;
  struct OpenFile {
    std::string name;
    ParquetPtr file;
  };
  const std::unique_ptr<LakeDestination> destination_;
  const std::shared_ptr<BlockCache> cache_;
  std::atomic<uint64_t> version_{0};
  mutable std::mutex mutex_;
  mutable std::map<uint32_t, ManifestPtr> days_;  // null: not read yet
  mutable std::list<OpenFile> open_;              // used last first
  mutable std::map<std::string, std::list<OpenFile>::iterator> open_by_name_;
  mutable uint64_t away_until_millis_ = 0;
};

/// Why parts of an answer are missing: one sentence a cause, each once.
class LakeWarnings {
 public:
  void add(uint32_t day, const net::Error& error);
  void add(std::string sentence);
  [[nodiscard]] const std::vector<std::string>& sentences() const noexcept { return sentences_; }

 private:
  static constexpr size_t kMax = 16;
  std::vector<std::string> sentences_;
};

}  // namespace hms::collector
