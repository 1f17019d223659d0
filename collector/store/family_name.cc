#include "collector/store/family_name.h"

#include <chrono>
#include <cstdio>

namespace hms::collector {
namespace {

constexpr std::string_view kDayPrefix = "day-";

}  // namespace

std::string family_name(Family family) {
  const std::chrono::year_month_day date{std::chrono::sys_days{std::chrono::days{family.day}}};
  char text[40];
  std::snprintf(text, sizeof text, "day-%04d-%02u-%02u", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
  return text;
}

std::optional<Family> family_of_name(const std::string& name) {
  int year = 0;
  unsigned month = 0, day = 0;
  if (name.rfind(kDayPrefix, 0) != 0) return std::nullopt;
  if (std::sscanf(name.c_str() + kDayPrefix.size(), "%4d-%2u-%2u", &year, &month, &day) != 3)
    return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year{year}, std::chrono::month{month},
                                         std::chrono::day{day}};
  if (!date.ok()) return std::nullopt;
  const auto days = std::chrono::sys_days{date}.time_since_epoch().count();
  if (days < 0) return std::nullopt;
  return Family{static_cast<uint32_t>(days)};
}

std::string family_text(Family family) {
  return family == Family::meta() ? "meta" : family_name(family);
}

}  // namespace hms::collector
