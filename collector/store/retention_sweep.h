// retention_sweep.h: takes what is past its own retention out of a day whose other records are kept
// longer: a signal with a shorter bound goes as one range, services with a bound of their own chunk
// by chunk.
//
// Works a little at each upkeep (kStepNanos, at least one chunk), on days that are past and at rest
// (no head). What is done is marked in the day (`50 | signal`, the state of retention.h), so that a
// restart begins at most one day over, which changes nothing twice; another configuration, or
// records that came late, have the day done again. Thread: the commit thread; counters from any.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "collector/store/keys.h"
#include "collector/store/kv.h"
#include "collector/store/retention.h"

namespace hms::collector {

struct SweepCounters {
  uint64_t days = 0, records = 0, corrupt_chunks = 0;  // since start; records: of chunks rewritten
};

/// What the store of the signal does.
struct SweptStore {
  /// Nothing of the day waits for a full chunk, nor is it on its way to the lake.
  std::function<bool(Family day)> at_rest;
  /// The number that the next new chunk will have.
  std::function<uint32_t(Family day)> next_number;
  /// Takes the chunk away, if not all of it is kept, and keeps the rest for `finish_step`, or
  /// writes it before, under a new number; how many records went. Chunks numbered `limit` and up
  /// are new ones: left alone. Errors: corrupt.
  std::function<net::Result<uint64_t>(Family day, std::string_view key, std::string_view value,
                                      uint32_t limit, uint32_t age, KvWriter& writer)>
      rewrite;
  /// The end of what is one atomic write.
  std::function<void(Family day, KvWriter& writer)> finish_step;
};

/// Nothing of the day is past its own retention any more: it may go to the lake. Any thread.
[[nodiscard]] bool is_swept(const KvReader& reader, Family day, uint32_t today,
                            const Retention& retention);

class RetentionSweep {
 public:
  static constexpr uint64_t kStepNanos = 40'000'000;

  /// `chunks`: the table of chunks, `tables_end`: the first table after those of the signal.
  RetentionSweep(const char* signal, SignalRetention rules, Table chunks, uint8_t tables_end)
      : signal_(signal), rules_(std::move(rules)), chunks_(chunks), tables_end_(tables_end) {}

  void step(const KvReader& reader, uint64_t now_unix_nanos, const SweptStore& store,
            KvWriter& writer);
  /// Records came for this day.
  void note_written(Family day, uint64_t now_unix_nanos, KvWriter& writer);
  void forget(Family day);
  [[nodiscard]] SweepCounters counters() const;
  [[nodiscard]] const SignalRetention& rules() const noexcept { return rules_; }

 private:
  struct Pass {
    Family day;
    uint64_t state = 0;
    uint32_t age = 0, limit = 0;
    std::string from;
    uint64_t records = 0;
  };
  uint64_t mark_of(const KvReader& reader, Family day);
  std::optional<Pass> next_pass(const KvReader& reader, uint32_t today, const SweptStore& store);
  bool sweep_some(const KvReader& reader, const SweptStore& store, KvWriter& writer);
  void finish(KvWriter& writer);

  const std::string signal_;
  const SignalRetention rules_;
  const Table chunks_;
  const uint8_t tables_end_;
  std::map<Family, uint64_t> marks_;  // as read or written
  std::optional<Pass> pass_;
  uint64_t look_after_ = 0;
  std::atomic<uint64_t> days_{0}, records_{0}, corrupt_{0};
};

}  // namespace hms::collector
