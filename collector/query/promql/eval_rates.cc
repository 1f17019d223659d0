// eval_rates.cc: rate, increase and delta of plain numbers, a whole series in one pass: most of
// what dashboards ask.
//
// The same arithmetic as in eval_window.cc, step by step. What makes it quick: two positions move
// over the points, and how far a rate reaches beyond its points is worked out anew only when the
// distances have changed, which they do not where points and steps are regular.
#include <algorithm>

#include "collector/query/promql/eval_window.h"
#include "net/core/check.h"

namespace hms::collector::promql {
namespace {

/// For each sample what resets up to it have taken away; empty if there was none.
std::vector<double> taken_by_resets(const std::vector<Sample>& samples) {
  const auto falls = [](const Sample& a, const Sample& b) { return b.value < a.value; };
  std::vector<double> out;
  if (std::adjacent_find(samples.begin(), samples.end(), falls) == samples.end()) return out;
  out.resize(samples.size());
  for (size_t i = 1; i < samples.size(); ++i) {
    out[i] = out[i - 1];
    if (samples[i].value < samples[i - 1].value) out[i] += samples[i - 1].value;
  }
  return out;
}

/// What a gain is multiplied by; kept from window to window while the distances stay the same.
class Factor {
 public:
  Factor(bool counter, double divisor) : counter_(counter), divisor_(divisor) {}

  double of(int64_t first, int64_t last, size_t points, int64_t begin, int64_t end,
            double first_value, double gained) {
    const int64_t sampled = last - first;
    const int64_t before = first - begin;
    const int64_t after = end - last;
    if (sampled != sampled_ || before != before_ || after != after_ || points != points_) {
      sampled_ = sampled, before_ = before, after_ = after, points_ = points;
      reach_ = reach_of(first, last, points, begin, end);
      plain_ = extrapolation(reach_, false, 0, 0) / divisor_;
    }
    // Only a counter that has gained most of what it has can have begun inside the window: a rate
    // reaches at most 1.1 times the sampled time back.
    if (!counter_ || !(gained > 0) || !(first_value >= 0) || first_value >= gained * 1.2)
      return plain_;
    return extrapolation(reach_, true, first_value, gained) / divisor_;
  }

 private:
  const bool counter_;
  const double divisor_;
  int64_t sampled_ = -1, before_ = -1, after_ = -1;
  size_t points_ = 0;
  Reach reach_;
  double plain_ = 0;
};

}  // namespace

bool is_number_rate(FunctionId id, const RangeSeries& series, const RangeData& data) {
  return (id == FunctionId::rate || id == FunctionId::increase || id == FunctionId::delta) &&
         series.histograms.empty() && !data.fixed_at;
}

bool number_rates(FunctionId id, const RangeSeries& series, const RangeData& data, const Grid& grid,
                  std::vector<double>& values) {
  const bool counter = id != FunctionId::delta;
  const std::vector<double> resets =
      counter ? taken_by_resets(series.samples) : std::vector<double>();
  Factor factor(counter, id == FunctionId::rate ? seconds(data.range_millis) : 1);
  // Plain pointers: every point of a question comes through here, bounds are looked at once.
  HMS_ENSURE(values.size() == grid.size);
  const Sample* const samples = series.samples.data();
  const size_t count = series.samples.size();
  const double* const taken = resets.empty() ? nullptr : resets.data();
  double* const out = values.data();
  int64_t end = grid.start - data.offset_millis;
  bool any = false;
  size_t from = 0;   // the first point after the window's beginning
  size_t until = 0;  // the first after its end
  for (size_t i = 0; i < grid.size; ++i, end += grid.step) {
    const int64_t begin = end - data.range_millis;
    while (until < count && samples[until].t_millis <= end) ++until;
    while (from < until && samples[from].t_millis <= begin) ++from;
    if (until - from < 2) continue;
    const Sample& first = samples[from];
    const Sample& last = samples[until - 1];
    double gained = last.value - first.value;
    if (taken != nullptr) gained += taken[until - 1] - taken[from];
    out[i] = gained * factor.of(first.t_millis, last.t_millis, until - from, begin, end,
                                first.value, gained);
    any = true;
  }
  return any;
}

}  // namespace hms::collector::promql
