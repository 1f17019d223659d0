#include "collector/ingest/ingest_time.h"

#include <cmath>

#include "telemetry/time_text.h"

namespace hms::collector {
namespace {

constexpr double kMaxMillis = 7'258'118'400'000.0;  // 2200-01-01

}  // namespace

std::optional<uint64_t> parse_iso_time(std::string_view text) noexcept {
  const auto time = telemetry::parse_time_text(text, telemetry::TimeForm::iso8601);
  if (!time || time->unix_seconds > static_cast<int64_t>(kMaxMillis / 1000)) return std::nullopt;
  return static_cast<uint64_t>(time->unix_seconds) * 1'000'000'000ULL + time->nanos;
}

std::optional<uint64_t> time_of_unix_millis(double millis) noexcept {
  if (!std::isfinite(millis) || millis < 0 || millis > kMaxMillis) return std::nullopt;
  // Whole milliseconds exactly; the fraction apart, so that it does not cost the whole its last
  // digits.
  const double whole = std::floor(millis);
  return static_cast<uint64_t>(whole) * 1'000'000ULL +
         static_cast<uint64_t>((millis - whole) * 1e6);
}

}  // namespace hms::collector
