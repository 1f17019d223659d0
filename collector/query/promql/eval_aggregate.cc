// eval_aggregate.cc: sum, avg, min ... by and without. Source: prometheus/promql/engine.go
// aggregation.
#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "collector/query/promql/eval.h"

namespace hms::collector::promql {
namespace {

LabelSet group_labels(const Expr& expr, const LabelSet& labels) {
  return expr.without ? without_labels(labels, expr.grouping) : keep_labels(labels, expr.grouping);
}

/// One group's running figures, a column each.
struct Group {
  LabelSet labels;
  std::vector<double> value;                // sum, min, max, mean
  std::vector<double> auxiliary;            // the sum's compensation; the sum of squared distances
  std::vector<uint32_t> numbers;            // how many plain numbers
  std::vector<uint32_t> histograms;         // how many histograms
  std::vector<FloatHistogramPtr> total;     // the only one, or a sum of our own
  std::vector<std::vector<double>> values;  // quantile: all of them
};

void add_number(AggregateOp op, Group& group, size_t i, double value) {
  const uint32_t n = ++group.numbers[i];
  double& kept = group.value[i];
  double& auxiliary = group.auxiliary[i];
  switch (op) {
    case AggregateOp::sum:
    case AggregateOp::avg: {
      ExactSum sum{kept, auxiliary};
      sum.add(value);
      kept = sum.sum;
      auxiliary = sum.compensation;
      return;
    }
    case AggregateOp::min:
      if (n == 1 || value < kept || std::isnan(kept)) kept = value;
      return;
    case AggregateOp::max:
      if (n == 1 || value > kept || std::isnan(kept)) kept = value;
      return;
    case AggregateOp::stddev:
    case AggregateOp::stdvar: {  // Welford
      const double distance = value - kept;
      kept += distance / n;
      auxiliary += distance * (value - kept);
      return;
    }
    case AggregateOp::quantile:
      group.values[i].push_back(value);
      return;
    case AggregateOp::count:
    case AggregateOp::group:
    case AggregateOp::topk:
    case AggregateOp::bottomk:
    case AggregateOp::count_values:
      return;
  }
}

// sum and avg of plain numbers: without a look at the kind for each of them.
void add_column(Group& group, const std::vector<double>& values) {
  double* const sums = group.value.data();
  double* const compensations = group.auxiliary.data();
  uint32_t* const numbers = group.numbers.data();
  const double* const added = values.data();
  const size_t count = std::min(values.size(), group.value.size());
  for (size_t i = 0; i < count; ++i) {
    if (is_absent(added[i])) continue;
    ExactSum sum{sums[i], compensations[i]};
    sum.add(added[i]);
    sums[i] = sum.sum;
    compensations[i] = sum.compensation;
    ++numbers[i];
  }
}

// A group of one series, as of `sum by (route)` with one sidecar a route, is not copied.
void add_histogram(Group& group, size_t i, const FloatHistogramPtr& histogram) {
  if (group.total.empty()) group.total.resize(group.value.size());
  FloatHistogramPtr& total = group.total[i];
  const uint32_t n = ++group.histograms[i];
  if (n == 1) {
    total = histogram;
    return;
  }
  if (n == 2) total = std::make_shared<FloatHistogram>(*total);
  std::const_pointer_cast<FloatHistogram>(total)->add(*histogram);
}

double finished(AggregateOp op, Group& group, size_t i, double parameter) {
  const double n = group.numbers[i];
  switch (op) {
    case AggregateOp::sum:
      return ExactSum{group.value[i], group.auxiliary[i]}.value();
    case AggregateOp::avg:
      return ExactSum{group.value[i], group.auxiliary[i]}.value() / n;
    case AggregateOp::min:
    case AggregateOp::max:
      return group.value[i];
    case AggregateOp::count:
      return n + group.histograms[i];
    case AggregateOp::group:
      return 1;
    case AggregateOp::stddev:
      return std::sqrt(group.auxiliary[i] / n);
    case AggregateOp::stdvar:
      return group.auxiliary[i] / n;
    case AggregateOp::quantile:
      return quantile_of(parameter, group.values[i]);
    case AggregateOp::topk:
    case AggregateOp::bottomk:
    case AggregateOp::count_values:
      break;
  }
  return 0;
}

size_t buckets_of(const FloatHistogram& histogram) {
  return 1 + histogram.positive.size() + histogram.negative.size();
}

bool adds_histograms(AggregateOp op) { return op == AggregateOp::sum || op == AggregateOp::avg; }
bool counts_histograms(AggregateOp op) {
  return op == AggregateOp::count || op == AggregateOp::group;
}

}  // namespace

net::Result<Evaluated> Evaluator::aggregate(const Expr& expr, const Grid& grid) {
  Answer input = eval(*expr.children[0], grid);
  if (!input) return input;
  const AggregateOp op = expr.aggregate;
  if (op == AggregateOp::count_values)
    return count_values(expr, grid, *input, unwrap(*expr.children[1]).text);
  std::vector<double> parameter;
  if (takes_parameter(op)) {
    auto values = scalar_argument(*expr.children[1], grid);
    if (!values) return values.error();
    parameter = std::move(*values);
  }
  if (op == AggregateOp::topk || op == AggregateOp::bottomk)
    return select_k(expr, grid, std::move(*input), parameter);

  std::unordered_map<std::string, size_t> index;
  std::vector<Group> groups;
  Charge held;
  bool ignored_histograms = false;
  Stint adding(*this);
  for (const EvalSeries& series : input->series) {
    if (auto wanted = still_wanted(); !wanted) return wanted.error();
    LabelSet labels = group_labels(expr, series.labels);
    const auto [it, fresh] = index.try_emplace(label_key(labels), groups.size());
    if (fresh) {
      if (auto paid = charge(held, grid.size * 3); !paid) return paid.error();
      Group group;
      group.labels = std::move(labels);
      group.value.assign(grid.size, 0);
      group.auxiliary.assign(grid.size, 0);
      group.numbers.assign(grid.size, 0);
      group.histograms.assign(grid.size, 0);
      if (op == AggregateOp::quantile) group.values.resize(grid.size);
      groups.push_back(std::move(group));
    }
    Group& group = groups[it->second];
    if (adds_histograms(op) && series.histograms.empty()) {
      add_column(group, series.values);
      continue;
    }
    for (size_t i = 0; i < grid.size; ++i) {
      if (series.has_histogram(i)) {
        if (!adding.goes_on(buckets_of(*series.histograms[i])))
          return std::move(adding).outcome().error();
        if (adds_histograms(op)) {
          add_histogram(group, i, series.histograms[i]);
        } else if (counts_histograms(op)) {
          ++group.histograms[i];
        } else {
          ignored_histograms = true;
        }
      } else if (!is_absent(series.values[i])) {
        add_number(op, group, i, series.values[i]);
      }
    }
  }
  if (ignored_histograms)
    inform(expr, "ignored histograms in " + std::string(aggregate_name(op)) + " aggregation");
  if (op == AggregateOp::quantile) {
    for (const double q : parameter) {
      if (q < 0 || q > 1 || std::isnan(q))
        warn(*expr.children[1], "quantile value should be between 0 and 1, got " + number_text(q));
    }
  }

  Evaluated out;
  bool mixed = false;
  Stint stint(*this);
  for (Group& group : groups) {
    EvalSeries series;
    series.labels = std::move(group.labels);
    series.values.assign(grid.size, absent_value());
    bool any = false;
    for (size_t i = 0; i < grid.size; ++i) {
      if (group.numbers[i] == 0 && group.histograms[i] == 0) continue;
      if (!stint.goes_on(op == AggregateOp::quantile ? group.numbers[i] : 1))
        return std::move(stint).outcome().error();
      if (adds_histograms(op) && group.histograms[i] > 0) {
        if (group.numbers[i] > 0) {
          mixed = true;
          continue;
        }
        if (op == AggregateOp::avg && group.histograms[i] > 1)
          std::const_pointer_cast<FloatHistogram>(group.total[i])
              ->multiply(1.0 / group.histograms[i]);
        series.set_histogram(i, std::move(group.total[i]));
      } else {
        series.values[i] = finished(op, group, i, parameter.empty() ? 0 : parameter[i]);
      }
      any = true;
    }
    if (any) out.series.push_back(std::move(series));
  }
  if (mixed) warn(expr, "encountered a mix of histograms and floats for aggregation");
  if (auto paid = charge(out.charge, out.series.size() * grid.size); !paid) return paid.error();
  return out;
}

net::Result<Evaluated> Evaluator::select_k(const Expr& expr, const Grid& grid, Evaluated input,
                                           const std::vector<double>& k) {
  const bool top = expr.aggregate == AggregateOp::topk;
  std::unordered_map<std::string, std::vector<uint32_t>> groups;
  std::vector<const std::vector<uint32_t>*> in_order;
  for (size_t s = 0; s < input.series.size(); ++s) {
    auto [it, fresh] = groups.try_emplace(label_key(group_labels(expr, input.series[s].labels)));
    it->second.push_back(static_cast<uint32_t>(s));
    if (fresh) in_order.push_back(&it->second);
  }
  std::vector<std::vector<bool>> chosen(input.series.size(), std::vector<bool>(grid.size));
  std::vector<uint32_t> order;  // of an instant answer
  std::vector<uint32_t> candidates;
  bool ignored_histograms = false;
  Stint stint(*this);
  for (const std::vector<uint32_t>* group : in_order) {
    if (auto wanted = still_wanted(); !wanted) return wanted.error();
    for (size_t i = 0; i < grid.size; ++i) {
      if (std::isnan(k[i])) return execution_error("parameter value is NaN");
      if (k[i] >= 9.2e18 || k[i] <= -9.2e18)
        return execution_error("scalar value " + number_text(k[i]) + " overflows int64");
      if (!stint.goes_on(1 + group->size())) return std::move(stint).outcome().error();
      if (k[i] < 1) continue;
      candidates.clear();
      for (const uint32_t s : *group) {
        if (!is_absent(input.series[s].values[i])) candidates.push_back(s);
        ignored_histograms = ignored_histograms || input.series[s].has_histogram(i);
      }
      const size_t wanted = std::min(candidates.size(), static_cast<size_t>(std::min(k[i], 1e9)));
      // NaN is the least wanted either way; equal values stay in label order.
      const auto before = [&](uint32_t a, uint32_t b) {
        const double left = input.series[a].values[i];
        const double right = input.series[b].values[i];
        if (std::isnan(left) || std::isnan(right)) return !std::isnan(left) && std::isnan(right);
        return top ? left > right : left < right;
      };
      std::stable_sort(candidates.begin(), candidates.end(), before);
      for (size_t c = 0; c < wanted; ++c) {
        chosen[candidates[c]][i] = true;
        if (grid.size == 1) order.push_back(candidates[c]);
      }
    }
  }
  if (ignored_histograms)
    inform(expr,
           "ignored histograms in " + std::string(aggregate_name(expr.aggregate)) + " aggregation");
  Evaluated out;
  if (grid.size == 1) {
    out.ordered = true;
    for (const uint32_t s : order) out.series.push_back(std::move(input.series[s]));
    for (EvalSeries& series : out.series) series.histograms.clear();
    out.charge = std::move(input.charge);
    return out;
  }
  for (size_t s = 0; s < input.series.size(); ++s) {
    if (std::find(chosen[s].begin(), chosen[s].end(), true) == chosen[s].end()) continue;
    EvalSeries& series = input.series[s];
    for (size_t i = 0; i < grid.size; ++i) {
      if (!chosen[s][i]) series.values[i] = absent_value();
    }
    series.histograms.clear();
    out.series.push_back(std::move(series));
  }
  out.charge = std::move(input.charge);
  return out;
}

net::Result<Evaluated> Evaluator::count_values(const Expr& expr, const Grid& grid,
                                               const Evaluated& input, const std::string& label) {
  if (label.empty()) return execution_error("invalid label name \"\" in count_values");
  // The label is set before the grouping is looked at: `without` can take it away again.
  const bool taken_away =
      expr.without && (label == "__name__" ||
                       std::binary_search(expr.grouping.begin(), expr.grouping.end(), label));
  Evaluated out;
  std::unordered_map<std::string, size_t> index;
  Stint stint(*this);
  for (const EvalSeries& series : input.series) {
    if (auto wanted = still_wanted(); !wanted) return wanted.error();
    const LabelSet base = group_labels(expr, series.labels);
    for (size_t i = 0; i < grid.size; ++i) {
      if (is_absent(series.values[i])) continue;
      // Writing a number and looking labels up is as much work as a look at dozens of points.
      if (!stint.goes_on(64)) return std::move(stint).outcome().error();
      LabelSet labels = base;
      if (!taken_away) set_label(labels, label, number_text(series.values[i]));
      const auto [it, fresh] = index.try_emplace(label_key(labels), out.series.size());
      if (fresh) {
        if (auto paid = charge(out.charge, grid.size); !paid) return paid.error();
        EvalSeries column;
        column.labels = std::move(labels);
        column.values.assign(grid.size, absent_value());
        out.series.push_back(std::move(column));
      }
      double& count = out.series[it->second].values[i];
      count = is_absent(count) ? 1 : count + 1;
    }
  }
  return out;
}

}  // namespace hms::collector::promql
