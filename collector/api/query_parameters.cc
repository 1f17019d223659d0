#include "collector/api/query_parameters.h"

#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <utility>

namespace hms::collector {
namespace {

constexpr int kMaxYear = 2500;  // nanoseconds since 1970 fit 64 bits until 2554

net::Error bad(std::string detail) {
  return {net::Code::bad_message, net::Side::downstream, false, std::move(detail)};
}

bool digits(std::string_view& text, size_t count, int& value) {
  if (text.size() < count) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + count, value);
  if (error != std::errc() || end != text.data() + count || value < 0) return false;
  text.remove_prefix(count);
  return true;
}

bool skip(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

/// Fraction of a second, as nanoseconds: ".25" at the front of `text`, if it is there.
bool fraction(std::string_view& text, uint64_t& nanos) {
  nanos = 0;
  if (text.empty() || text.front() != '.') return true;
  text.remove_prefix(1);
  uint64_t unit = 100'000'000;
  size_t read = 0;
  for (; read < text.size() && text[read] >= '0' && text[read] <= '9'; ++read, unit /= 10) {
    nanos += static_cast<uint64_t>(text[read] - '0') * unit;
  }
  text.remove_prefix(read);
  return read > 0;
}

/// RFC 3339: 2026-11-22T08:30:00.25Z, or with an offset such as +01:00.
bool parse_rfc3339(std::string_view text, uint64_t& nanos) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  if (!digits(text, 4, year) || !skip(text, '-') || !digits(text, 2, month) || !skip(text, '-') ||
      !digits(text, 2, day))
    return false;
  if (!skip(text, 'T') && !skip(text, 't') && !skip(text, ' ')) return false;
  if (!digits(text, 2, hour) || !skip(text, ':') || !digits(text, 2, minute) || !skip(text, ':') ||
      !digits(text, 2, second))
    return false;
  uint64_t part = 0;
  if (!fraction(text, part)) return false;
  int64_t offset = 0;
  if (!skip(text, 'Z') && !skip(text, 'z')) {
    if (text.empty() || (text.front() != '+' && text.front() != '-')) return false;
    const int sign = text.front() == '+' ? 1 : -1;
    text.remove_prefix(1);
    int offset_hours = 0, offset_minutes = 0;
    if (!digits(text, 2, offset_hours) || !skip(text, ':') || !digits(text, 2, offset_minutes))
      return false;
    offset = sign * (offset_hours * 3'600 + offset_minutes * 60);
  }
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!text.empty() || !date.ok() || year < 1970 || year > kMaxYear || hour > 23 || minute > 59 ||
      second > 60)
    return false;
  const int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const int64_t seconds = days * 86'400 + hour * 3'600 + minute * 60 + second - offset;
  if (seconds < 0) return false;
  nanos = static_cast<uint64_t>(seconds) * 1'000'000'000ULL + part;
  return true;
}

}  // namespace

net::Result<uint64_t> parse_time_nanos(std::string_view text) {
  uint64_t nanos = 0;
  if (parse_rfc3339(text, nanos)) return nanos;
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

uint64_t QueryParameters::integer(std::string_view name, uint64_t fallback, uint64_t most) {
  const std::string given = text(name);
  if (given.empty()) return fallback;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), value);
  if (error == std::errc() && end == given.data() + given.size() && value <= most) return value;
  fail(name, "must be a whole number from 0 to " + std::to_string(most));
  return fallback;
}

uint64_t QueryParameters::limit(std::string_view name, uint64_t fallback, uint64_t most) {
  const uint64_t value = integer(name, fallback, most);
  if (value == 0) fail(name, "must be a whole number from 1 to " + std::to_string(most));
  return value;
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
