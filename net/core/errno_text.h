// errno_text.h: the system's words for an errno, for messages to people. Thread: any; std::strerror
// may hand out one buffer to all threads, this does not.
#pragma once

#include <string>
#include <system_error>

namespace hms::net {

/// "No such file or directory" for ENOENT.
[[nodiscard]] inline std::string errno_text(int number) {
  return std::generic_category().message(number);
}

}  // namespace hms::net
