// functions.h: every PromQL function: its name, what it takes and what it gives. A new one: a line
// in functions.cc, an id here, and its implementation in eval_range_functions.cc (windows) or
// eval_functions.cc (vectors); docs/query.md lists them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "collector/query/promql/ast.h"

namespace hms::collector::promql {

enum class FunctionId : uint8_t {
  // over a range of time
  rate,
  increase,
  delta,
  irate,
  idelta,
  changes,
  resets,
  deriv,
  predict_linear,
  double_exponential_smoothing,
  avg_over_time,
  min_over_time,
  max_over_time,
  sum_over_time,
  count_over_time,
  last_over_time,
  first_over_time,
  present_over_time,
  absent_over_time,
  stddev_over_time,
  stdvar_over_time,
  quantile_over_time,
  mad_over_time,
  // each value by itself
  abs,
  ceil,
  floor,
  exp,
  ln,
  log2,
  log10,
  sqrt,
  sgn,
  round,
  clamp,
  clamp_min,
  clamp_max,
  sin,
  cos,
  tan,
  asin,
  acos,
  atan,
  sinh,
  cosh,
  tanh,
  asinh,
  acosh,
  atanh,
  deg,
  rad,
  // time
  time,
  timestamp,
  minute,
  hour,
  day_of_week,
  day_of_month,
  day_of_year,
  days_in_month,
  month,
  year,
  // kinds and labels
  scalar,
  vector,
  pi,
  absent,
  label_replace,
  label_join,
  sort,
  sort_desc,
  sort_by_label,
  sort_by_label_desc,
  // histograms
  histogram_quantile,
  histogram_count,
  histogram_sum,
  histogram_avg,
  histogram_fraction,
  histogram_stddev,
  histogram_stdvar,
};

inline constexpr uint8_t kAnyNumber = 255;

struct Function {
  FunctionId id;
  std::string_view name;
  ValueType result;
  uint8_t required;  // arguments that must be there
  uint8_t maximum;   // kAnyNumber: the last type repeats
  ValueType arguments[5];
};

/// Null when there is none of that name.
[[nodiscard]] const Function* find_function(std::string_view name) noexcept;
[[nodiscard]] std::span<const Function> all_functions() noexcept;

}  // namespace hms::collector::promql
