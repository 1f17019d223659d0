// series_rollup.h: a day's points thinned to those that questions with coarse steps need.
//
// Of each interval (a minute, an hour; left-open, as PromQL's ranges are) the real points that
// decide are kept: the first, the last, the least, the greatest, both sides of every counter reset,
// stale markers. So rate, increase, delta, min_over_time, max_over_time, last_over_time and plain
// selectors whose windows and steps lie on the intervals' borders come out as from all points.
// Sums, averages, counts, deviations and changes come out of series_sums.h; other functions read
// all points. Thread: values.
#pragma once

#include <array>
#include <cstdint>

#include "collector/store/series_packed.h"
#include "net/core/time_units.h"

namespace hms::collector {

struct RollupLevel {
  uint8_t number;  // in keys
  int64_t millis;
};
/// Coarsest first.
inline constexpr std::array<RollupLevel, 2> kRollupLevels = {
    {{2, net::kMillisPerHour}, {1, net::kMillisPerMinute}}};

[[nodiscard]] PointColumns thin_out(const PointColumns& points, int64_t interval_millis);

}  // namespace hms::collector
