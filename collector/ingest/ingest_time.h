// ingest_time.h: the times that people's programs send: ISO 8601 texts and Unix milliseconds, as
// Unix nanoseconds. Thread: any.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace hms::collector {

/// "2026-11-22", "2026-11-22T08:50:57Z", "2026-11-22 08:50:57.123456789+02:00"; without an offset
/// UTC. Nothing for anything else, and for times before 1970 or after 2200.
[[nodiscard]] std::optional<uint64_t> parse_iso_time(std::string_view text) noexcept;

/// Unix milliseconds, fractions allowed. Nothing when negative, not finite or after 2200.
[[nodiscard]] std::optional<uint64_t> time_of_unix_millis(double millis) noexcept;

}  // namespace hms::collector
