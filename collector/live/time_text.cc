// time_text.cc: civil dates by Howard Hinnant's day arithmetic, so that no time zone of the machine
// is asked.
#include "collector/live/time_text.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace hms::collector {
namespace {

int64_t days_from_civil(int64_t year, int64_t month, int64_t day) noexcept {
  year -= month <= 2 ? 1 : 0;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t year_of_era = year - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

/// Reads exactly `digits` digits at `at`; -1 if they are not there.
int64_t digits_at(std::string_view text, size_t at, size_t digits) noexcept {
  if (at + digits > text.size()) return -1;
  int64_t value = 0;
  for (size_t i = at; i < at + digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return -1;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

bool in(int64_t value, int64_t least, int64_t most) noexcept {
  return value >= least && value <= most;
}

/// "Z", "+02:00": minutes to take off; nullopt if it is neither.
std::optional<int64_t> offset_minutes(std::string_view text) noexcept {
  if (text == "Z" || text == "z") return 0;
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') return std::nullopt;
  const int64_t hours = digits_at(text, 1, 2), minutes = digits_at(text, 4, 2);
  if (!in(hours, 0, 23) || !in(minutes, 0, 59)) return std::nullopt;
  return (text[0] == '+' ? 1 : -1) * (hours * 60 + minutes);
}

}  // namespace

std::string rfc3339(int64_t unix_millis) {
  unix_millis = std::clamp<int64_t>(unix_millis, 0, 253402300799999);
  const int64_t days = unix_millis / 86'400'000;
  const int64_t rest = unix_millis % 86'400'000;
  const int64_t z = days + 719468;
  const int64_t era = z / 146097;
  const int64_t day_of_era = z - era * 146097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t shifted_month = (5 * day_of_year + 2) / 153;
  const int64_t day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
  const int64_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  const int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  std::array<char, 128> buffer;
  std::snprintf(buffer.data(), buffer.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                static_cast<int>(year), static_cast<int>(month), static_cast<int>(day),
                static_cast<int>(rest / 3'600'000), static_cast<int>(rest / 60'000 % 60),
                static_cast<int>(rest / 1000 % 60), static_cast<int>(rest % 1000));
  return buffer.data();
}

std::optional<int64_t> parse_rfc3339(std::string_view text) noexcept {
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || text[13] != ':' || text[16] != ':')
    return std::nullopt;
  if (text[10] != 'T' && text[10] != 't' && text[10] != ' ') return std::nullopt;
  const int64_t year = digits_at(text, 0, 4), month = digits_at(text, 5, 2),
                day = digits_at(text, 8, 2);
  const int64_t hour = digits_at(text, 11, 2), minute = digits_at(text, 14, 2),
                second = digits_at(text, 17, 2);
  if (!in(year, 1970, 9999) || !in(month, 1, 12) || !in(day, 1, 31) || !in(hour, 0, 23) ||
      !in(minute, 0, 59) || !in(second, 0, 60))
    return std::nullopt;
  size_t at = 19;
  int64_t millis = 0;
  if (text[at] == '.') {
    ++at;
    int64_t weight = 100;
    const size_t begin = at;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, weight /= 10)
      millis += (text[at] - '0') * weight;
    if (at == begin) return std::nullopt;
  }
  const auto offset = offset_minutes(text.substr(at));
  if (!offset) return std::nullopt;
  const int64_t seconds = days_from_civil(year, month, day) * 86'400 + hour * 3600 + minute * 60 +
                          second - *offset * 60;
  return seconds * 1000 + millis;
}

}  // namespace hms::collector
