#include "collector/ingest/ingest_time.h"

#include <chrono>
#include <cmath>

namespace hms::collector {
namespace {

constexpr double kMaxMillis = 7'258'118'400'000.0;  // 2200-01-01

/// Takes fixed-width numbers and separators from the front.
struct Reader {
  std::string_view rest;

  bool take(char c) noexcept {
    if (rest.empty() || rest.front() != c) return false;
    rest.remove_prefix(1);
    return true;
  }
  /// Exactly `width` digits, or -1.
  int number(size_t width) noexcept {
    if (rest.size() < width) return -1;
    int value = 0;
    for (size_t i = 0; i < width; ++i) {
      const char c = rest[i];
      if (c < '0' || c > '9') return -1;
      value = value * 10 + (c - '0');
    }
    rest.remove_prefix(width);
    return value;
  }
  /// Digits after the decimal sign as nanoseconds (further digits are dropped), or -1 when there is
  /// none.
  int64_t fraction() noexcept {
    int64_t nanos = 0;
    int64_t place = 100'000'000;
    size_t digits = 0;
    while (!rest.empty() && rest.front() >= '0' && rest.front() <= '9') {
      nanos += (rest.front() - '0') * place;
      place /= 10;
      ++digits;
      rest.remove_prefix(1);
    }
    return digits == 0 ? -1 : nanos;
  }
};

struct ClockTime {
  int hour = 0, minute = 0, second = 0;
  int64_t nanos = 0;
};

std::optional<ClockTime> read_clock(Reader& in) noexcept {
  ClockTime out;
  out.hour = in.number(2);
  if (out.hour < 0 || out.hour > 23 || !in.take(':')) return std::nullopt;
  out.minute = in.number(2);
  if (out.minute < 0 || out.minute > 59) return std::nullopt;
  if (!in.take(':')) return out;
  out.second = in.number(2);
  if (out.second < 0 || out.second > 60)
    return std::nullopt;  // 60: a leap second runs into the next minute
  if (in.take('.') || in.take(',')) {
    out.nanos = in.fraction();
    if (out.nanos < 0) return std::nullopt;
  }
  return out;
}

/// Minutes east of UTC.
std::optional<int> read_offset(Reader& in) noexcept {
  if (in.rest.empty() || in.take('Z') || in.take('z')) return 0;
  const bool west = in.rest.front() == '-';
  if (!in.take('+') && !in.take('-')) return std::nullopt;
  const int hours = in.number(2);
  if (hours < 0 || hours > 23) return std::nullopt;
  int minutes = 0;
  if (in.take(':') || !in.rest.empty()) {
    minutes = in.number(2);
    if (minutes < 0 || minutes > 59) return std::nullopt;
  }
  const int total = hours * 60 + minutes;
  return west ? -total : total;
}

}  // namespace

std::optional<uint64_t> parse_iso_time(std::string_view text) noexcept {
  using namespace std::chrono;
  Reader in{text};
  const int y = in.number(4);
  if (y < 1970 || y > 2200 || !in.take('-')) return std::nullopt;
  const int m = in.number(2);
  if (m < 1 || !in.take('-')) return std::nullopt;
  const int d = in.number(2);
  if (d < 1) return std::nullopt;
  const year_month_day date{year{y}, month{static_cast<unsigned>(m)},
                            day{static_cast<unsigned>(d)}};
  if (!date.ok()) return std::nullopt;
  ClockTime clock;
  int offset = 0;
  if (!in.rest.empty()) {
    if (!in.take('T') && !in.take('t') && !in.take(' ')) return std::nullopt;
    const auto read = read_clock(in);
    if (!read) return std::nullopt;
    clock = *read;
    const auto east = read_offset(in);
    if (!east || !in.rest.empty()) return std::nullopt;
    offset = *east;
  }
  const int64_t days = sys_days{date}.time_since_epoch().count();
  const int64_t seconds =
      days * 86'400 + clock.hour * 3'600 + (clock.minute - offset) * 60 + clock.second;
  if (seconds < 0 || seconds > static_cast<int64_t>(kMaxMillis / 1000)) return std::nullopt;
  return static_cast<uint64_t>(seconds) * 1'000'000'000ULL + static_cast<uint64_t>(clock.nanos);
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
