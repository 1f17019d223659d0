#include "collector/store/dedupe.h"

#include <iterator>
#include <utility>

namespace hms::collector {

bool SequenceSet::contains(uint64_t sequence) const noexcept {
  auto after = intervals_.upper_bound(sequence);
  if (after == intervals_.begin()) return false;
  return std::prev(after)->second >= sequence;
}

void SequenceSet::insert(uint64_t sequence) {
  auto after = intervals_.upper_bound(sequence);
  const bool joins_after = after != intervals_.end() && after->first - 1 == sequence;
  const bool joins_before = after != intervals_.begin() && std::prev(after)->second + 1 == sequence;
  if (joins_before) {
    auto before = std::prev(after);
    before->second = joins_after ? after->second : sequence;
    if (joins_after) intervals_.erase(after);
    return;
  }
  if (joins_after) {
    const uint64_t end = after->second;
    intervals_.erase(after);
    intervals_.emplace(sequence, end);
    return;
  }
  const bool was_given_up =
      given_up_ > 0 && !intervals_.empty() && sequence < intervals_.begin()->first;
  if (was_given_up) {
    --given_up_;  // it came after all; remembering it would bring the gap back
    return;
  }
  intervals_.emplace(sequence, sequence);
  if (intervals_.size() > kMaxIntervals) {
    const auto lowest = intervals_.begin();
    const auto next = std::next(lowest);
    given_up_ += next->first - lowest->second - 1;
    intervals_.erase(lowest);
  }
}

uint64_t SequenceSet::missing() const noexcept {
  uint64_t sum = given_up_;
  uint64_t previous_end = 0;
  bool first = true;
  for (const auto& [begin, end] : intervals_) {
    if (!first) sum += begin - previous_end - 1;
    previous_end = end;
    first = false;
  }
  return sum;
}

bool SequenceSet::restore(std::map<uint64_t, uint64_t> intervals, uint64_t given_up) {
  uint64_t previous_end = 0;
  bool first = true;
  for (const auto& [begin, end] : intervals) {
    if (end < begin || (!first && (begin <= previous_end || begin - previous_end < 2)))
      return false;
    previous_end = end;
    first = false;
  }
  intervals_ = std::move(intervals);
  given_up_ = given_up;
  return true;
}

}  // namespace hms::collector
