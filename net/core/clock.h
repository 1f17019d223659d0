// clock.h: time, with its unit in the type or the name.
//
// Durations inside the programs are std::chrono::milliseconds (Millis) unless the name says
// otherwise; times of telemetry are Unix nanoseconds (uint64_t, `_unix_nanos`), as OTLP has them.
// Tests replace the wall clock through Clock.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

namespace hms::net {

using Millis = std::chrono::milliseconds;
using Nanos = std::chrono::nanoseconds;

/// Monotonic nanoseconds since an arbitrary start. Cost: one vDSO call (about 23 ns).
[[nodiscard]] uint64_t monotonic_nanos() noexcept;

/// Unix time in nanoseconds.
[[nodiscard]] uint64_t unix_nanos() noexcept;

/// Unix time in milliseconds.
[[nodiscard]] int64_t unix_millis() noexcept;

/// Where a component gets the wall clock from; `unix_nanos` by default, a variable in tests.
using Clock = std::function<uint64_t()>;

}  // namespace hms::net
