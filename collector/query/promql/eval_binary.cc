// eval_binary.cc: operators between scalars and vectors: arithmetic, comparisons, and/or/unless,
// with vector matching.
//
// Series are matched once by their labels; values are then combined step by step. Source:
// prometheus/promql/engine.go VectorBinop.
#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "collector/query/promql/eval.h"

namespace hms::collector::promql {
namespace {

bool keeps_name(const Expr& expr) { return is_comparison(expr.op) && !expr.return_bool; }

LabelSet matched_labels(const LabelSet& labels, const Matching& matching) {
  return matching.on ? keep_labels(labels, matching.labels)
                     : without_labels(labels, matching.labels);
}

std::string signature(const LabelSet& labels, const Matching& matching) {
  return label_key(matched_labels(labels, matching));
}

/// What one step of an operator gives: nothing, a number or a histogram.
struct StepResult {
  bool present = false;
  double value = 0;
  FloatHistogramPtr histogram;
};

StepResult combine_numbers(const Expr& expr, double left, double right) {
  bool keep = true;
  const double value = apply(expr.op, left, right, keep);
  if (expr.return_bool) return {true, keep ? 1.0 : 0.0, nullptr};
  return {keep, value, nullptr};
}

StepResult combine_histograms(const Expr& expr, const FloatHistogramPtr& left,
                              const FloatHistogramPtr& right) {
  if (expr.op == BinaryOp::add || expr.op == BinaryOp::subtract) {
    auto out = std::make_shared<FloatHistogram>(*left);
    out->add(*right, expr.op == BinaryOp::add ? 1 : -1);
    return {true, 0, std::move(out)};
  }
  if (expr.op != BinaryOp::equal && expr.op != BinaryOp::not_equal) return {};
  const bool keep = (*left == *right) == (expr.op == BinaryOp::equal);
  if (expr.return_bool) return {true, keep ? 1.0 : 0.0, nullptr};
  return {keep, 0, keep ? left : nullptr};
}

StepResult scale_histogram(const Expr& expr, const FloatHistogramPtr& histogram, double factor,
                           bool histogram_left) {
  const bool multiply = expr.op == BinaryOp::multiply;
  if (!multiply && !(expr.op == BinaryOp::divide && histogram_left)) return {};
  auto out = std::make_shared<FloatHistogram>(*histogram);
  out->multiply(multiply ? factor : 1 / factor);
  return {true, 0, std::move(out)};
}

StepResult combine(const Expr& expr, const EvalSeries& left, const EvalSeries& right, size_t i,
                   bool& incompatible) {
  const FloatHistogramPtr left_histogram = left.histogram(i);
  const FloatHistogramPtr right_histogram = right.histogram(i);
  StepResult out;
  if (!left_histogram && !right_histogram)
    return combine_numbers(expr, left.values[i], right.values[i]);
  if (left_histogram && right_histogram) {
    out = combine_histograms(expr, left_histogram, right_histogram);
    incompatible = incompatible ||
                   (!out.present && expr.op != BinaryOp::equal && expr.op != BinaryOp::not_equal);
    return out;
  }
  out = left_histogram ? scale_histogram(expr, left_histogram, right.values[i], true)
                       : scale_histogram(expr, right_histogram, left.values[i], false);
  incompatible = incompatible || !out.present;
  return out;
}

LabelSet result_labels(const Expr& expr, const LabelSet& many, const LabelSet& one) {
  const Matching& matching = expr.matching;
  LabelSet out = many;
  if (!keeps_name(expr)) drop_name(out);
  if (matching.cardinality == Cardinality::one_to_one && matching.given) {
    if (matching.on) {
      out = keep_labels(out, matching.labels);
    } else {
      for (const std::string& label : matching.labels) set_label(out, label, "");
    }
  }
  for (const std::string& label : matching.include) {
    std::string value;
    for (const auto& [name, text] : one) {
      if (name == label) value = text;
    }
    set_label(out, label, std::move(value));
  }
  return out;
}

net::Error duplicate_match(const Expr& expr, const LabelSet& first, const LabelSet& second) {
  const Matching& matching = expr.matching;
  const bool right_side = matching.cardinality != Cardinality::one_to_many;
  return execution_error(
      "found duplicate series for the match group " + labels_text(matched_labels(first, matching)) +
      " on the " + std::string(right_side ? "right" : "left") + " hand-side of the operation: [" +
      labels_text(first) + ", " + labels_text(second) +
      "];many-to-many matching not allowed: matching labels must be unique on one side");
}

std::vector<bool> steps_present(const std::vector<EvalSeries>& series, size_t steps) {
  std::vector<bool> out(steps);
  for (const EvalSeries& one : series) {
    for (size_t i = 0; i < steps; ++i) {
      if (one.present(i)) out[i] = true;
    }
  }
  return out;
}

std::unordered_map<std::string, std::vector<uint32_t>> group_by_signature(
    const std::vector<EvalSeries>& series, const Matching& matching) {
  std::unordered_map<std::string, std::vector<uint32_t>> out;
  out.reserve(series.size());
  for (size_t i = 0; i < series.size(); ++i)
    out[signature(series[i].labels, matching)].push_back(static_cast<uint32_t>(i));
  return out;
}

}  // namespace

net::Result<Evaluated> Evaluator::binary(const Expr& expr, const Grid& grid) {
  const std::vector<const Expr*> chain = chain_of(expr);
  Answer left = eval(*chain.front()->children[0], grid);
  for (const Expr* link : chain) {
    if (!left) return left;
    Answer right = eval(*link->children[1], grid);
    if (!right) return right;
    left = combine_sides(*link, std::move(left), std::move(right), grid);
  }
  return left;
}

net::Result<Evaluated> Evaluator::combine_sides(const Expr& expr, Answer left, Answer right,
                                                const Grid& grid) {
  if (left->type == ValueType::scalar && right->type == ValueType::scalar)
    return scalar_scalar(expr, std::move(*left), *right);
  if (right->type == ValueType::scalar) return vector_scalar(expr, std::move(*left), *right, false);
  if (left->type == ValueType::scalar) return vector_scalar(expr, std::move(*right), *left, true);
  if (is_set_op(expr.op)) return set_operation(expr, std::move(*left), std::move(*right), grid);
  return vector_vector(expr, std::move(*left), std::move(*right), grid);
}

net::Result<Evaluated> Evaluator::scalar_scalar(const Expr& expr, Evaluated left,
                                                const Evaluated& right) {
  Stint stint(*this);
  for (size_t i = 0; i < left.scalars.size(); ++i) {
    if (!stint.goes_on(1)) return std::move(stint).outcome().error();
    left.scalars[i] = combine_numbers(expr, left.scalars[i], right.scalars[i]).value;
  }
  return left;
}

net::Result<Evaluated> Evaluator::vector_scalar(const Expr& expr, Evaluated vector,
                                                const Evaluated& scalar, bool swapped) {
  bool incompatible = false;
  Stint stint(*this);
  for (EvalSeries& series : vector.series) {
    if (!keeps_name(expr)) drop_name(series.labels);
    for (size_t i = 0; i < series.values.size(); ++i) {
      if (!stint.goes_on(1)) return std::move(stint).outcome().error();
      if (!series.present(i)) continue;
      const double other = scalar.scalars[i];
      if (const FloatHistogramPtr histogram = series.histogram(i)) {
        StepResult out = scale_histogram(expr, histogram, other, !swapped);
        incompatible = incompatible || !out.present;
        series.histograms[i] = std::move(out.histogram);
        continue;
      }
      const double own = series.values[i];
      const StepResult out =
          swapped ? combine_numbers(expr, other, own) : combine_numbers(expr, own, other);
      // A filter gives the vector's own value, on whichever side it stands.
      series.values[i] = !out.present ? absent_value() : (keeps_name(expr) ? own : out.value);
    }
  }
  if (incompatible)
    inform(expr, "incompatible sample types encountered for binary operator \"" +
                     std::string(op_text(expr.op)) + "\"");
  if (!keeps_name(expr)) {
    if (auto joined = join_equal(vector.series); !joined) return joined.error();
  }
  return vector;
}

net::Result<void> Evaluator::one_a_group(const Expr& expr, const std::vector<EvalSeries>& many,
                                         const std::vector<EvalSeries>& one, const Groups& groups,
                                         const Grid& grid) const {
  Stint stint(*this);
  std::vector<bool> asked;  // the steps at which the other side has anything; made when needed
  for (const auto& [key, group] : groups) {
    if (group.size() < 2) continue;
    if (asked.empty()) asked = steps_present(many, grid.size);
    std::vector<const EvalSeries*> there(grid.size);
    for (const uint32_t member : group) {
      if (!stint.goes_on(grid.size)) return std::move(stint).outcome();
      for (size_t i = 0; i < grid.size; ++i) {
        if (!asked[i] || !one[member].present(i)) continue;
        if (there[i] != nullptr) return duplicate_match(expr, there[i]->labels, one[member].labels);
        there[i] = &one[member];
      }
    }
  }
  return {};
}

net::Result<Evaluated> Evaluator::vector_vector(const Expr& expr, Evaluated left, Evaluated right,
                                                const Grid& grid) {
  const bool one_left = expr.matching.cardinality == Cardinality::one_to_many;
  const bool one_to_one = expr.matching.cardinality == Cardinality::one_to_one;
  Evaluated& many = one_left ? right : left;
  Evaluated& one = one_left ? left : right;
  const Groups groups = group_by_signature(one.series, expr.matching);
  if (auto unique = one_a_group(expr, many.series, one.series, groups, grid); !unique)
    return unique.error();
  Evaluated out;
  std::unordered_map<std::string, size_t> results;
  bool incompatible = false;
  Stint stint(*this);
  for (const EvalSeries& series : many.series) {
    if (auto wanted = still_wanted(); !wanted) return wanted.error();
    const auto group = groups.find(signature(series.labels, expr.matching));
    if (group == groups.end()) continue;
    for (size_t c = 0; c < group->second.size(); ++c) {
      const EvalSeries& partner = one.series[group->second[c]];
      LabelSet labels = result_labels(expr, series.labels, partner.labels);
      const std::string key = label_key(labels);
      size_t target = SIZE_MAX;
      for (size_t i = 0; i < grid.size; ++i) {
        if (!stint.goes_on(1)) return std::move(stint).outcome().error();
        if (!series.present(i) || !partner.present(i)) continue;
        const StepResult result = one_left ? combine(expr, partner, series, i, incompatible)
                                           : combine(expr, series, partner, i, incompatible);
        if (!result.present) continue;
        if (target == SIZE_MAX) {
          const auto [it, fresh] = results.try_emplace(key, out.series.size());
          target = it->second;
          if (fresh) {
            if (auto paid = charge(out.charge, grid.size); !paid) return paid.error();
            EvalSeries column;
            column.labels = labels;
            column.values.assign(grid.size, absent_value());
            out.series.push_back(std::move(column));
          }
        }
        EvalSeries& into = out.series[target];
        if (into.present(i)) {
          return execution_error(
              one_to_one
                  ? "multiple matches for labels: many-to-one matching must be explicit "
                    "(group_left/group_right)"
                  : "multiple matches for labels: grouping labels must ensure unique matches");
        }
        if (result.histogram) {
          into.set_histogram(i, result.histogram);
        } else {
          into.values[i] = result.value;
        }
      }
    }
  }
  if (incompatible)
    inform(expr, "incompatible sample types encountered for binary operator \"" +
                     std::string(op_text(expr.op)) + "\"");
  return out;
}

net::Result<Evaluated> Evaluator::set_operation(const Expr& expr, Evaluated left, Evaluated right,
                                                const Grid& grid) {
  // Which steps any series of a signature is there at, on the side that decides.
  const bool is_or = expr.op == BinaryOp::set_or;
  const std::vector<EvalSeries>& deciding = is_or ? left.series : right.series;
  std::unordered_map<std::string, std::vector<bool>> present;
  for (const EvalSeries& series : deciding) {
    if (auto wanted = still_wanted(); !wanted) return wanted.error();
    std::vector<bool>& steps = present[signature(series.labels, expr.matching)];
    steps.resize(grid.size);
    for (size_t i = 0; i < grid.size; ++i) {
      if (series.present(i)) steps[i] = true;
    }
  }
  const bool keep_when = expr.op == BinaryOp::set_and;
  Evaluated& filtered = is_or ? right : left;
  for (EvalSeries& series : filtered.series) {
    if (auto wanted = still_wanted(); !wanted) return wanted.error();
    const auto steps = present.find(signature(series.labels, expr.matching));
    for (size_t i = 0; i < grid.size; ++i) {
      const bool there = steps != present.end() && steps->second[i];
      if (there == keep_when) continue;
      series.values[i] = absent_value();
      if (!series.histograms.empty()) series.histograms[i] = nullptr;
    }
  }
  if (!is_or) return left;
  for (EvalSeries& series : right.series) left.series.push_back(std::move(series));
  left.charge.release();
  if (auto paid = charge(left.charge, left.series.size() * grid.size); !paid) return paid.error();
  if (auto joined = join_equal(left.series); !joined) return joined.error();
  return left;
}

}  // namespace hms::collector::promql
