// log_level.h: the level of a log line as it is asked for. Programs write "ERROR", "Error" or
// "err"; a question for "error" means all of them. What is shown stays as it was sent. Thread: any.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

namespace hms::collector {

/// Words that mean the same as another one. Part of the stored format, as level_key is.
inline constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kLevelSynonyms{
    {{"warning", "warn"},
     {"err", "error"},
     {"information", "info"},
     {"critical", "fatal"},
     {"crit", "fatal"}}};

/// In lower case, and one word for what means the same: warn, error, info, fatal. A level of
/// another name stands for itself. Part of the stored format: log filters hold it.
[[nodiscard]] inline std::string level_key(std::string_view level) {
  std::string key(level);
  for (char& c : key) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  for (const auto& [synonym, meaning] : kLevelSynonyms) {
    if (key == synonym) return std::string(meaning);
  }
  return key;
}

/// Whether some spelling of `lower` (itself in lower case) may lie in [min, max], byte by byte.
/// Spellings that begin with a capital and those that do not lie far apart, so each has bounds of
/// its own: levels all in lower case still rule out one another.
[[nodiscard]] inline bool spelling_between(std::string_view lower, std::string_view min,
                                           std::string_view max) {
  if (lower.empty()) return min.empty();
  std::string least(lower), greatest(lower);
  const auto capital = [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; };
  std::transform(least.begin(), least.end(), least.begin(), capital);
  const auto meet = [&] { return least <= max && greatest >= min; };
  greatest.front() = least.front();
  if (meet()) return true;
  least.front() = greatest.front() = lower.front();
  return meet();
}

/// Whether a level that means `key` (of level_key) may be among levels as they were sent, of which
/// the least and the greatest are known.
[[nodiscard]] inline bool level_between(std::string_view key, std::string_view min,
                                        std::string_view max) {
  return spelling_between(key, min, max) ||
         std::any_of(kLevelSynonyms.begin(), kLevelSynonyms.end(), [&](const auto& synonym) {
           return synonym.second == key && spelling_between(synonym.first, min, max);
         });
}

}  // namespace hms::collector
