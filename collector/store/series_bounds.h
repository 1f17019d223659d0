// series_bounds.h: which times are taken of a record, for those who keep it and those who tell
// senders of it.
#pragma once

#include <cstdint>

#include "net/core/time_units.h"

namespace hms::collector {

/// How far a point may be ahead of its arrival.
inline constexpr int64_t kMaxPointAheadMillis = 300'000;

/// The first moment of what is kept: whole UTC days besides today (docs/retention.md), for logs,
/// spans and points alike.
[[nodiscard]] constexpr int64_t oldest_kept_millis(int64_t now_millis, uint32_t days) noexcept {
  return (now_millis / net::kMillisPerDay - days) * net::kMillisPerDay;
}

}  // namespace hms::collector
