// dedupe.h: which of a sender's numbered batches are stored: a high-water mark and the gaps below
// it, as a few intervals.
//
// Counting begins at the first number seen: what a sender sent before this collector knew it is not
// "missing". A number below that, when it comes late, is new. At most kMaxIntervals are kept;
// beyond, the lowest gap is given up: its batches stay counted as missing, and one of them that
// comes after all is stored without a look-up (a second copy is a smaller harm than an acknowledged
// loss). Thread: one owner at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

namespace hms::collector {

class SequenceSet {
 public:
  static constexpr size_t kMaxIntervals = 1024;

  [[nodiscard]] bool contains(uint64_t sequence) const noexcept;
  /// Adds one that is not contained.
  void insert(uint64_t sequence);
  [[nodiscard]] bool empty() const noexcept { return intervals_.empty(); }
  [[nodiscard]] uint64_t highest() const noexcept {
    return intervals_.empty() ? 0 : intervals_.rbegin()->second;
  }
  /// Numbers between the lowest and the highest that were never stored.
  [[nodiscard]] uint64_t missing() const noexcept;

  /// First and last number of each stored run, rising, not touching.
  [[nodiscard]] const std::map<uint64_t, uint64_t>& intervals() const noexcept {
    return intervals_;
  }
  [[nodiscard]] uint64_t given_up() const noexcept { return given_up_; }
  /// Rebuilds a stored set; false if the runs are not rising and apart.
  [[nodiscard]] bool restore(std::map<uint64_t, uint64_t> intervals, uint64_t given_up);

 private:
  std::map<uint64_t, uint64_t> intervals_;  // begin -> end, inclusive
  uint64_t given_up_ = 0;                   // missing numbers below the lowest interval
};

}  // namespace hms::collector
