// chunk_head.h: the head of a day: records that do not fill a chunk yet. Each group of them is on
// disk as a small chunk of its own (so that nothing acknowledged is lost) and in memory (so that
// questions need not read those); when there is enough for a full chunk, that is written and the
// small ones are removed in the same atomic write.
//
// Why: at 100 records a second a chunk per group costs 100 bytes and more a record, a full one 25.
// Thread: the commit thread changes it; `view` from any. Sequence: stage, then commit or roll_back;
// what upkeep has sealed is cleared by `settle`, which is called when upkeep's write is known to be
// on disk.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "collector/store/kv.h"
#include "collector/store/signal_store.h"
#include "telemetry/model.h"

namespace hms::collector {

inline constexpr size_t kRecordsPerChunk = 8'000;              // docs/adr/0004-storage-layout.md
inline constexpr uint64_t kChunkWeight = 16ULL * 1024 * 1024;  // bytes of texts in one chunk
inline constexpr uint64_t kHeadsWeight = 32ULL * 1024 * 1024;  // of all days, if not told less
inline constexpr uint64_t kChunkCacheBytes = 16ULL * 1024 * 1024;  // opened, if not told otherwise
inline constexpr uint64_t kQuietNanos = 600'000'000'000ULL;  // a day gone by is sealed after this

/// Records of one batch, by their place in it, in the order in which they came.
template <class Batch>
struct HeadPart {
  std::shared_ptr<const Batch> batch;
  std::vector<uint32_t> rows;
};

/// A chunk that will be merged: its number and the newest time in it (spans: not used).
struct SmallChunk {
  uint32_t number = 0;
  uint64_t newest = 0;
};

template <class Batch>
struct DayHead {
  std::vector<std::shared_ptr<const HeadPart<Batch>>> parts;
  std::vector<SmallChunk> chunks;
  size_t rows = 0;
  uint64_t weight = 0;
  uint64_t last_arrival_unix_nanos = 0;
  uint32_t epoch = 0;  // number of the full chunk that its records will be in
  [[nodiscard]] bool empty() const noexcept { return chunks.empty(); }
};

template <class Batch>
class ChunkHeads {
 public:
  using Head = DayHead<Batch>;

  /// As the group being prepared has it. Commit thread.
  [[nodiscard]] Head of(Family day) const {
    if (const auto it = staged_.find(day); it != staged_.end()) return it->second;
    const auto it = heads_.find(day);
    return it == heads_.end() ? Head{} : it->second;
  }
  void stage(Family day, Head head) { staged_[day] = std::move(head); }
  void commit() {
    const std::lock_guard lock(mutex_);
    for (auto& [day, head] : staged_) {
      if (head.empty())
        heads_.erase(day);
      else
        heads_[day] = std::move(head);
    }
    staged_.clear();
  }
  void roll_back() { staged_.clear(); }

  /// All that are not empty, as of now or as the group being prepared has them.
  [[nodiscard]] std::map<Family, Head> prepared() const {
    std::map<Family, Head> all = heads_;
    for (const auto& [day, head] : staged_) all[day] = head;
    std::erase_if(all, [](const auto& entry) { return entry.second.empty(); });
    return all;
  }
  [[nodiscard]] std::map<Family, Head> view() const {
    const std::lock_guard lock(mutex_);
    return heads_;
  }
  /// Weight over all days without copying them. Commit thread.
  [[nodiscard]] uint64_t weight() const {
    uint64_t sum = 0;
    for (const auto& [day, head] : heads_) {
      if (staged_.find(day) == staged_.end()) sum += head.weight;
    }
    for (const auto& [day, head] : staged_) sum += head.weight;
    return sum;
  }

  /// When all heads together weigh too much, `seal(day, head)` writes each as full chunks. Commit
  /// thread, in the preparation of a group.
  template <class Seal>
  void seal_if_heavier(uint64_t most, const Seal& seal) {
    if (weight() <= most) return;
    for (const auto& [day, head] : prepared()) {
      seal(day, head);
      stage(day, {});
    }
  }
  /// Upkeep: the same for days gone by that have been quiet for a while, but for those that are on
  /// their way to the lake: they are being read, and will be dropped.
  template <class Seal>
  void seal_quiet(uint64_t now_unix_nanos, const std::set<Family>& leaving, const Seal& seal) {
    settle();
    for (const Family day : quiet(now_unix_nanos)) {
      if (leaving.contains(day)) continue;
      seal(day, of(day));
      sealed_.insert(day);
    }
  }

  /// Days gone by that have been quiet for a while. Commit thread.
  [[nodiscard]] std::vector<Family> quiet(uint64_t now_unix_nanos) const {
    std::vector<Family> days;
    for (const auto& [day, head] : heads_) {
      if (day < Family::of_unix_nanos(now_unix_nanos) && sealed_.find(day) == sealed_.end() &&
          head.last_arrival_unix_nanos + kQuietNanos < now_unix_nanos)
        days.push_back(day);
    }
    return days;
  }
  void settle() {
    if (sealed_.empty()) return;
    const std::lock_guard lock(mutex_);
    for (const Family day : sealed_) heads_.erase(day);
    sealed_.clear();
  }
  void forget(Family day) {
    const std::lock_guard lock(mutex_);
    heads_.erase(day);
    staged_.erase(day);
    sealed_.erase(day);
  }
  void restore(Family day, Head head) {
    const std::lock_guard lock(mutex_);
    heads_[day] = std::move(head);
  }

 private:
  mutable std::mutex mutex_;
  std::map<Family, Head> heads_;   // changed under mutex_, by the commit thread only
  std::map<Family, Head> staged_;  // the commit thread's, as what follows
  std::set<Family> sealed_;
};

/// A record of a group: its batch (of whoever holds the group) and its place in it.
template <class Batch>
struct HeadRecord {
  const std::shared_ptr<const Batch>* owner = nullptr;
  uint32_t row = 0;
  [[nodiscard]] const Batch& batch() const noexcept { return **owner; }
};

/// The records of a group by the day that keeps them, in the order in which they came.
template <class Batch>
struct GroupByDay {
  std::map<Family, std::vector<HeadRecord<Batch>>> days;
  uint64_t arrived_unix_nanos = 0;  // the last of them
};

/// Of the batches in `slot`. `day_of`: the day of record `row` of a batch, by when it came.
template <class Batch, class Size, class DayOf>
[[nodiscard]] GroupByDay<Batch> group_by_day(std::span<const AcceptedBatch> group,
                                             std::shared_ptr<const Batch> AcceptedBatch::*slot,
                                             const Size& records_in, const DayOf& day_of) {
  GroupByDay<Batch> out;
  std::vector<HeadRecord<Batch>>* last = nullptr;
  Family last_day;
  for (const AcceptedBatch& accepted : group) {
    const std::shared_ptr<const Batch>& batch = accepted.*slot;
    if (!batch) continue;
    out.arrived_unix_nanos = std::max(out.arrived_unix_nanos, accepted.arrived_unix_nanos);
    for (uint32_t row = 0; row < records_in(*batch); ++row) {
      const Family day = day_of(*batch, row, accepted.arrived_unix_nanos);
      if (last == nullptr || day != last_day) {
        last = &out.days[day];
        last_day = day;
      }
      last->push_back({&batch, row});
    }
  }
  return out;
}

/// Whether keeping these records' batches alive would keep far more than the records: then the head
/// keeps what the small chunk decodes to.
template <class Batch>
[[nodiscard]] bool pins_too_much(std::span<const HeadRecord<Batch>> records, uint64_t weight) {
  uint64_t pinned = 0;
  const Batch* last = nullptr;
  for (const HeadRecord<Batch>& record : records) {
    const Batch& batch = record.batch();
    if (&batch == last) continue;
    last = &batch;
    pinned += (batch.body ? batch.body->size() : 0) +
              batch.attributes.size() * sizeof(telemetry::Attribute);
  }
  return pinned > 2 * weight + 65'536;
}

/// Consecutive records of one batch become one part.
template <class Batch>
[[nodiscard]] std::vector<std::shared_ptr<const HeadPart<Batch>>> parts_of(
    std::span<const HeadRecord<Batch>> records) {
  std::vector<std::shared_ptr<const HeadPart<Batch>>> parts;
  for (size_t i = 0; i < records.size();) {
    auto part = std::make_shared<HeadPart<Batch>>();
    part->batch = *records[i].owner;
    for (; i < records.size() && *records[i].owner == part->batch; ++i)
      part->rows.push_back(records[i].row);
    parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace hms::collector
