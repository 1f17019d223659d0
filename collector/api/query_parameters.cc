#include "collector/api/query_parameters.h"

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "telemetry/time_text.h"

namespace hms::collector {
namespace {

constexpr int64_t kMaxSeconds =
    16'725'225'600;  // the year 2500; nanoseconds fit 64 bits until 2554

net::Error bad(std::string detail) {
  return {net::Code::bad_message, net::Side::downstream, false, std::move(detail)};
}

}  // namespace

net::Result<uint64_t> parse_time_nanos(std::string_view text) {
  const auto written = telemetry::parse_time_text(text, telemetry::TimeForm::rfc3339);
  if (written && written->unix_seconds < kMaxSeconds)
    return static_cast<uint64_t>(written->unix_seconds) * 1'000'000'000ULL + written->nanos;
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error == std::errc() && end == text.data() + text.size() && std::isfinite(seconds) &&
      seconds >= 0 && seconds < 1.8e10) {
    // Whole milliseconds survive the way through a double; finer parts of such a number mean
    // nothing.
    return static_cast<uint64_t>(std::llround(seconds * 1e3)) * 1'000'000ULL;
  }
  return bad("a time must be Unix seconds or RFC 3339, not \"" + std::string(text.substr(0, 64)) +
             "\"");
}

net::Result<uint64_t> parse_go_duration(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, double>, 7> kUnits = {{{"ns", 1},
                                                                                 {"us", 1e3},
                                                                                 {"\xC2\xB5s", 1e3},
                                                                                 {"ms", 1e6},
                                                                                 {"s", 1e9},
                                                                                 {"m", 6e10},
                                                                                 {"h", 3.6e12}}};
  const std::string shown(text.substr(0, 64));
  double nanos = 0;
  bool any = false;
  while (!text.empty()) {
    double value = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
    if (error != std::errc() || value < 0) break;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    bool known = false;
    for (const auto& [unit, scale] : kUnits) {
      if (!text.starts_with(unit)) continue;
      nanos += value * scale;
      text.remove_prefix(unit.size());
      known = any = true;
      break;
    }
    if (!known) break;
  }
  if (!any || !text.empty() || nanos > 9e18)
    return bad("a duration must be like 1.5s, 100ms or 2m30s, not \"" + shown + "\"");
  return static_cast<uint64_t>(nanos);
}

std::string QueryParameters::text(std::string_view name) const {
  const std::string* value = request_.query_value(name);
  return value == nullptr ? std::string() : *value;
}

void QueryParameters::fail(std::string_view name, std::string_view why) {
  if (fault_.empty()) fault_ = "parameter \"" + std::string(name) + "\": " + std::string(why);
}

uint64_t QueryParameters::whole_number(std::string_view name, uint64_t fallback, uint64_t least,
                                       uint64_t most) {
  const std::string given = text(name);
  if (given.empty()) return fallback;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), value);
  if (error == std::errc() && end == given.data() + given.size() && value >= least && value <= most)
    return value;
  fail(name,
       "must be a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  return fallback;
}

uint64_t QueryParameters::integer(std::string_view name, uint64_t fallback, uint64_t most) {
  return whole_number(name, fallback, 0, most);
}

uint64_t QueryParameters::limit(std::string_view name, uint64_t fallback, uint64_t most) {
  return whole_number(name, fallback, 1, most);
}

uint64_t QueryParameters::time_nanos(std::string_view name, uint64_t fallback) {
  const std::string given = text(name);
  if (given.empty()) return fallback;
  const auto parsed = parse_time_nanos(given);
  if (parsed) return *parsed;
  fail(name, parsed.error().detail);
  return fallback;
}

uint64_t QueryParameters::go_duration_nanos(std::string_view name, uint64_t fallback) {
  const std::string given = text(name);
  if (given.empty()) return fallback;
  const auto parsed = parse_go_duration(given);
  if (parsed) return *parsed;
  fail(name, parsed.error().detail);
  return fallback;
}

}  // namespace hms::collector
