// histogram_parts.h: a histogram cut into even parts, or told in another unit. Thread: any.
#pragma once

#include <cstdint>

#include "telemetry/histogram.h"

namespace hms::collector {

/// Part `i` of `n` (i < n); the parts add up to the whole, and which part a bucket's odd requests
/// fall on differs from bucket to bucket.
[[nodiscard]] telemetry::Histogram part_of(const telemetry::Histogram& whole, uint64_t i,
                                           uint64_t n);

/// Milliseconds to seconds: 1000 is 2^9.966, 319 buckets of scale 5 (0.2 % off).
[[nodiscard]] telemetry::Histogram in_seconds(const telemetry::Histogram& millis);

}  // namespace hms::collector
