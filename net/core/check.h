// check.h: our own bugs stop the program at once, with the place; the world's faults are Errors
// (result.h).
#pragma once

namespace hms::net {

/// Writes `file:line: invariant broken: expression` to stderr and aborts.
[[noreturn]] void ensure_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace hms::net

/// An invariant of ours. Always on: it costs a predictable branch, and going on with a broken
/// invariant costs more.
#define HMS_ENSURE(expression)             \
  (static_cast<bool>(expression) ? void(0) \
                                 : ::hms::net::ensure_failed(#expression, __FILE__, __LINE__))
