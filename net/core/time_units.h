// time_units.h: how many of one unit make another, in the types that our times have: nanoseconds
// unsigned (OTLP's), milliseconds signed (those of samples and of PromQL).
#pragma once

#include <cstdint>

namespace hms::net {

inline constexpr uint64_t kNanosPerMilli = 1'000'000;
inline constexpr uint64_t kNanosPerSecond = 1'000 * kNanosPerMilli;
inline constexpr uint64_t kNanosPerHour = 3'600 * kNanosPerSecond;
inline constexpr uint64_t kNanosPerDay = 24 * kNanosPerHour;

inline constexpr int64_t kMillisPerMinute = 60'000;
inline constexpr int64_t kMillisPerHour = 60 * kMillisPerMinute;
inline constexpr int64_t kMillisPerDay = 24 * kMillisPerHour;

inline constexpr uint64_t kSecondsPerDay = 86'400;

}  // namespace hms::net
