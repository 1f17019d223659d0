// eval_histogram.cc: histogram_quantile and its kin, on exponential histograms and on classic `le`
// buckets. Source: prometheus/promql/quantile.go.
#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "collector/query/promql/eval.h"
#include "collector/query/promql/functions.h"

namespace hms::collector::promql {
namespace {

struct ClassicBucket {
  double upper = 0, count = 0;
};

/// Series of classic buckets that are one histogram but for `le`.
struct ClassicGroup {
  LabelSet labels;
  std::vector<std::pair<double, const EvalSeries*>> buckets;  // by upper bound
};

bool parse_bound(const std::string& text, double& bound) {
  if (text.empty()) return false;
  char* end = nullptr;
  bound = std::strtod(text.c_str(), &end);
  return end == text.c_str() + text.size() && !std::isnan(bound);
}

double classic_quantile(double q, std::vector<ClassicBucket>& buckets, bool& repaired) {
  if (std::isnan(q)) return q;
  if (q < 0) return -std::numeric_limits<double>::infinity();
  if (q > 1) return std::numeric_limits<double>::infinity();
  if (buckets.empty() || !std::isinf(buckets.back().upper) || buckets.back().upper < 0)
    return std::nan("");
  // Equal bounds written differently ("1", "1.0") are one bucket.
  size_t kept = 0;
  for (size_t i = 1; i < buckets.size(); ++i) {
    if (buckets[i].upper == buckets[kept].upper) {
      buckets[kept].count += buckets[i].count;
    } else {
      buckets[++kept] = buckets[i];
    }
  }
  buckets.resize(kept + 1);
  // Counts are read at slightly different moments; a count that falls is raised to the one before
  // it.
  for (size_t i = 1; i < buckets.size(); ++i) {
    double& count = buckets[i].count;
    const double before = buckets[i - 1].count;
    if (count >= before) continue;
    if (before - count > before * 1e-12) repaired = true;
    count = before;
  }
  if (buckets.size() < 2) return std::nan("");
  const double observations = buckets.back().count;
  if (observations == 0 || std::isnan(observations)) return std::nan("");
  double rank = q * observations;
  size_t b = 0;
  while (b + 1 < buckets.size() && buckets[b].count < rank) ++b;
  if (b == buckets.size() - 1) return buckets[buckets.size() - 2].upper;
  if (b == 0 && buckets[0].upper <= 0) return buckets[0].upper;
  double lower = 0;
  double count = buckets[b].count;
  if (b > 0) {
    lower = buckets[b - 1].upper;
    count -= buckets[b - 1].count;
    rank -= buckets[b - 1].count;
  }
  return lower + (buckets[b].upper - lower) * (rank / count);
}

double classic_fraction(double lower, double upper, const std::vector<ClassicBucket>& buckets) {
  if (buckets.size() < 2 || std::isnan(lower) || std::isnan(upper) ||
      !std::isinf(buckets.back().upper))
    return std::nan("");
  const double total = buckets.back().count;
  if (total == 0 || std::isnan(total)) return std::nan("");
  if (lower >= upper) return 0;
  const auto at_or_below = [&](double bound) {
    double before = 0;
    double from = 0;
    for (const ClassicBucket& bucket : buckets) {
      if (bound >= bucket.upper) {
        before = bucket.count;
        from = bucket.upper;
        continue;
      }
      if (std::isinf(bucket.upper) || bound <= from) return before;
      return before + (bucket.count - before) * (bound - from) / (bucket.upper - from);
    }
    return before;
  };
  return (at_or_below(upper) - at_or_below(lower)) / total;
}

std::vector<ClassicGroup> classic_groups(const std::vector<EvalSeries>& series, bool& bad_bound) {
  static const std::vector<std::string> kLe = {"le"};
  std::vector<ClassicGroup> out;
  std::unordered_map<std::string, size_t> index;
  for (const EvalSeries& one : series) {
    const bool any_number = std::any_of(one.values.begin(), one.values.end(),
                                        [](double value) { return !is_absent(value); });
    if (!any_number) continue;
    double bound = 0;
    std::string text;
    for (const auto& [name, value] : one.labels) {
      if (name == "le") text = value;
    }
    if (!parse_bound(text, bound)) {
      bad_bound = true;
      continue;
    }
    LabelSet labels = without_labels(one.labels, kLe);
    const auto [it, fresh] = index.try_emplace(label_key(labels), out.size());
    if (fresh) out.push_back({std::move(labels), {}});
    out[it->second].buckets.emplace_back(bound, &one);
  }
  for (ClassicGroup& group : out) {
    std::stable_sort(group.buckets.begin(), group.buckets.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
  }
  return out;
}

std::vector<ClassicBucket> buckets_at(const ClassicGroup& group, size_t i) {
  std::vector<ClassicBucket> out;
  for (const auto& [bound, series] : group.buckets) {
    if (!is_absent(series->values[i])) out.push_back({bound, series->values[i]});
  }
  return out;
}

double figure(FunctionId id, const FloatHistogram& histogram) {
  switch (id) {
    case FunctionId::histogram_count:
      return histogram.count;
    case FunctionId::histogram_sum:
      return histogram.sum;
    case FunctionId::histogram_avg:
      return histogram.sum / histogram.count;
    case FunctionId::histogram_stddev:
      return std::sqrt(histogram.variance());
    case FunctionId::histogram_stdvar:
      return histogram.variance();
    default:
      return std::nan("");
  }
}

}  // namespace

net::Result<void> Evaluator::figures_of(
    const Evaluated& input, size_t steps, std::vector<EvalSeries>& out,
    const std::function<double(const FloatHistogram&, size_t)>& figure_at) const {
  std::vector<const EvalSeries*> histograms;
  for (const EvalSeries& series : input.series) {
    if (!series.histograms.empty()) histograms.push_back(&series);
  }
  const size_t first = out.size();
  out.resize(first + histograms.size());
  return for_each_slice(histograms.size(), [&](size_t s, Stint& stint) {
    const EvalSeries& series = *histograms[s];
    EvalSeries& column = out[first + s];
    column.labels = series.labels;
    drop_name(column.labels);
    column.values.assign(steps, absent_value());
    for (size_t i = 0; i < steps; ++i) {
      if (!series.histograms[i]) continue;
      const FloatHistogram& histogram = *series.histograms[i];
      if (!stint.goes_on(1 + histogram.positive.size() + histogram.negative.size())) return;
      column.values[i] = figure_at(histogram, i);
    }
  });
}

net::Result<Evaluated> Evaluator::histogram_function(const Expr& expr, const Grid& grid) {
  const FunctionId id = expr.function->id;
  if (id == FunctionId::histogram_quantile) return histogram_quantile(expr, grid);
  if (id == FunctionId::histogram_fraction) return histogram_fraction(expr, grid);
  Answer input = eval(*expr.children[0], grid);
  if (!input) return input;
  Evaluated out;
  auto done =
      figures_of(*input, grid.size, out.series,
                 [id](const FloatHistogram& histogram, size_t) { return figure(id, histogram); });
  if (!done) return done.error();
  if (auto joined = join_equal(out.series); !joined) return joined.error();
  if (auto paid = charge(out.charge, out.series.size() * grid.size); !paid) return paid.error();
  return out;
}

net::Result<Evaluated> Evaluator::histogram_quantile(const Expr& expr, const Grid& grid) {
  auto q = scalar_argument(*expr.children[0], grid);
  if (!q) return q.error();
  for (const double one : *q) {
    if (one < 0 || one > 1 || std::isnan(one))
      warn(*expr.children[0], "quantile value should be between 0 and 1, got " + number_text(one));
  }
  Answer input = eval(*expr.children[1], grid);
  if (!input) return input;
  Evaluated out;
  auto done = figures_of(
      *input, grid.size, out.series,
      [&](const FloatHistogram& histogram, size_t i) { return histogram.quantile((*q)[i]); });
  if (!done) return done.error();
  bool bad_bound = false;
  bool repaired = false;
  Stint stint(*this);
  for (ClassicGroup& group : classic_groups(input->series, bad_bound)) {
    if (auto wanted = still_wanted(); !wanted) return wanted.error();
    EvalSeries column;
    column.labels = std::move(group.labels);
    column.values.assign(grid.size, absent_value());
    for (size_t i = 0; i < grid.size; ++i) {
      if (!stint.goes_on(1 + group.buckets.size())) return std::move(stint).outcome().error();
      std::vector<ClassicBucket> buckets = buckets_at(group, i);
      if (!buckets.empty()) column.values[i] = classic_quantile((*q)[i], buckets, repaired);
    }
    out.series.push_back(std::move(column));
  }
  if (bad_bound) warn(*expr.children[1], "bucket label \"le\" is missing or has a malformed value");
  if (repaired)
    inform(*expr.children[1], "input to histogram_quantile needed to be fixed for monotonicity");
  if (auto joined = join_equal(out.series); !joined) return joined.error();
  if (auto paid = charge(out.charge, out.series.size() * grid.size); !paid) return paid.error();
  return out;
}

net::Result<Evaluated> Evaluator::histogram_fraction(const Expr& expr, const Grid& grid) {
  auto lower = scalar_argument(*expr.children[0], grid);
  if (!lower) return lower.error();
  auto upper = scalar_argument(*expr.children[1], grid);
  if (!upper) return upper.error();
  Answer input = eval(*expr.children[2], grid);
  if (!input) return input;
  Evaluated out;
  auto done =
      figures_of(*input, grid.size, out.series, [&](const FloatHistogram& histogram, size_t i) {
        return histogram.fraction((*lower)[i], (*upper)[i]);
      });
  if (!done) return done.error();
  bool bad_bound = false;
  Stint stint(*this);
  for (ClassicGroup& group : classic_groups(input->series, bad_bound)) {
    EvalSeries column;
    column.labels = std::move(group.labels);
    column.values.assign(grid.size, absent_value());
    for (size_t i = 0; i < grid.size; ++i) {
      if (!stint.goes_on(1 + group.buckets.size())) return std::move(stint).outcome().error();
      const std::vector<ClassicBucket> buckets = buckets_at(group, i);
      if (!buckets.empty()) column.values[i] = classic_fraction((*lower)[i], (*upper)[i], buckets);
    }
    out.series.push_back(std::move(column));
  }
  if (bad_bound) warn(*expr.children[2], "bucket label \"le\" is missing or has a malformed value");
  if (auto joined = join_equal(out.series); !joined) return joined.error();
  if (auto paid = charge(out.charge, out.series.size() * grid.size); !paid) return paid.error();
  return out;
}

}  // namespace hms::collector::promql
