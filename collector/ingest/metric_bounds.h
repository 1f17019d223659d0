// metric_bounds.h: which metric points the series store has no place for, so that whoever sends
// them is told in the answer. The store refuses the same once more by itself (series_store.cc): it
// is the last guard, for a day that is closed between the answer and the write. Thread: one
// request's.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>

#include "telemetry/model.h"

namespace hms::collector {

enum class PointFault : uint8_t { none, old, ahead, closed_day, delta, histogram };
inline constexpr size_t kPointFaults = 6;

class MetricBounds {
 public:
  /// Days (since 1970) that take no more points, as they are in the lake. Asked at most once a
  /// request, and only when a point of a day gone by comes. Null: none. Thread: any.
  using ClosedDays = std::function<std::set<uint32_t>()>;

  MetricBounds(uint64_t now_unix_nanos, uint32_t retention_days, ClosedDays closed_days = nullptr);
  [[nodiscard]] PointFault time_fault(uint64_t unix_nanos);
  [[nodiscard]] static PointFault value_fault(const telemetry::MetricBatch& batch,
                                              const telemetry::MetricPointView& point);
  /// What such a point is, to stand behind "is": "of a day before 2026-10-23, the oldest that ...".
  [[nodiscard]] std::string describe(PointFault fault) const;

 private:
  const int64_t now_millis_;
  const uint32_t retention_days_;
  const ClosedDays closed_days_;
  std::optional<std::set<uint32_t>> closed_;  // once asked
};

}  // namespace hms::collector
