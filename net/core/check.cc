#include "net/core/check.h"

#include <cstdio>
#include <cstdlib>

namespace hms::net {

void ensure_failed(const char* expression, const char* file, int line) noexcept {
  // stdio, not the log: the log itself may be what is broken.
  std::fprintf(stderr, "%s:%d: invariant broken: %s\n", file, line, expression);
  std::abort();
}

}  // namespace hms::net
