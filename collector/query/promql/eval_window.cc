// eval_window.cc: functions over one window: rate, increase, *_over_time and their kin. Source:
// prometheus/promql/functions.go.
#include "collector/query/promql/eval_window.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hms::collector::promql {
namespace {

Outcome number_outcome(double value) { return {true, value, nullptr}; }
Outcome histogram_outcome(FloatHistogram value) {
  return {true, 0, std::make_shared<const FloatHistogram>(std::move(value))};
}

// ---- rate, increase, delta
// -------------------------------------------------------------------------------------------

Outcome number_rate(const Window& window, bool counter, bool per_second) {
  const auto& samples = window.samples;
  if (samples.size() < 2) return {};
  double gained = samples.back().value - samples.front().value;
  if (counter) gained += window.resets.back() - window.resets.front();
  double factor = extrapolation(reach_of(samples.front().t_millis, samples.back().t_millis,
                                         samples.size(), window.begin_millis, window.end_millis),
                                counter, samples.front().value, gained);
  if (per_second) factor /= seconds(window.end_millis - window.begin_millis);
  return number_outcome(gained * factor);
}

Outcome histogram_rate(const Window& window, bool counter, bool per_second) {
  const auto& points = window.histograms;
  if (points.size() < 2) return {};
  FloatHistogram gained = difference(points.back().value, points.front().value);
  size_t count = points.size();
  for (size_t i = 1; i < points.size(); ++i) {
    count += points[i].left_out;
    if (counter && window.histogram_resets[i] != 0) gained.add(to_float(points[i - 1].value));
  }
  double factor = extrapolation(reach_of(points.front().t_millis, points.back().t_millis, count,
                                         window.begin_millis, window.end_millis),
                                counter, count_of(points.front().value), gained.count);
  if (per_second) factor /= seconds(window.end_millis - window.begin_millis);
  gained.multiply(factor);
  return histogram_outcome(std::move(gained));
}

Outcome instant_rate(const Window& window, bool per_second) {
  if (window.samples.size() >= 2) {
    const Sample& previous = window.samples[window.samples.size() - 2];
    const Sample& last = window.samples.back();
    const double interval = seconds(last.t_millis - previous.t_millis);
    if (interval == 0) return {};
    const bool reset = per_second && last.value < previous.value;
    const double gained = reset ? last.value : last.value - previous.value;
    return number_outcome(per_second ? gained / interval : gained);
  }
  if (window.histograms.size() >= 2) {
    const WindowHistogram& previous = window.histograms[window.histograms.size() - 2];
    const WindowHistogram& last = window.histograms.back();
    const bool reset = per_second && window.histogram_resets.back() != 0;
    FloatHistogram gained = reset ? to_float(last.value) : difference(last.value, previous.value);
    if (per_second) gained.multiply(1 / seconds(last.t_millis - previous.t_millis));
    return histogram_outcome(std::move(gained));
  }
  return {};
}

// ---- lines through points
// --------------------------------------------------------------------------------------------

struct Line {
  double slope = 0, intercept = 0;
};

Line regression(std::span<const Sample> samples, int64_t origin_millis) {
  const double first = samples.front().value;
  bool constant = true;
  ExactSum x_sum, y_sum, xy_sum, xx_sum;
  for (const Sample& sample : samples) {
    if (sample.value != first) constant = false;
    const double x = seconds(sample.t_millis - origin_millis);
    x_sum.add(x);
    y_sum.add(sample.value);
    xy_sum.add(x * sample.value);
    xx_sum.add(x * x);
  }
  if (constant) return std::isinf(first) ? Line{std::nan(""), std::nan("")} : Line{0, first};
  const double n = static_cast<double>(samples.size());
  const double covariance = xy_sum.value() - x_sum.value() * y_sum.value() / n;
  const double variance = xx_sum.value() - x_sum.value() * x_sum.value() / n;
  const double slope = covariance / variance;
  return {slope, y_sum.value() / n - slope * x_sum.value() / n};
}

Outcome smoothing(std::span<const Sample> samples, double smoothing_factor, double trend_factor) {
  if (samples.size() < 2) return {};
  double before = 0;
  double now = samples[0].value;
  double trend = samples[1].value - samples[0].value;
  for (size_t i = 1; i < samples.size(); ++i) {
    if (i > 1) trend = trend_factor * (now - before) + (1 - trend_factor) * trend;
    const double next =
        smoothing_factor * samples[i].value + (1 - smoothing_factor) * (now + trend);
    before = now;
    now = next;
  }
  return number_outcome(now);
}

// ---- over time
// -------------------------------------------------------------------------------------------------------

double variance_of(std::span<const Sample> samples) {
  ExactSum mean, squares;
  double n = 0;
  for (const Sample& sample : samples) {
    ++n;
    const double distance = sample.value - mean.value();
    mean.add(distance / n);
    squares.add(distance * (sample.value - mean.value()));
  }
  return squares.value() / n;
}

double extreme(std::span<const Sample> samples, bool maximum) {
  double out = samples.front().value;
  for (const Sample& sample : samples) {
    if (std::isnan(out) || (maximum ? sample.value > out : sample.value < out)) out = sample.value;
  }
  return out;
}

double sum_of(std::span<const Sample> samples) {
  ExactSum sum;
  for (const Sample& sample : samples) sum.add(sample.value);
  return sum.value();
}

std::vector<double> values_of(std::span<const Sample> samples) {
  std::vector<double> out;
  out.reserve(samples.size());
  for (const Sample& sample : samples) out.push_back(sample.value);
  return out;
}

double median_distance(std::span<const Sample> samples) {
  std::vector<double> values = values_of(samples);
  const double median = quantile_of(0.5, values);
  for (double& value : values) value = std::fabs(value - median);
  return quantile_of(0.5, values);
}

double changes_in(const Window& window) {
  double out = 0;
  for (size_t i = 1; i < window.samples.size(); ++i) {
    const double before = window.samples[i - 1].value;
    const double now = window.samples[i].value;
    if (now != before && !(std::isnan(now) && std::isnan(before))) ++out;
  }
  return out + histogram_changes(window.histograms);
}

double resets_in(const Window& window) {
  double out = 0;
  for (size_t i = 1; i < window.samples.size(); ++i) {
    if (window.samples[i].value < window.samples[i - 1].value) ++out;
  }
  for (size_t i = 1; i < window.histograms.size(); ++i) out += window.histogram_resets[i];
  return out;
}

Outcome total_histogram(const Window& window, bool average) {
  FloatHistogram total = to_float(window.histograms.front().value);
  for (size_t i = 1; i < window.histograms.size(); ++i)
    total.add(to_float(window.histograms[i].value));
  if (average) total.multiply(1 / static_cast<double>(window.histograms.size()));
  return histogram_outcome(std::move(total));
}

// The first or the last point, whichever kind it is.
Outcome edge(const Window& window, bool last) {
  if (window.histograms.empty() && window.samples.empty()) return {};
  const Sample* sample = nullptr;
  if (!window.samples.empty()) {
    sample = last ? &window.samples.back() : &window.samples.front();
    if (window.histograms.empty()) return number_outcome(sample->value);
  }
  const WindowHistogram& histogram = last ? window.histograms.back() : window.histograms.front();
  const bool sample_wins = sample != nullptr && (last ? sample->t_millis > histogram.t_millis
                                                      : sample->t_millis < histogram.t_millis);
  return sample_wins ? number_outcome(sample->value) : histogram_outcome(to_float(histogram.value));
}

}  // namespace

double histogram_changes(std::span<const WindowHistogram> histograms) {
  double out = 0;
  for (size_t i = 1; i < histograms.size(); ++i) {
    if (!(to_float(histograms[i].value) == to_float(histograms[i - 1].value))) ++out;
  }
  return out;
}

Outcome compute(FunctionId id, const Window& window, const Parameters& parameters) {
  if (!window.sums.empty()) return compute_from_sums(id, window);
  const auto& samples = window.samples;
  const bool numbers = !samples.empty();
  const bool histograms = !window.histograms.empty();
  switch (id) {
    case FunctionId::rate:
    case FunctionId::increase:
    case FunctionId::delta: {
      const bool counter = id != FunctionId::delta;
      const bool per_second = id == FunctionId::rate;
      if (numbers && histograms) return {};
      return histograms ? histogram_rate(window, counter, per_second)
                        : number_rate(window, counter, per_second);
    }
    case FunctionId::irate:
      return numbers && histograms ? Outcome{} : instant_rate(window, true);
    case FunctionId::idelta:
      return numbers && histograms ? Outcome{} : instant_rate(window, false);
    case FunctionId::changes:
      return number_outcome(changes_in(window));
    case FunctionId::resets:
      return number_outcome(resets_in(window));
    case FunctionId::count_over_time:
      return number_outcome(static_cast<double>(samples.size()) +
                            histogram_count(window.histograms));
    case FunctionId::present_over_time:
      return number_outcome(1);
    case FunctionId::last_over_time:
      return edge(window, true);
    case FunctionId::first_over_time:
      return edge(window, false);
    case FunctionId::sum_over_time:
    case FunctionId::avg_over_time: {
      const bool average = id == FunctionId::avg_over_time;
      if (numbers && histograms) return {};
      if (histograms) return total_histogram(window, average);
      return number_outcome(average ? sum_of(samples) / static_cast<double>(samples.size())
                                    : sum_of(samples));
    }
    default:
      break;
  }
  if (!numbers) return {};
  switch (id) {
    case FunctionId::deriv:
      if (samples.size() < 2) return {};
      return number_outcome(regression(samples, samples.front().t_millis).slope);
    case FunctionId::predict_linear: {
      if (samples.size() < 2) return {};
      const Line line = regression(samples, window.step_millis);
      return number_outcome(line.slope * parameters.first + line.intercept);
    }
    case FunctionId::double_exponential_smoothing:
      return smoothing(samples, parameters.first, parameters.second);
    case FunctionId::min_over_time:
      return number_outcome(extreme(samples, false));
    case FunctionId::max_over_time:
      return number_outcome(extreme(samples, true));
    case FunctionId::stddev_over_time:
      return number_outcome(std::sqrt(variance_of(samples)));
    case FunctionId::stdvar_over_time:
      return number_outcome(variance_of(samples));
    case FunctionId::mad_over_time:
      return number_outcome(median_distance(samples));
    case FunctionId::quantile_over_time: {
      std::vector<double> values = values_of(samples);
      return number_outcome(quantile_of(parameters.first, values));
    }
    default:
      return {};
  }
}

Resets find_resets(const RangeSeries& series) {
  Resets out;
  out.taken.reserve(series.samples.size());
  double taken = 0;
  for (size_t i = 0; i < series.samples.size(); ++i) {
    if (i > 0 && series.samples[i].value < series.samples[i - 1].value)
      taken += series.samples[i - 1].value;
    out.taken.push_back(taken);
  }
  out.histogram.assign(series.histograms.size(), 0);
  for (size_t i = 1; i < series.histograms.size(); ++i) {
    out.histogram[i] =
        was_reset(series.histograms[i].value, series.histograms[i - 1].value) ? 1 : 0;
  }
  return out;
}

}  // namespace hms::collector::promql
