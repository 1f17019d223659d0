// series_head.h: one series' recent points in memory, and what is needed to add deltas up.
//
// Points that come in order go into compressed blocks; the newest one is kept plain, because a
// point of the same time replaces it. Late points (older than the newest) are kept apart and merged
// when read; where both have a point at one time, the one that came last wins. Limits: 10,000 late
// points a series between two seals (beyond: refused, counted). Thread: not synchronised; the store
// locks.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "collector/store/series_chunk.h"
#include "collector/store/series_store.h"

namespace hms::collector {

using HistogramPtr = std::shared_ptr<const telemetry::Histogram>;

struct SeriesPoint {
  int64_t t_millis = 0;
  double value = 0;
  HistogramPtr histogram;  // null: a number
};

class SeriesHead {
 public:
  /// False: too many late points.
  [[nodiscard]] bool add(const SeriesPoint& point);
  [[nodiscard]] bool empty() const noexcept { return !tail_ && sealing_.empty(); }
  [[nodiscard]] bool has_unsealed() const noexcept { return tail_.has_value(); }
  [[nodiscard]] int64_t first_millis() const noexcept { return first_millis_; }
  [[nodiscard]] int64_t last_millis() const noexcept { return last_millis_; }
  [[nodiscard]] size_t bytes() const noexcept;
  /// Brings what add() will touch near.
  void prefetch() const noexcept {
    if (!open_) return;
    constexpr size_t kTouched = 192;  // the histogram before, which is last, is not
    const auto* bytes = reinterpret_cast<const char*>(open_.get());
    for (size_t line = 0; line < kTouched; line += 64) __builtin_prefetch(bytes + line, 1);
  }
  [[nodiscard]] size_t blocks() const noexcept {
    return closed_.size() + sealing_.size() + (open_ ? 1 : 0);
  }

  /// Closes what there is and hands it over to be stored; it stays readable until drop_sealing().
  void begin_sealing();
  [[nodiscard]] const std::vector<BlockPtr>& sealing() const noexcept { return sealing_; }
  void drop_sealing() noexcept { sealing_.clear(); }

  /// Copies of what overlaps (start, end], to be decoded without the lock.
  struct Snapshot {
    std::vector<BlockPtr> blocks;
    std::vector<SeriesPoint> plain;
    /// Whether there is a point in [begin, end).
    [[nodiscard]] bool reaches(int64_t begin, int64_t end) const;
  };
  void snapshot(int64_t start_millis, int64_t end_millis, Snapshot& out) const;

 private:
  void flush_tail();
  // What every point touches stands first (prefetch_series).
  std::unique_ptr<BlockWriter> open_;
  std::optional<SeriesPoint> tail_;  // the newest, not yet in `open_`
  int64_t first_millis_ = INT64_MAX,
          last_millis_ = INT64_MIN;  // of all points since the start, in memory or not
  std::vector<BlockPtr> closed_;
  std::vector<BlockPtr> sealing_;
  std::vector<SeriesPoint> late_;  // in order of arrival
  size_t closed_bytes_ = 0;
};

/// Sorts by time and keeps the last of each time.
void merge_points(std::vector<Sample>& samples, std::vector<HistogramSample>& histograms);

}  // namespace hms::collector
