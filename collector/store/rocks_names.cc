#include "collector/store/rocks_names.h"

#include <chrono>
#include <cstdio>

namespace hms::collector {
namespace {

using net::Code;
using net::Error;

constexpr std::string_view kDayPrefix = "day-";

}  // namespace

Error error_of(const rocksdb::Status& status, const std::string& what) {
  const std::string text = status.ToString();
  if (status.IsNoSpace() || text.find("No space left") != std::string::npos ||
      text.find("Disk quota exceeded") != std::string::npos) {
    return {Code::no_space, net::Side::self, true, what + ": the disk is full (" + text + ")"};
  }
  if (status.IsCorruption()) return {Code::corrupt, net::Side::self, false, what + ": " + text};
  return {Code::io, net::Side::self, true, what + ": " + text};
}

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

std::string hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes.substr(0, 64)) {
    const auto byte = static_cast<uint8_t>(c);
    out.push_back(kDigits[byte >> 4]);
    out.push_back(kDigits[byte & 15]);
  }
  return out;
}

}  // namespace hms::collector
