// series_rollup.cc: see series_rollup.h.
#include "collector/store/series_rollup.h"

#include <algorithm>
#include <cmath>

#include "collector/store/series_store_impl.h"
#include "collector/store/series_thinning.h"

namespace hms::collector {
namespace {

/// (0, interval] is interval 0, and so on.
int64_t interval_of(int64_t t_millis, int64_t interval) {
  const int64_t t = t_millis - 1;
  return t >= 0 ? t / interval : -((-t + interval - 1) / interval);
}

/// Marks, in each interval, what `pick(first, last of the interval)` says besides its two ends.
template <class Point, class Pick>
std::vector<Point> kept(const std::vector<Point>& points, int64_t interval, const Pick& pick) {
  std::vector<char> keep(points.size());
  size_t first = 0;
  while (first < points.size()) {
    const int64_t number = interval_of(points[first].t_millis, interval);
    size_t last = first;
    while (last + 1 < points.size() && interval_of(points[last + 1].t_millis, interval) == number)
      ++last;
    keep[first] = keep[last] = 1;
    pick(first, last, keep);
    first = last + 1;
  }
  std::vector<Point> out;
  for (size_t i = 0; i < points.size(); ++i) {
    if (keep[i] != 0) out.push_back(points[i]);
  }
  return out;
}

}  // namespace

PointColumns thin_out(const PointColumns& points, int64_t interval_millis) {
  PointColumns out;
  const std::vector<Sample>& samples = points.samples;
  out.samples =
      kept(samples, interval_millis, [&](size_t first, size_t last, std::vector<char>& keep) {
        std::optional<size_t> least, greatest;
        std::optional<size_t> before;  // the number before, stale markers passed over
        for (size_t i = first; i <= last; ++i) {
          const double value = samples[i].value;
          if (is_stale(value)) {
            keep[i] = 1;
            continue;
          }
          if (!before) keep[i] = 1;  // the first number: windows do not see stale markers
          if (std::isnan(value)) keep[i] = 1;
          if (!least || value < samples[*least].value) least = i;
          if (!greatest || value > samples[*greatest].value) greatest = i;
          if (before && value < samples[*before].value) keep[*before] = keep[i] = 1;
          before = i;
        }
        if (before) keep[*before] = 1;
        if (least) keep[*least] = 1;
        if (greatest) keep[*greatest] = 1;
      });
  const std::vector<HistogramSample>& histograms = points.histograms;
  out.histograms =
      kept(histograms, interval_millis, [&](size_t first, size_t last, std::vector<char>& keep) {
        // What falls between two intervals is seen at their ends, which are kept.
        for (size_t i = first + 1; i <= last; ++i) {
          if (histogram_fell(*histograms[i].value, *histograms[i - 1].value))
            keep[i - 1] = keep[i] = 1;
        }
      });
  return out;
}

}  // namespace hms::collector
