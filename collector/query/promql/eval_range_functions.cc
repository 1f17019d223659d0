// eval_range_functions.cc: slides windows over the points of each series and asks eval_window.cc
// (or eval_rates.cc for a whole series) what a range function makes of them.
//
// Two positions move over each series; a counter's resets are added up once for the series, so that
// a rate costs the same whatever the window. Series are shared out over the threads that
// QueryOptions::parallel has.
#include <algorithm>
#include <atomic>
#include <cmath>

#include "collector/query/promql/eval_window.h"
#include "net/core/check.h"

namespace hms::collector::promql {
namespace {

bool needs_counter(FunctionId id) {
  return id == FunctionId::rate || id == FunctionId::increase || id == FunctionId::irate;
}

/// What a window costs to look through, in points; a histogram is worth many.
size_t points_in(const Window& window) {
  constexpr size_t kPointsPerHistogram = 32;
  return 1 + window.samples.size() + window.sums.size() +
         kPointsPerHistogram * window.histograms.size();
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
    advance(series_.sums, sums_begin_, begin);
    advance(series_.sums, sums_end_, end);
    advance(series_.histograms, histogram_begin_, begin);
    advance(series_.histograms, histogram_end_, end);
    Window out;
    out.begin_millis = begin;
    out.end_millis = end;
    out.step_millis = step_millis;
    out.samples = std::span(series_.samples).subspan(sample_begin_, sample_end_ - sample_begin_);
    out.sums = std::span(series_.sums).subspan(sums_begin_, sums_end_ - sums_begin_);
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
  size_t sums_begin_ = 0, sums_end_ = 0;
};

bool is_counter_name(std::string_view name) {
  for (const std::string_view suffix : {"_total", "_sum", "_count", "_bucket"}) {
    if (name.ends_with(suffix)) return true;
  }
  return false;
}

/// One range function over some series, which several threads may work on.
struct RangeCall {
  FunctionId id;
  const RangeData& data;
  const Grid& grid;
  const std::vector<std::vector<double>>& parameters;
  std::atomic<bool> mixed{false};  // a window had numbers and histograms

  /// False: no step has a value, or `stint` has ended.
  bool column_of(const RangeSeries& series, EvalSeries& column, Stint& stint) {
    column.values.assign(grid.size, absent_value());
    if (is_number_rate(id, series, data))
      return number_rates(id, series, data, grid, column.values);
    const Resets resets = find_resets(series);
    Slider slider(series, data, resets);
    bool any = false;
    Outcome outcome;
    for (size_t i = 0; i < grid.size; ++i) {
      if (!data.fixed_at || i == 0 || !parameters.empty() || id == FunctionId::predict_linear) {
        const Window window = slider.at(grid.at(i));
        if (!stint.goes_on(points_in(window))) return false;
        outcome = at_step(window, i);
      }
      if (!outcome.present) continue;
      any = true;
      if (outcome.histogram) {
        column.set_histogram(i, outcome.histogram);
      } else {
        column.values[i] = outcome.value;
      }
    }
    return any;
  }

 private:
  Outcome at_step(const Window& window, size_t i) {
    const bool numbers = !window.samples.empty() || !window.sums.empty();
    if (!numbers && window.histograms.empty()) return {};
    Parameters now;
    if (!parameters.empty()) now.first = parameters[0][i];
    if (parameters.size() > 1) now.second = parameters[1][i];
    Outcome outcome = compute(id, window, now);
    if (!outcome.present && numbers && !window.histograms.empty())
      mixed.store(true, std::memory_order_relaxed);
    return outcome;
  }
};

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
  auto data = range_data(*ranged, grid, need_of(id));
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
  if (needs_counter(id)) note_no_counters(*ranged, *data);
  const bool keeps = id == FunctionId::last_over_time || id == FunctionId::first_over_time;
  Evaluated out;
  if (auto paid = charge(out.charge, data->series.size() * grid.size); !paid) return paid.error();
  RangeCall work{id, *data, grid, parameters};
  std::vector<EvalSeries> columns(data->series.size());
  std::vector<char> any(columns.size());
  auto done = for_each_slice(columns.size(), [&](size_t i, Stint& stint) {
    RangeSeries& series = data->series[i];
    any[i] = work.column_of(series, columns[i], stint) ? 1 : 0;
    if (any[i] == 0) return;
    columns[i].labels = std::move(series.labels);
    if (!keeps) drop_name(columns[i].labels);
  });
  if (!done) return done.error();
  for (size_t i = 0; i < columns.size(); ++i) {
    if (any[i] != 0) out.series.push_back(std::move(columns[i]));
  }
  if (work.mixed) warn(*ranged, "encountered a mix of histograms and floats in a range");
  if (auto joined = join_equal(out.series); !joined) return joined.error();
  return out;
}

void Evaluator::note_no_counters(const Expr& ranged, const RangeData& data) {
  for (const RangeSeries& series : data.series) {
    if (!series.histograms.empty()) continue;
    for (const auto& [name, value] : series.labels) {
      if (name != "__name__" || is_counter_name(value)) continue;
      inform(ranged,
             "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: " +
                 quoted(value));
    }
  }
}

net::Result<Evaluated> Evaluator::absent_over_time(const Expr& expr, const Grid& grid) {
  auto data = range_data(*expr.children[0], grid, Need::ends);
  if (!data) return data.error();
  std::vector<bool> present(grid.size);
  for (const RangeSeries& series : data->series) {
    if (auto wanted = still_wanted(); !wanted) return wanted.error();
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
