// eval.cc: walks the tree; numbers, selectors, sub-queries and signs. Operators, aggregations and
// functions are in eval_*.cc.
#include "collector/query/promql/eval.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <unordered_map>

#include "collector/query/promql/functions.h"
#include "collector/query/promql/shared_results.h"
#include "collector/store/series_sums.h"

namespace hms::collector::promql {
namespace {

constexpr int64_t kDefaultSubqueryStep = 60'000;  // Prometheus's default evaluation interval

/// Of windows on a finer grid than this the points are read: a row of sums takes the room of four.
constexpr int64_t kLeastSummed = 300'000;

constexpr size_t kSliceSeries = 8;  // evaluated by one thread at a time

/// The longest interval, of those that points are thinned to, on whose borders all windows begin
/// and end; 0: none. A window has at least five of them: where a series begins inside one, rate()
/// extrapolates by up to half an interval. A single long window (step 0) may begin and end
/// anywhere: of the two hours that its ends cut the store gives all points.
int64_t common_interval(int64_t first, int64_t step, int64_t range) {
  constexpr int64_t kMinute = 60'000, kHour = 3'600'000, kLong = 12 * kHour;
  if (step == 0 && range >= kLong) return kHour;
  for (const int64_t interval : {kHour, kMinute}) {
    if (first % interval == 0 && step % interval == 0 && range % interval == 0 &&
        range >= 5 * interval)
      return interval;
  }
  return 0;
}

}  // namespace

Evaluator::Evaluator(const SeriesSource& source, const QueryOptions& options, int64_t query_start,
                     int64_t query_end)
    : source_(source),
      options_(options),
      query_start_(query_start),
      query_end_(query_end),
      deadline_nanos_(net::monotonic_nanos() +
                      static_cast<uint64_t>(std::max<int64_t>(options.timeout.count(), 0)) *
                          1'000'000),
      budget_(options.max_samples, options.shared_samples) {}

net::Result<void> Evaluator::still_wanted() const {
  if (options_.cancelled && options_.cancelled()) {
    return net::Error{net::Code::canceled, net::Side::downstream, false,
                      "query was canceled in expression evaluation"};
  }
  if (net::monotonic_nanos() > deadline_nanos_) {
    return net::Error{net::Code::timeout, net::Side::self, false,
                      "query timed out in expression evaluation after " +
                          duration_text(options_.timeout.count())};
  }
  return {};
}

bool Stint::look() {
  if (outcome_) outcome_ = evaluator_.still_wanted();
  if (outcome_) points_ = 0;  // otherwise every further question comes here
  return outcome_.ok();
}

net::Result<void> Evaluator::for_each_slice(size_t count,
                                            const std::function<void(size_t, Stint&)>& work) const {
  const size_t slices = (count + kSliceSeries - 1) / kSliceSeries;
  std::vector<net::Result<void>> done(slices);
  for_each_index(options_.parallel, slices, [&](size_t slice) {
    const size_t end = std::min(count, (slice + 1) * kSliceSeries);
    Stint stint(*this);
    for (size_t i = slice * kSliceSeries; i < end && done[slice]; ++i) {
      done[slice] = still_wanted();
      if (!done[slice]) return;
      work(i, stint);
      if (!stint.goes_on(0)) break;
    }
    if (done[slice]) done[slice] = std::move(stint).outcome();
  });
  for (auto& slice : done) {
    if (!slice) return slice;
  }
  return {};
}

net::Result<void> Evaluator::charge(Charge& to, uint64_t amount) {
  if (amount > budget_.left()) {
    if (budget_.crowded()) {
      return net::Error{net::Code::overloaded, net::Side::self, true,
                        "other questions hold the memory that --memory allows for questions; try "
                        "again, or ask for fewer series or a shorter time"};
    }
    return net::Error{net::Code::too_large, net::Side::downstream, false,
                      "query processing would load too many samples into memory: the limit is " +
                          std::to_string(budget_.maximum())};
  }
  to.add(budget_, amount);
  return {};
}

void Evaluator::warn(const Expr& at, std::string sentence) {
  if (warnings_.size() < 10)
    warnings_.insert("PromQL warning: " + sentence + " (byte " + std::to_string(at.begin + 1) +
                     ")");
}
void Evaluator::inform(const Expr& at, std::string sentence) {
  if (infos_.size() < 10)
    infos_.insert("PromQL info: " + sentence + " (byte " + std::to_string(at.begin + 1) + ")");
}

net::Result<Evaluated> Evaluator::eval(const Expr& expr, const Grid& grid) {
  if (auto wanted = still_wanted(); !wanted) return wanted.error();
  if (!options_.shared_results) return evaluate(expr, grid);
  const std::string key = options_.shared_results->key_of(expr, grid);
  if (key.empty()) return evaluate(expr, grid);
  if (const auto* known = options_.shared_results->find(key); known != nullptr) {
    Evaluated out;
    if (auto paid = charge(out.charge, known->size()); !paid) return paid.error();
    out.series = *known;
    return out;
  }
  Answer answer = evaluate(expr, grid);
  if (answer && !answer->ordered) options_.shared_results->keep(key, answer->series);
  return answer;
}

net::Result<Evaluated> Evaluator::evaluate(const Expr& expr, const Grid& grid) {
  switch (expr.kind) {
    case NodeKind::number:
      return number(expr.number, grid);
    case NodeKind::text: {
      Evaluated out;
      out.type = ValueType::text;
      out.text = expr.text;
      return out;
    }
    case NodeKind::vector_selector:
      return selector(expr, grid, false);
    case NodeKind::matrix_selector:
    case NodeKind::subquery:
      return execution_error("a range vector has no value at a step; use a function over it");
    case NodeKind::unary_minus:
      return negate(expr, grid);
    case NodeKind::binary:
      return binary(expr, grid);
    case NodeKind::aggregate:
      return aggregate(expr, grid);
    case NodeKind::call:
      return call(expr, grid);
    case NodeKind::paren:
      return eval(*expr.children[0], grid);
  }
  return execution_error("unknown expression");
}

net::Result<Evaluated> Evaluator::number(double value, const Grid& grid) {
  Evaluated out;
  out.type = ValueType::scalar;
  if (auto paid = charge(out.charge, grid.size); !paid) return paid.error();
  out.scalars.assign(grid.size, value);
  return out;
}

net::Result<Evaluated> Evaluator::negate(const Expr& expr, const Grid& grid) {
  Answer answer = eval(*expr.children[0], grid);
  if (!answer) return answer;
  for (double& value : answer->scalars) value = -value;
  for (EvalSeries& series : answer->series) {
    if (auto wanted = still_wanted(); !wanted) return wanted.error();
    drop_name(series.labels);
    for (double& value : series.values) {
      if (!is_absent(value)) value = -value;
    }
    for (FloatHistogramPtr& histogram : series.histograms) {
      if (histogram == nullptr) continue;
      auto negated = std::make_shared<FloatHistogram>(*histogram);
      negated->multiply(-1);
      histogram = std::move(negated);
    }
  }
  if (auto joined = join_equal(answer->series); !joined) return joined.error();
  return answer;
}

std::optional<int64_t> Evaluator::fixed_time(const Expr& expr) const {
  switch (expr.at) {
    case AtKind::none:
      return std::nullopt;
    case AtKind::time:
      return expr.at_millis;
    case AtKind::start:
      return query_start_;
    case AtKind::end:
      return query_end_;
  }
  return std::nullopt;
}

net::Result<std::vector<Series>> Evaluator::fetch(const Expr& expr, const Grid& grid,
                                                  int64_t range_millis, Charge& to, Need need) {
  const std::optional<int64_t> fixed = fixed_time(expr);
  const int64_t first = fixed.value_or(grid.start) - expr.offset_millis;
  const int64_t last = fixed.value_or(grid.last()) - expr.offset_millis;
  SelectLimits limits;
  limits.max_samples = budget_.left();
  limits.max_series = options_.max_series;
  limits.hide_expired = true;
  const uint64_t deadline = deadline_nanos_;
  limits.cancelled = [this, deadline] {
    return net::monotonic_nanos() > deadline || (options_.cancelled && options_.cancelled());
  };
  // Every window begins and ends on this grid.
  const int64_t step = grid.size > 1 && !fixed ? grid.step : 0;
  const Thinning windows{first, std::gcd(step, range_millis)};
  if (need == Need::ends) limits.interval_millis = common_interval(first, step, range_millis);
  const bool sums = need == Need::sums || need == Need::sums_and_ends;
  if (sums && windows.length_millis >= kLeastSummed) limits.sums = windows;
  // Numbers made from histograms (classic series) are thinned with them: without sums, a deviation
  // needs them all.
  if (need == Need::ends || (need == Need::sums_and_ends && limits.sums.length_millis > 0))
    limits.histograms = windows;
  limits.parallel = options_.parallel;
  limits.warn = [this](const std::string& sentence) {
    if (warnings_.size() < 10) warnings_.insert(sentence);
  };
  auto found = source_.select(expr.matchers, first - range_millis, last, limits);
  if (!found) {
    if (found.error().code == net::Code::canceled) {
      if (auto wanted = still_wanted(); !wanted) return wanted.error();
    }
    return found.error();
  }
  uint64_t samples = 0;
  for (Series& series : *found) {
    if (limits.sums.length_millis > 0) sum_up(series, limits.sums);
    samples += series.samples.size() + kSumsWeight * series.sums.size();
    // A histogram weighs as its size does (Prometheus counts it in units of 16 bytes too).
    for (const HistogramSample& histogram : series.histograms)
      samples += 5 + histogram.value->positive.size() + histogram.value->negative.size();
  }
  samples_read_ += samples;
  if (auto paid = charge(to, samples); !paid) return paid.error();
  return found;
}

net::Result<Evaluated> Evaluator::selector(const Expr& expr, const Grid& grid, bool timestamps) {
  Charge raw_charge;
  // The newest point before each step is all that counts; timestamp() wants nothing else either.
  auto found = fetch(expr, grid, options_.lookback_millis, raw_charge, Need::ends);
  if (!found) return found.error();
  const std::optional<int64_t> fixed = fixed_time(expr);
  Evaluated out;
  for (Series& series : *found) {
    if (auto wanted = still_wanted(); !wanted) return wanted.error();
    if (auto paid = charge(out.charge, grid.size); !paid) return paid.error();
    EvalSeries column;
    column.values.assign(grid.size, absent_value());
    bool any = false;
    size_t sample = 0;
    size_t histogram = 0;
    FloatHistogramPtr converted;
    size_t converted_index = 0;
    for (size_t i = 0; i < grid.size; ++i) {
      const int64_t t = fixed.value_or(grid.at(i)) - expr.offset_millis;
      while (sample < series.samples.size() && series.samples[sample].t_millis <= t) ++sample;
      while (histogram < series.histograms.size() && series.histograms[histogram].t_millis <= t)
        ++histogram;
      const int64_t sample_t = sample > 0 ? series.samples[sample - 1].t_millis : INT64_MIN;
      const int64_t histogram_t =
          histogram > 0 ? series.histograms[histogram - 1].t_millis : INT64_MIN;
      const int64_t newest = std::max(sample_t, histogram_t);
      if (newest == INT64_MIN || newest <= t - options_.lookback_millis) continue;
      const bool is_number = sample_t >= histogram_t;
      if (is_number && is_absent(series.samples[sample - 1].value)) continue;
      any = true;
      if (timestamps) {
        column.values[i] = static_cast<double>(newest) / 1000;
      } else if (is_number) {
        column.values[i] = series.samples[sample - 1].value;
      } else {
        if (converted == nullptr || converted_index != histogram) {
          converted =
              std::make_shared<const FloatHistogram>(*series.histograms[histogram - 1].value);
          converted_index = histogram;
        }
        column.set_histogram(i, converted);
      }
    }
    if (!any) continue;
    column.labels = std::move(series.labels);
    out.series.push_back(std::move(column));
  }
  return out;
}

net::Result<RangeData> Evaluator::range_data(const Expr& expr, const Grid& grid, Need need) {
  const Expr& inner = unwrap(expr);
  if (inner.kind == NodeKind::subquery) return subquery_data(inner, grid);
  const Expr& selected = *inner.children[0];
  RangeData out;
  out.range_millis = inner.range_millis;
  out.offset_millis = selected.offset_millis;
  out.fixed_at = fixed_time(selected);
  auto found = fetch(selected, grid, inner.range_millis, out.charge, need);
  if (!found) return found.error();
  for (Series& series : *found) {
    if (auto wanted = still_wanted(); !wanted) return wanted.error();
    RangeSeries points;
    points.labels = std::move(series.labels);
    points.samples = std::move(series.samples);
    points.sums = std::move(series.sums);
    std::erase_if(points.samples, [](const Sample& sample) { return is_absent(sample.value); });
    points.stored_owner = std::move(series.histograms);
    for (const HistogramSample& histogram : points.stored_owner)
      points.histograms.push_back(
          {histogram.t_millis, {histogram.value.get(), nullptr}, histogram.left_out});
    out.series.push_back(std::move(points));
  }
  return out;
}

net::Result<RangeData> Evaluator::subquery_data(const Expr& expr, const Grid& grid) {
  RangeData out;
  out.range_millis = expr.range_millis;
  out.offset_millis = expr.offset_millis;
  out.fixed_at = fixed_time(expr);
  Grid inner;
  inner.step = expr.step_millis > 0 ? expr.step_millis : kDefaultSubqueryStep;
  const int64_t left = out.reference(grid.start) - expr.range_millis;
  const int64_t right = out.reference(grid.last());
  // The first multiple of the step inside the left-open range: sub-queries of different moments
  // share their steps.
  inner.start = left / inner.step * inner.step;
  while (inner.start <= left) inner.start += inner.step;
  if (inner.start > right) return out;
  const uint64_t steps = static_cast<uint64_t>((right - inner.start) / inner.step) + 1;
  if (steps > budget_.left()) {
    Charge none;
    return charge(none, steps).error();
  }
  inner.size = static_cast<size_t>(steps);
  Answer values = eval(*expr.children[0], inner);
  if (!values) return values.error();
  for (EvalSeries& series : values->series) {
    if (auto wanted = still_wanted(); !wanted) return wanted.error();
    if (auto paid = charge(out.charge, inner.size); !paid) return paid.error();
    RangeSeries points;
    points.labels = std::move(series.labels);
    for (size_t i = 0; i < inner.size; ++i) {
      if (!is_absent(series.values[i])) {
        points.samples.push_back({inner.at(i), series.values[i]});
      } else if (series.has_histogram(i)) {
        points.computed_owner.push_back(series.histograms[i]);
        points.histograms.push_back({inner.at(i), {nullptr, points.computed_owner.back().get()}});
      }
    }
    out.series.push_back(std::move(points));
  }
  return out;
}

net::Result<std::vector<double>> Evaluator::scalar_argument(const Expr& expr, const Grid& grid) {
  Answer answer = eval(expr, grid);
  if (!answer) return answer.error();
  return std::move(answer->scalars);
}

net::Result<void> Evaluator::join_equal(std::vector<EvalSeries>& series) const {
  std::unordered_map<std::string, size_t> seen;
  seen.reserve(series.size());
  std::vector<EvalSeries> out;
  out.reserve(series.size());
  Stint stint(*this);
  for (EvalSeries& one : series) {
    if (!stint.goes_on(1 + one.labels.size())) return std::move(stint).outcome();
    const auto [it, fresh] = seen.try_emplace(label_key(one.labels), out.size());
    if (fresh) {
      out.push_back(std::move(one));
      continue;
    }
    EvalSeries& into = out[it->second];
    if (!stint.goes_on(one.values.size())) return std::move(stint).outcome();
    for (size_t i = 0; i < one.values.size(); ++i) {
      if (!one.present(i)) continue;
      if (into.present(i))
        return execution_error("vector cannot contain metrics with the same labelset: " +
                               labels_text(one.labels));
      into.values[i] = one.values[i];
      if (one.has_histogram(i)) into.set_histogram(i, one.histograms[i]);
    }
  }
  series = std::move(out);
  return {};
}

}  // namespace hms::collector::promql
