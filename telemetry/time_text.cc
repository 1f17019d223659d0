#include "telemetry/time_text.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>

namespace hms::telemetry {
namespace {

/// Takes fixed-width numbers and separators from the front.
struct Reader {
  std::string_view rest;

  bool take(char c) noexcept {
    if (rest.empty() || rest.front() != c) return false;
    rest.remove_prefix(1);
    return true;
  }
  bool take_any(std::string_view choices) noexcept {
    return std::any_of(choices.begin(), choices.end(), [this](char c) { return take(c); });
  }
  /// Exactly `width` digits that make a number up to `most`, or -1.
  int number(size_t width, int most) noexcept {
    if (rest.size() < width) return -1;
    int value = 0;
    for (size_t i = 0; i < width; ++i) {
      if (rest[i] < '0' || rest[i] > '9') return -1;
      value = value * 10 + (rest[i] - '0');
    }
    rest.remove_prefix(width);
    return value <= most ? value : -1;
  }
  /// Digits after the decimal sign as nanoseconds, or -1 when there is none.
  int64_t fraction() noexcept {
    int64_t nanos = 0;
    int64_t place = 100'000'000;
    size_t digits = 0;
    while (digits < rest.size() && rest[digits] >= '0' && rest[digits] <= '9') {
      nanos += (rest[digits++] - '0') * place;
      place /= 10;
    }
    rest.remove_prefix(digits);
    return digits == 0 ? -1 : nanos;
  }
};

/// How much of ISO 8601 is taken, and whether its separators are there.
struct Style {
  bool loose = false;
  bool basic = false;  // "20261122T083000Z"

  [[nodiscard]] bool separator(Reader& in, char c) const noexcept { return basic || in.take(c); }
};

/// Seconds of a day; `nanos` apart.
std::optional<int64_t> read_clock(Reader& in, Style style, uint32_t& nanos) noexcept {
  // "24:00" is midnight at the end of the day, in ISO 8601 only.
  const int hour = in.number(2, style.loose ? 24 : 23);
  if (hour < 0 || !style.separator(in, ':')) return std::nullopt;
  const int minute = in.number(2, hour == 24 ? 0 : 59);
  if (minute < 0) return std::nullopt;
  const int64_t out = hour * 3'600 + minute * 60;
  const bool more = style.basic
                        ? !in.rest.empty() && in.rest.front() >= '0' && in.rest.front() <= '9'
                        : in.take(':');
  if (!more) return style.loose ? std::optional<int64_t>(out) : std::nullopt;
  const int second =
      in.number(2, hour == 24 ? 0 : 60);  // 60: a leap second runs into the next minute
  if (second < 0) return std::nullopt;
  if (in.take('.') || (style.loose && in.take(','))) {
    const int64_t fraction = in.fraction();
    if (fraction < 0 || (hour == 24 && fraction > 0)) return std::nullopt;
    nanos = static_cast<uint32_t>(fraction);
  }
  return out + second;
}

/// Seconds east of UTC.
std::optional<int64_t> read_offset(Reader& in, bool loose) noexcept {
  if (in.take_any("Zz") || (loose && in.rest.empty())) return 0;
  const bool west = in.take('-');
  if (!west && !in.take('+')) return std::nullopt;
  const int hours = in.number(2, 23);
  if (hours < 0) return std::nullopt;
  int minutes = 0;
  const bool colon = in.take(':');
  if (!colon && !loose) return std::nullopt;
  if (colon || !in.rest.empty()) {
    minutes = in.number(2, 59);
    if (minutes < 0) return std::nullopt;
  }
  const int64_t total = hours * 3'600 + minutes * 60;
  return west ? -total : total;
}

}  // namespace

std::string rfc3339(int64_t unix_millis) {
  using namespace std::chrono;
  unix_millis = std::clamp<int64_t>(unix_millis, 0, 253402300799999);
  const year_month_day date{sys_days{days{unix_millis / 86'400'000}}};
  const auto rest = static_cast<int>(unix_millis % 86'400'000);
  std::array<char, 128> buffer;
  std::snprintf(buffer.data(), buffer.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ",
                static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()), rest / 3'600'000, rest / 60'000 % 60,
                rest / 1000 % 60, rest % 1000);
  return buffer.data();
}

std::optional<TextTime> parse_time_text(std::string_view text, TimeForm form) noexcept {
  using namespace std::chrono;
  Reader in{text};
  Style style{form == TimeForm::iso8601, false};
  const int y = in.number(4, 9999);
  if (y < 1970) return std::nullopt;
  if (!in.take('-')) {
    if (!style.loose) return std::nullopt;
    style.basic = true;
  }
  const int m = in.number(2, 12);
  if (m < 1 || !style.separator(in, '-')) return std::nullopt;
  const int d = in.number(2, 31);
  if (d < 1) return std::nullopt;
  const year_month_day date{year{y}, month{static_cast<unsigned>(m)},
                            day{static_cast<unsigned>(d)}};
  if (!date.ok()) return std::nullopt;
  TextTime out;
  out.unix_seconds = int64_t{sys_days{date}.time_since_epoch().count()} * 86'400;
  if (style.loose && in.rest.empty()) return out;
  if (!in.take_any("Tt ")) return std::nullopt;
  const auto clock = read_clock(in, style, out.nanos);
  if (!clock) return std::nullopt;
  const auto east = read_offset(in, style.loose);
  if (!east || !in.rest.empty()) return std::nullopt;
  out.unix_seconds += *clock - *east;
  return out.unix_seconds < 0 ? std::nullopt : std::optional(out);
}

std::optional<int64_t> parse_rfc3339(std::string_view text) noexcept {
  const auto time = parse_time_text(text, TimeForm::rfc3339);
  if (!time) return std::nullopt;
  return time->unix_seconds * 1000 + time->nanos / 1'000'000;
}

}  // namespace hms::telemetry
