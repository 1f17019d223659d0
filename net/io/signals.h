// signals.h: SIGTERM, SIGINT and SIGHUP as callbacks on a loop; SIGPIPE ignored for the whole
// process.
#pragma once

#include <functional>
#include <memory>

#include "net/io/loop.h"

namespace hms::net {

/// Call first in main: libuv's writes raise SIGPIPE.
void ignore_sigpipe() noexcept;

class Signals {
 public:
  struct Handlers {
    std::function<void()> on_terminate;  // SIGTERM or SIGINT; the second one while draining should
                                         // stop at once: the owner counts
    std::function<void()> on_reload;     // SIGHUP
  };
  static std::unique_ptr<Signals> install(Loop& loop, Handlers handlers);
  virtual ~Signals() = default;
};

}  // namespace hms::net
