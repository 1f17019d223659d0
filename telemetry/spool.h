// spool.h: finished batches waiting for the collector, bounded in bytes. In memory now; the same
// interface takes a folder later.
//
// First in, first out. When full, the oldest trace batch is dropped first, then the oldest of any
// kind, but never the front while it is pinned (on its way). What is dropped is counted by reason
// and by record kind, and told to the collector with the next batch. Thread: the exporter's loop.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <string>

#include "telemetry/otlp_decode.h"

namespace hms::telemetry {

struct SpooledBatch {
  Signal signal = Signal::traces;
  uint64_t sequence = 0;
  uint64_t records = 0;
  std::string body;  // as it goes on the wire (compressed)
};

struct SpoolCounters {
  uint64_t batches_added = 0, records_added = 0;
  uint64_t batches_acknowledged = 0, records_acknowledged = 0;
  uint64_t bytes = 0, batches = 0;
  std::array<uint64_t, 3> dropped_by_signal{};  // records of batches, by Signal
  std::map<std::string, uint64_t>
      dropped_records;  // reason -> records: "spool_full", "rejected", "too_large"
};

class Spool {
 public:
  explicit Spool(uint64_t max_bytes);
  void add(SpooledBatch batch);
  [[nodiscard]] const SpooledBatch* front() const noexcept;  // the next to send, or nullptr
  /// While pinned, the front stays whatever is added. Ends with the front.
  void pin_front(bool pinned) noexcept;
  /// `rejected_records`: how many of it the collector says it left out (counted as "rejected").
  void acknowledge_front(uint64_t rejected_records = 0);
  void drop_front(const std::string& reason);
  /// Adds to the dropped counts without a batch (spans that never reached one).
  void count_dropped(const std::string& reason, uint64_t records);
  [[nodiscard]] const SpoolCounters& counters() const noexcept;

 private:
  void drop_oldest();
  void remove(std::deque<SpooledBatch>::iterator at);
  void count_lost(const std::string& reason, const SpooledBatch& batch);

  uint64_t max_bytes_;
  bool front_pinned_ = false;
  std::deque<SpooledBatch> batches_;
  SpoolCounters counters_;
};

}  // namespace hms::telemetry
