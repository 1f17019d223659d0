// eval_sums.cc: functions over one window whose numbers are known by what they come to, interval by
// interval (collector/store/series_sums.h): the same as eval_window.cc makes of all points.
#include <cmath>

#include "collector/query/promql/eval_window.h"

namespace hms::collector::promql {
namespace {

double count_in(std::span<const PointSums> rows) {
  double out = 0;
  for (const PointSums& row : rows) out += static_cast<double>(row.count);
  return out;
}

double sum_in(std::span<const PointSums> rows) {
  ExactSum out;
  for (const PointSums& row : rows) out.add(row.sum);
  return out.value();
}

// Joins two parts after the other (Chan, Golub and LeVeque: Updating formulae, 1979). Equal values
// have their mean exactly, so that their deviation is 0 and not nearly so.
double variance_in(std::span<const PointSums> rows) {
  ExactSum mean, squares;
  double count = 0;
  for (const PointSums& row : rows) {
    const auto more = static_cast<double>(row.count);
    const double distance = (row.squares == 0 ? row.first : row.sum / more) - mean.value();
    squares.add(row.squares);
    squares.add(distance * distance * (count * more / (count + more)));
    count += more;
    mean.add(distance * (more / count));
  }
  return squares.value() / count;
}

double changes_in(std::span<const PointSums> rows) {
  double out = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    out += static_cast<double>(rows[i].changes);
    if (i == 0) continue;
    const double before = rows[i - 1].last;
    const double now = rows[i].first;
    if (now != before && !(std::isnan(now) && std::isnan(before))) ++out;
  }
  return out;
}

}  // namespace

Need need_of(FunctionId id) noexcept {
  switch (id) {
    case FunctionId::rate:
    case FunctionId::increase:
    case FunctionId::delta:
    case FunctionId::resets:
    case FunctionId::min_over_time:
    case FunctionId::max_over_time:
    case FunctionId::last_over_time:
    case FunctionId::first_over_time:
    case FunctionId::present_over_time:
    case FunctionId::absent_over_time:
      return Need::ends;
    case FunctionId::sum_over_time:
    case FunctionId::avg_over_time:
    case FunctionId::changes:
      return Need::sums;
    case FunctionId::count_over_time:
    case FunctionId::stddev_over_time:
    case FunctionId::stdvar_over_time:
      return Need::sums_and_ends;
    default:
      return Need::all;
  }
}

Outcome compute_from_sums(FunctionId id, const Window& window) {
  const std::span<const PointSums> rows = window.sums;
  const bool histograms = !window.histograms.empty();
  switch (id) {
    case FunctionId::sum_over_time:
      return histograms ? Outcome{} : Outcome{true, sum_in(rows), nullptr};
    case FunctionId::avg_over_time:
      return histograms ? Outcome{} : Outcome{true, sum_in(rows) / count_in(rows), nullptr};
    case FunctionId::count_over_time:
      return {true, count_in(rows) + histogram_count(window.histograms), nullptr};
    case FunctionId::changes:
      return {true, changes_in(rows) + histogram_changes(window.histograms), nullptr};
    case FunctionId::stdvar_over_time:
      return {true, variance_in(rows), nullptr};
    case FunctionId::stddev_over_time:
      return {true, std::sqrt(variance_in(rows)), nullptr};
    default:
      return {};  // asks for no sums
  }
}

}  // namespace hms::collector::promql
