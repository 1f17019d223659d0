// series_bounds.h: what the series store takes of a point, for those who tell senders of it.
#pragma once

#include <cstdint>

namespace hms::collector {

/// How far a point may be ahead of its arrival.
inline constexpr int64_t kMaxPointAheadMillis = 300'000;

}  // namespace hms::collector
