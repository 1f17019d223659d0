// pending_requests.h: requests told by spans that are not yet in the live window's packed
// histograms.
//
// Why: a packed histogram is as long as it has buckets, and counting one span more in it meant
// looking for its cell and reading half of it. Here a cell (a second of a series) that is counted
// often has two lines of the cache, and its histogram is packed anew once for kMost spans. A table
// of fixed size (256 KiB): what meets another cell in its place hands that over. Thread: the
// window's.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace hms::collector {

class PendingRequests {
 public:
  struct Entry {
    int64_t second = 0;
    double sum = 0;  // of the durations, seconds
    uint32_t series = 0;
    uint16_t count = 0, errors = 0;
    std::array<uint16_t, 52> slots{};  // packed_slot() of each duration
    [[nodiscard]] std::span<uint16_t> filled() noexcept { return {slots.data(), count}; }
    [[nodiscard]] bool full() const noexcept { return count == slots.size(); }
  };

  /// The cell's entry, with room for one more. `hand_over(entry)` is called with what must be
  /// counted for good before, `begin()` if the cell has no entry yet.
  template <class HandOver, class Begin>
  Entry& entry_of(int64_t second, uint32_t series, const HandOver& hand_over, const Begin& begin) {
    const size_t place = place_of(second, series);
    Entry& entry = entries_[place];
    const bool same = entry.count > 0 && entry.second == second && entry.series == series;
    if (same && !entry.full()) return entry;
    if (entry.count > 0)
      hand_over(entry);
    else
      used_.push_back(static_cast<uint16_t>(place));
    entry.second = second;
    entry.series = series;
    entry.sum = 0;
    entry.count = entry.errors = 0;
    if (!same) begin();
    return entry;
  }
  /// Hands all over.
  template <class HandOver>
  void take_all(const HandOver& hand_over) {
    for (const uint16_t place : used_) {
      hand_over(entries_[place]);
      entries_[place].count = 0;
    }
    used_.clear();
  }

 private:
  static constexpr size_t kPlaces = 2'048;
  [[nodiscard]] static size_t place_of(int64_t second, uint32_t series) noexcept {
    const uint64_t key = static_cast<uint64_t>(second) << 32 | series;
    return key * 0x9E3779B97F4A7C15ULL >> 53;  // the top 11 bits
  }
  std::vector<Entry> entries_ = std::vector<Entry>(kPlaces);
  std::vector<uint16_t> used_;  // places with a count
};

}  // namespace hms::collector
