// signal_store.h: what the commit thread asks of each kind of store (spans, logs, series), so that
// one group of batches becomes one atomic write.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "collector/store/kv.h"
#include "telemetry/model.h"

namespace hms::collector {

/// One accepted request: what was good in it. Shared, immutable: the store, the live window and the
/// alerts look at the same bytes.
struct AcceptedBatch {
  uint64_t arrived_unix_nanos = 0;
  std::shared_ptr<const telemetry::TraceBatch> traces;  // any of the three may be null
  std::shared_ptr<const telemetry::LogBatch> logs;
  std::shared_ptr<const telemetry::MetricBatch> metrics;
};

class SignalStore {
 public:
  virtual ~SignalStore() = default;
  /// Reads back what it needs before the first write (indexes, heads). Start-up, once.
  [[nodiscard]] virtual net::Result<void> recover(const KvReader& reader) = 0;
  /// Adds its part of a group to the atomic write. Thread: the commit thread. Not yet visible to
  /// readers.
  virtual void prepare(std::span<const AcceptedBatch> group, KvWriter& writer) = 0;
  /// The group is durable: make it visible. Or it failed: forget it (the sender was told and will
  /// send it again). Thread: the commit thread.
  virtual void committed(std::span<const AcceptedBatch> group) = 0;
  virtual void failed(std::span<const AcceptedBatch> group) = 0;
  /// Called about once a second between groups: seal, roll, compact; may write. Thread: the commit
  /// thread.
  virtual void maintain(uint64_t now_unix_nanos, KvWriter& writer) = 0;
  /// The day is on its way to the lake, for good: what still comes for it is kept with the day it
  /// came on, or refused. Thread: the commit thread; also at start-up, after `recover`.
  virtual void seal_day(Family /*day*/) {}
  /// A day is about to be dropped: forget it.
  virtual void forget_day(Family day) = 0;
};

}  // namespace hms::collector
