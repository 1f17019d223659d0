// log_level.h: the level of a log line as it is asked for. Programs write "ERROR", "Error" or
// "err"; a question for "error" means all of them. What is shown stays as it was sent. Thread: any.
#pragma once

#include <string>
#include <string_view>

namespace hms::collector {

/// In lower case, and one word for what means the same: warn, error, info, fatal. A level of
/// another name stands for itself. Part of the stored format: log filters hold it.
[[nodiscard]] inline std::string level_key(std::string_view level) {
  std::string key(level);
  for (char& c : key) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  if (key == "warning") return "warn";
  if (key == "err") return "error";
  if (key == "information") return "info";
  if (key == "critical" || key == "crit") return "fatal";
  return key;
}

}  // namespace hms::collector
