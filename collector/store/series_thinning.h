// series_thinning.h: which histograms of a series a question over windows can do without.
//
// rate, increase and delta of histograms see of each window its first and last point and both sides
// of every reset. Windows of a question begin and end on a grid; so of each of its intervals only
// these are kept. A busy route's histogram is a kilobyte, and a day of a hundred routes has a
// million: a tenth or less of them is ever made. How many points were left out is kept with the
// next one, because extrapolation wants to know how close together a window's points stood.
// Thread: values.
#pragma once

#include <cstddef>
#include <vector>

#include "collector/store/series_store.h"

namespace hms::collector {

/// Says when a point begins another interval than the one before it. Points rise in time.
class IntervalCursor {
 public:
  explicit IntervalCursor(const Thinning& thinning) : thinning_(thinning) {}
  [[nodiscard]] bool enters(int64_t t_millis) noexcept;

 private:
  Thinning thinning_;
  int64_t end_ = INT64_MIN;  // of the interval that the last point was in
};

/// Whether a cumulative histogram's counts fell anywhere, or its scale changed: a reset, as rate()
/// sees it.
[[nodiscard]] bool histogram_fell(const telemetry::Histogram& now,
                                  const telemetry::Histogram& before) noexcept;

/// Thins the points from `first` on, which rise in time; does nothing if all are wanted.
void thin_histograms(std::vector<HistogramSample>& points, size_t first, const Thinning& thinning);

}  // namespace hms::collector
