// chunk_days.h: in which day's family a record is kept. Thread: any.
#pragma once

#include <algorithm>
#include <cstdint>
#include <set>

#include "collector/store/kv.h"

namespace hms::collector {

/// The day of its own time, unless that is out of reach (30 days back, one ahead); then the day it
/// came.
[[nodiscard]] inline Family family_of_record(uint64_t time_unix_nanos,
                                             uint64_t arrived_unix_nanos) noexcept {
  constexpr uint32_t kDaysBack = 30, kDaysAhead = 1;
  const uint32_t day = Family::of_unix_nanos(time_unix_nanos).day;
  const uint32_t today = Family::of_unix_nanos(arrived_unix_nanos).day;
  return Family{day + kDaysBack < today || day > today + kDaysAhead ? today : day};
}

/// The same, but for days that are on their way to the lake: then the day it came.
[[nodiscard]] inline Family open_family_of_record(uint64_t time_unix_nanos,
                                                  uint64_t arrived_unix_nanos,
                                                  const std::set<Family>& sealed) {
  const Family day = family_of_record(time_unix_nanos, arrived_unix_nanos);
  return sealed.contains(day) ? Family::of_unix_nanos(arrived_unix_nanos) : day;
}

}  // namespace hms::collector
