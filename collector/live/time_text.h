// time_text.h: Unix milliseconds as RFC 3339 text and back ("2026-11-22T08:50:58.120Z"). Thread:
// any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hms::collector {

/// UTC with milliseconds.
[[nodiscard]] std::string rfc3339(int64_t unix_millis);
/// Date, time, optional fraction, Z or an offset. Years 1970 to 9999.
[[nodiscard]] std::optional<int64_t> parse_rfc3339(std::string_view text) noexcept;

}  // namespace hms::collector
