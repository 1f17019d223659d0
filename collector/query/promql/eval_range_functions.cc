// eval_range_functions.cc: functions over a window of time: rate, increase, *_over_time and their
// kin.
//
// Windows are left-open (t - range, t], as in Prometheus 3. Two pointers slide over each series; a
// counter's resets are added up once for the series, so that a rate costs the same whatever the
// window. Source: prometheus/promql/functions.go.
#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "collector/query/promql/eval.h"
#include "collector/query/promql/functions.h"
#include "net/core/check.h"

namespace hms::collector::promql {
namespace {

/// The points of one series between two moments.
struct Window {
  std::span<const Sample> samples;
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

struct Outcome {
  bool present = false;
  double value = 0;
  FloatHistogramPtr histogram;
};
Outcome number_outcome(double value) { return {true, value, nullptr}; }
Outcome histogram_outcome(FloatHistogram value) {
  return {true, 0, std::make_shared<const FloatHistogram>(std::move(value))};
}

double seconds(int64_t millis) { return static_cast<double>(millis) / 1000; }

// ---- rate, increase, delta
// -------------------------------------------------------------------------------------------

/// By what the difference between first and last point must be multiplied to stand for the whole
/// window (Prometheus's extrapolation).
double extrapolation(int64_t first, int64_t last, size_t points, int64_t begin, int64_t end,
                     bool counter, double first_value, double gained) {
  double to_start = seconds(first - begin);
  double to_end = seconds(end - last);
  const double sampled = seconds(last - first);
  const double average = sampled / static_cast<double>(points - 1);
  // A point further from the edge than this means that the series began or ended inside the window:
  // half an interval is assumed there.
  const double threshold = average * 1.1;
  if (to_start >= threshold) to_start = average / 2;
  if (counter && gained > 0 && first_value >= 0) {
    // A counter is never below 0: no further back than to where it would have been 0.
    to_start = std::min(to_start, sampled * (first_value / gained));
  }
  if (to_end >= threshold) to_end = average / 2;
  return (sampled + to_start + to_end) / sampled;
}

Outcome number_rate(const Window& window, bool counter, bool per_second) {
  const auto& samples = window.samples;
  if (samples.size() < 2) return {};
  double gained = samples.back().value - samples.front().value;
  if (counter) gained += window.resets.back() - window.resets.front();
  double factor =
      extrapolation(samples.front().t_millis, samples.back().t_millis, samples.size(),
                    window.begin_millis, window.end_millis, counter, samples.front().value, gained);
  if (per_second) factor /= seconds(window.end_millis - window.begin_millis);
  return number_outcome(gained * factor);
}

Outcome histogram_rate(const Window& window, bool counter, bool per_second) {
  const auto& points = window.histograms;
  if (points.size() < 2) return {};
  FloatHistogram gained = difference(points.back().value, points.front().value);
  if (counter) {
    for (size_t i = 1; i < points.size(); ++i) {
      if (window.histogram_resets[i] != 0) gained.add(to_float(points[i - 1].value));
    }
  }
  double factor = extrapolation(points.front().t_millis, points.back().t_millis, points.size(),
                                window.begin_millis, window.end_millis, counter,
                                count_of(points.front().value), gained.count);
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

double median_distance(std::span<const Sample> samples) {
  std::vector<double> values;
  for (const Sample& sample : samples) values.push_back(sample.value);
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
  for (size_t i = 1; i < window.histograms.size(); ++i) {
    if (!(to_float(window.histograms[i].value) == to_float(window.histograms[i - 1].value))) ++out;
  }
  return out;
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

struct Parameters {
  double first = 0, second = 0;
};

Outcome compute(FunctionId id, const Window& window, const Parameters& parameters) {
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
      return number_outcome(static_cast<double>(samples.size() + window.histograms.size()));
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
      std::vector<double> values;
      for (const Sample& sample : samples) values.push_back(sample.value);
      return number_outcome(quantile_of(parameters.first, values));
    }
    default:
      return {};
  }
}

/// What the counter functions need to know of a series, found once.
struct Resets {
  std::vector<double> taken;
  std::vector<uint8_t> histogram;
};

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

bool needs_counter(FunctionId id) {
  return id == FunctionId::rate || id == FunctionId::increase || id == FunctionId::irate;
}

bool ends_with_any(std::string_view name) {
  for (const std::string_view suffix : {"_total", "_sum", "_count", "_bucket"}) {
    if (name.ends_with(suffix)) return true;
  }
  return false;
}

/// Slides a window over one series. `windows` are handed out with rising steps.
class Slider {
 public:
  Slider(const RangeSeries& series, const RangeData& data, const Resets& resets)
      : series_(series), data_(data), resets_(resets) {}

  Window at(int64_t step_millis) {
    const int64_t end = data_.reference(step_millis);
    const int64_t begin = end - data_.range_millis;
    advance(series_.samples, sample_begin_, begin);
    advance(series_.samples, sample_end_, end);
    advance(series_.histograms, histogram_begin_, begin);
    advance(series_.histograms, histogram_end_, end);
    Window out;
    out.begin_millis = begin;
    out.end_millis = end;
    out.step_millis = step_millis;
    out.samples = std::span(series_.samples).subspan(sample_begin_, sample_end_ - sample_begin_);
    out.histograms =
        std::span(series_.histograms).subspan(histogram_begin_, histogram_end_ - histogram_begin_);
    out.resets = std::span(resets_.taken).subspan(sample_begin_, sample_end_ - sample_begin_);
    out.histogram_resets =
        std::span(resets_.histogram).subspan(histogram_begin_, histogram_end_ - histogram_begin_);
    return out;
  }

 private:
  // To the first point after `t`.
  template <class Points>
  static void advance(const Points& points, size_t& at, int64_t t) {
    while (at < points.size() && points[at].t_millis <= t) ++at;
  }
  const RangeSeries& series_;
  const RangeData& data_;
  const Resets& resets_;
  size_t sample_begin_ = 0, sample_end_ = 0, histogram_begin_ = 0, histogram_end_ = 0;
};

/// Whether a window's first, last, least and greatest points and its counter resets decide.
bool reads_thinned(FunctionId id) {
  switch (id) {
    case FunctionId::rate:
    case FunctionId::increase:
    case FunctionId::delta:
    case FunctionId::min_over_time:
    case FunctionId::max_over_time:
    case FunctionId::last_over_time:
    case FunctionId::first_over_time:
    case FunctionId::present_over_time:
      return true;
    default:
      return false;
  }
}

}  // namespace

net::Result<Evaluated> Evaluator::range_function(const Expr& expr, const Grid& grid) {
  const FunctionId id = expr.function->id;
  if (id == FunctionId::absent_over_time) return absent_over_time(expr, grid);
  const Expr* ranged = nullptr;
  std::vector<std::vector<double>> parameters;
  for (const auto& child : expr.children) {
    if (child->type == ValueType::matrix) {
      ranged = child.get();
      continue;
    }
    auto values = scalar_argument(*child, grid);
    if (!values) return values.error();
    parameters.push_back(std::move(*values));
  }
  HMS_ENSURE(ranged != nullptr);  // the parser has checked the argument's type
  auto data = range_data(*ranged, grid, reads_thinned(id));
  if (!data) return data.error();
  if (id == FunctionId::double_exponential_smoothing) {
    for (size_t p = 0; p < 2; ++p) {
      for (const double factor : parameters[p]) {
        if (factor > 0 && factor < 1) continue;
        return execution_error(
            std::string(p == 0 ? "invalid smoothing factor" : "invalid trend factor") +
            ". Expected: 0 < factor < 1, got: " + number_text(factor));
      }
    }
  }
  if (id == FunctionId::quantile_over_time) {
    for (const double q : parameters[0]) {
      if (q < 0 || q > 1 || std::isnan(q))
        warn(*expr.children[0], "quantile value should be between 0 and 1, got " + number_text(q));
    }
  }
  const bool keeps = id == FunctionId::last_over_time || id == FunctionId::first_over_time;
  bool mixed = false;
  Evaluated out;
  for (RangeSeries& series : data->series) {
    if (auto going_on = check(); !going_on) return going_on.error();
    if (auto paid = charge(out.charge, grid.size); !paid) return paid.error();
    if (needs_counter(id) && series.histograms.empty() && !series.labels.empty()) {
      for (const auto& [name, value] : series.labels) {
        if (name == "__name__" && !ends_with_any(value)) {
          inform(
              *ranged,
              "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: " +
                  quoted(value));
        }
      }
    }
    const Resets resets = find_resets(series);
    Slider slider(series, *data, resets);
    EvalSeries column;
    column.values.assign(grid.size, absent_value());
    bool any = false;
    Outcome outcome;
    for (size_t i = 0; i < grid.size; ++i) {
      if (!data->fixed_at || i == 0 || !parameters.empty() || id == FunctionId::predict_linear) {
        const Window window = slider.at(grid.at(i));
        Parameters now;
        if (!parameters.empty()) now.first = parameters[0][i];
        if (parameters.size() > 1) now.second = parameters[1][i];
        const bool empty = window.samples.empty() && window.histograms.empty();
        outcome = empty ? Outcome{} : compute(id, window, now);
        mixed =
            mixed || (!outcome.present && !window.samples.empty() && !window.histograms.empty());
      }
      if (!outcome.present) continue;
      any = true;
      if (outcome.histogram) {
        column.set_histogram(i, outcome.histogram);
      } else {
        column.values[i] = outcome.value;
      }
    }
    if (!any) continue;
    column.labels = std::move(series.labels);
    if (!keeps) drop_name(column.labels);
    out.series.push_back(std::move(column));
  }
  if (mixed) warn(*ranged, "encountered a mix of histograms and floats in a range");
  if (auto joined = join_equal(out.series); !joined) return joined.error();
  return out;
}

net::Result<Evaluated> Evaluator::absent_over_time(const Expr& expr, const Grid& grid) {
  auto data = range_data(*expr.children[0], grid);
  if (!data) return data.error();
  std::vector<bool> present(grid.size);
  for (const RangeSeries& series : data->series) {
    Resets none;
    none.taken.resize(series.samples.size());
    none.histogram.resize(series.histograms.size());
    Slider slider(series, *data, none);
    for (size_t i = 0; i < grid.size; ++i) {
      const Window window = slider.at(grid.at(i));
      if (!window.samples.empty() || !window.histograms.empty()) present[i] = true;
    }
  }
  Evaluated out;
  EvalSeries column;
  column.labels = absent_labels(*expr.children[0]);
  column.values.assign(grid.size, absent_value());
  bool any = false;
  for (size_t i = 0; i < grid.size; ++i) {
    if (present[i]) continue;
    column.values[i] = 1;
    any = true;
  }
  if (any) out.series.push_back(std::move(column));
  return out;
}

}  // namespace hms::collector::promql
