// eval_window.h: the points of one series in a window of time, and what range functions make of
// them. Users include eval.h; this is between eval_window.cc, eval_rates.cc and
// eval_range_functions.cc. Windows are left-open (t - range, t], as in Prometheus 3.
#pragma once

#include <span>
#include <vector>

#include "collector/query/promql/eval.h"
#include "collector/query/promql/functions.h"

namespace hms::collector::promql {

/// The points of one series between two moments.
struct Window {
  std::span<const Sample> samples;
  std::span<const PointSums> sums;  // in place of samples
  std::span<const WindowHistogram> histograms;
  std::span<const double>
      resets;  // for each sample: what resets up to it have taken away, since the series began
  std::span<const uint8_t>
      histogram_resets;  // for each histogram: whether it is the first after a reset
  int64_t begin_millis = 0,
          end_millis =
              0;  // the window's bounds; times of `predict_linear` count from the step itself
  int64_t step_millis = 0;
};

/// How many histograms, those that were left out among them.
inline double histogram_count(std::span<const WindowHistogram> histograms) noexcept {
  auto out = static_cast<double>(histograms.size());
  for (const WindowHistogram& one : histograms) out += one.left_out;
  return out;
}

struct Outcome {
  bool present = false;
  double value = 0;
  FloatHistogramPtr histogram;
};

inline double seconds(int64_t millis) { return static_cast<double>(millis) / 1000; }

// ---- how far a rate reaches beyond its points (Prometheus's extrapolation)

/// In seconds: between first and last point, and what is added before and after them.
struct Reach {
  double sampled = 0, to_start = 0, to_end = 0;
};
inline Reach reach_of(int64_t first, int64_t last, size_t points, int64_t begin, int64_t end) {
  Reach out{seconds(last - first), seconds(first - begin), seconds(end - last)};
  const double average = out.sampled / static_cast<double>(points - 1);
  // A point further from the edge than this means that the series began or ended inside the window:
  // half an interval is assumed there.
  const double threshold = average * 1.1;
  if (out.to_start >= threshold) out.to_start = average / 2;
  if (out.to_end >= threshold) out.to_end = average / 2;
  return out;
}
/// By what the difference between first and last point must be multiplied to stand for the whole
/// window.
inline double extrapolation(const Reach& reach, bool counter, double first_value, double gained) {
  double to_start = reach.to_start;
  if (counter && gained > 0 && first_value >= 0) {
    // A counter is never below 0: no further back than to where it would have been 0.
    to_start = std::min(to_start, reach.sampled * (first_value / gained));
  }
  return (reach.sampled + to_start + reach.to_end) / reach.sampled;
}

/// From one histogram to the next.
[[nodiscard]] double histogram_changes(std::span<const WindowHistogram> histograms);

/// Numbers that a function takes besides the window, at one step.
struct Parameters {
  double first = 0, second = 0;
};
/// What a function needs of the points of its windows.
[[nodiscard]] Need need_of(FunctionId id) noexcept;
[[nodiscard]] Outcome compute(FunctionId id, const Window& window, const Parameters& parameters);

/// The same, of a window whose numbers are sums; only functions that ask for such (eval_sums.cc).
/// compute() calls it.
[[nodiscard]] Outcome compute_from_sums(FunctionId id, const Window& window);

/// What the counter functions need to know of a series, found once.
struct Resets {
  std::vector<double> taken;
  std::vector<uint8_t> histogram;
};
[[nodiscard]] Resets find_resets(const RangeSeries& series);

/// Whether number_rates() knows the function and the series: rate, increase and delta of numbers.
[[nodiscard]] bool is_number_rate(FunctionId id, const RangeSeries& series, const RangeData& data);
/// A whole column at once, the same as compute() window by window. False: no step has a value.
[[nodiscard]] bool number_rates(FunctionId id, const RangeSeries& series, const RangeData& data,
                                const Grid& grid, std::vector<double>& values);

}  // namespace hms::collector::promql
