// time_text.h: times as people and programs write them, and back: RFC 3339 and the looser forms of
// ISO 8601. No time zone of the machine is asked. Thread: any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hms::telemetry {

/// UTC with milliseconds: "2026-11-22T08:50:58.120Z".
[[nodiscard]] std::string rfc3339(int64_t unix_millis);

enum class TimeForm : uint8_t {
  /// "2026-11-22T08:30:00.25Z", "2026-11-22 08:30:00+01:00": all of it there but the fraction.
  rfc3339,
  /// Also a date alone, minutes without seconds, a comma before the fraction, an offset "+0100" or
  /// "+01", the form without separators ("20261122T083000Z"), "24:00" as the next midnight; without
  /// an offset UTC.
  iso8601,
};
struct TextTime {
  int64_t unix_seconds = 0;  // not negative
  uint32_t nanos = 0;        // further digits are dropped
};
/// Years 1970 to 9999. Nothing for anything else.
[[nodiscard]] std::optional<TextTime> parse_time_text(std::string_view text,
                                                      TimeForm form) noexcept;
/// RFC 3339 as Unix milliseconds.
[[nodiscard]] std::optional<int64_t> parse_rfc3339(std::string_view text) noexcept;

}  // namespace hms::telemetry
