// memory_budget.h: how `--memory` is shared out, and what happens when the process takes more all
// the same.
//
// A quarter to storage (an eighth of it each for opened chunks of spans and of log lines, the rest
// for RocksDB's block cache and memtables), a quarter to questions, three eighths to series
// (their index and recent points: beyond, new series go to the overflow series), an eighth to
// batches that wait to be stored; spans of one answer have a quarter of the questions' share, at
// most 256 MiB, and its text as much, at most 60 MiB; the heads of spans and of log lines keep a
// thirty-second each, at most 32 MiB. What nobody counted shows in the process's resident memory,
// which is looked at every second: over the whole budget the allocator is told to give back what is
// free, and over nine eighths writers are told 429 with Retry-After until it is below the budget,
// or below nine eighths and no longer falling: what stays then is in use, and waiting on would be
// waiting forever. Nothing that was acknowledged is lost. Thread: the loop's. Source:
// /proc/self/statm.
#pragma once

#include <cstdint>

#include "net/core/clock.h"

namespace hms::collector {

struct MemoryShares {
  uint64_t storage = 0, series = 0, queries = 0, waiting = 0;
  uint64_t heads = 0;    // of spans, and as much of log lines
  uint64_t answers = 0;  // spans of one answer; two may be made at a time
  uint64_t chunks = 0;   // opened ones of spans, and as much of log lines; both are part of storage
};
[[nodiscard]] MemoryShares share_memory(uint64_t budget) noexcept;

class MemoryGuard {
 public:
  explicit MemoryGuard(uint64_t budget) noexcept : budget_(budget) {}
  /// Whether writers must wait, after `resident` bytes were seen.
  bool look(uint64_t resident) noexcept;
  [[nodiscard]] bool must_wait() const noexcept { return must_wait_; }
  [[nodiscard]] uint64_t resident() const noexcept { return resident_; }
  [[nodiscard]] uint64_t budget() const noexcept { return budget_; }

 private:
  const uint64_t budget_;
  uint64_t resident_ = 0;
  bool must_wait_ = false;
};

/// Bytes of this process in memory; 0 when not known.
[[nodiscard]] uint64_t resident_bytes() noexcept;
/// Free memory of the allocator goes back to the system.
void give_back_memory() noexcept;

}  // namespace hms::collector
