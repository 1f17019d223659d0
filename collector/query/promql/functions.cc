// functions.cc: the table of functions. Source: prometheus/promql/parser/functions.go.
#include "collector/query/promql/functions.h"

namespace hms::collector::promql {
namespace {

constexpr ValueType S = ValueType::scalar;
constexpr ValueType T = ValueType::text;
constexpr ValueType V = ValueType::vector;
constexpr ValueType M = ValueType::matrix;

constexpr Function kFunctions[] = {
    {FunctionId::rate, "rate", V, 1, 1, {M}},
    {FunctionId::increase, "increase", V, 1, 1, {M}},
    {FunctionId::delta, "delta", V, 1, 1, {M}},
    {FunctionId::irate, "irate", V, 1, 1, {M}},
    {FunctionId::idelta, "idelta", V, 1, 1, {M}},
    {FunctionId::changes, "changes", V, 1, 1, {M}},
    {FunctionId::resets, "resets", V, 1, 1, {M}},
    {FunctionId::deriv, "deriv", V, 1, 1, {M}},
    {FunctionId::predict_linear, "predict_linear", V, 2, 2, {M, S}},
    {FunctionId::double_exponential_smoothing, "double_exponential_smoothing", V, 3, 3, {M, S, S}},
    {FunctionId::double_exponential_smoothing, "holt_winters", V, 3, 3, {M, S, S}},
    {FunctionId::avg_over_time, "avg_over_time", V, 1, 1, {M}},
    {FunctionId::min_over_time, "min_over_time", V, 1, 1, {M}},
    {FunctionId::max_over_time, "max_over_time", V, 1, 1, {M}},
    {FunctionId::sum_over_time, "sum_over_time", V, 1, 1, {M}},
    {FunctionId::count_over_time, "count_over_time", V, 1, 1, {M}},
    {FunctionId::last_over_time, "last_over_time", V, 1, 1, {M}},
    {FunctionId::first_over_time, "first_over_time", V, 1, 1, {M}},
    {FunctionId::present_over_time, "present_over_time", V, 1, 1, {M}},
    {FunctionId::absent_over_time, "absent_over_time", V, 1, 1, {M}},
    {FunctionId::stddev_over_time, "stddev_over_time", V, 1, 1, {M}},
    {FunctionId::stdvar_over_time, "stdvar_over_time", V, 1, 1, {M}},
    {FunctionId::quantile_over_time, "quantile_over_time", V, 2, 2, {S, M}},
    {FunctionId::mad_over_time, "mad_over_time", V, 1, 1, {M}},
    {FunctionId::abs, "abs", V, 1, 1, {V}},
    {FunctionId::ceil, "ceil", V, 1, 1, {V}},
    {FunctionId::floor, "floor", V, 1, 1, {V}},
    {FunctionId::exp, "exp", V, 1, 1, {V}},
    {FunctionId::ln, "ln", V, 1, 1, {V}},
    {FunctionId::log2, "log2", V, 1, 1, {V}},
    {FunctionId::log10, "log10", V, 1, 1, {V}},
    {FunctionId::sqrt, "sqrt", V, 1, 1, {V}},
    {FunctionId::sgn, "sgn", V, 1, 1, {V}},
    {FunctionId::round, "round", V, 1, 2, {V, S}},
    {FunctionId::clamp, "clamp", V, 3, 3, {V, S, S}},
    {FunctionId::clamp_min, "clamp_min", V, 2, 2, {V, S}},
    {FunctionId::clamp_max, "clamp_max", V, 2, 2, {V, S}},
    {FunctionId::sin, "sin", V, 1, 1, {V}},
    {FunctionId::cos, "cos", V, 1, 1, {V}},
    {FunctionId::tan, "tan", V, 1, 1, {V}},
    {FunctionId::asin, "asin", V, 1, 1, {V}},
    {FunctionId::acos, "acos", V, 1, 1, {V}},
    {FunctionId::atan, "atan", V, 1, 1, {V}},
    {FunctionId::sinh, "sinh", V, 1, 1, {V}},
    {FunctionId::cosh, "cosh", V, 1, 1, {V}},
    {FunctionId::tanh, "tanh", V, 1, 1, {V}},
    {FunctionId::asinh, "asinh", V, 1, 1, {V}},
    {FunctionId::acosh, "acosh", V, 1, 1, {V}},
    {FunctionId::atanh, "atanh", V, 1, 1, {V}},
    {FunctionId::deg, "deg", V, 1, 1, {V}},
    {FunctionId::rad, "rad", V, 1, 1, {V}},
    {FunctionId::time, "time", S, 0, 0, {}},
    {FunctionId::timestamp, "timestamp", V, 1, 1, {V}},
    {FunctionId::minute, "minute", V, 0, 1, {V}},
    {FunctionId::hour, "hour", V, 0, 1, {V}},
    {FunctionId::day_of_week, "day_of_week", V, 0, 1, {V}},
    {FunctionId::day_of_month, "day_of_month", V, 0, 1, {V}},
    {FunctionId::day_of_year, "day_of_year", V, 0, 1, {V}},
    {FunctionId::days_in_month, "days_in_month", V, 0, 1, {V}},
    {FunctionId::month, "month", V, 0, 1, {V}},
    {FunctionId::year, "year", V, 0, 1, {V}},
    {FunctionId::scalar, "scalar", S, 1, 1, {V}},
    {FunctionId::vector, "vector", V, 1, 1, {S}},
    {FunctionId::pi, "pi", S, 0, 0, {}},
    {FunctionId::absent, "absent", V, 1, 1, {V}},
    {FunctionId::label_replace, "label_replace", V, 5, 5, {V, T, T, T, T}},
    {FunctionId::label_join, "label_join", V, 3, kAnyNumber, {V, T, T, T}},
    {FunctionId::sort, "sort", V, 1, 1, {V}},
    {FunctionId::sort_desc, "sort_desc", V, 1, 1, {V}},
    {FunctionId::sort_by_label, "sort_by_label", V, 2, kAnyNumber, {V, T}},
    {FunctionId::sort_by_label_desc, "sort_by_label_desc", V, 2, kAnyNumber, {V, T}},
    {FunctionId::histogram_quantile, "histogram_quantile", V, 2, 2, {S, V}},
    {FunctionId::histogram_count, "histogram_count", V, 1, 1, {V}},
    {FunctionId::histogram_sum, "histogram_sum", V, 1, 1, {V}},
    {FunctionId::histogram_avg, "histogram_avg", V, 1, 1, {V}},
    {FunctionId::histogram_fraction, "histogram_fraction", V, 3, 3, {S, S, V}},
    {FunctionId::histogram_stddev, "histogram_stddev", V, 1, 1, {V}},
    {FunctionId::histogram_stdvar, "histogram_stdvar", V, 1, 1, {V}},
};

}  // namespace

const Function* find_function(std::string_view name) noexcept {
  for (const Function& function : kFunctions) {
    if (function.name == name) return &function;
  }
  return nullptr;
}

std::span<const Function> all_functions() noexcept { return kFunctions; }

}  // namespace hms::collector::promql
