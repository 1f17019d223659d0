// app.h: the collector's parts, put together. The order here is the order of their lives.
//
// Threads: the main loop (sockets, live window, alerts, canaries), the commit thread (engine.cc),
// the executor's (decoding, queries), and at start-up one that opens the data directory. Stop:
// readiness off -> no new connections -> running requests are answered -> executor, then engine,
// are closed -> the loop ends.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "collector/options.h"
#include "net/core/result.h"
#include "net/io/loop.h"

namespace hms::collector {

class App {
 public:
  using OnReady = std::function<void(net::Result<void>)>;
  /// Listens at once, and opens the data directory beside the loop: until that is recovered every
  /// request is answered 503 with Retry-After (/healthz: 200). `on_ready` comes once, on the loop.
  /// Errors: io for an address that cannot be had; through `on_ready`
  /// as open_engine.
  [[nodiscard]] static net::Result<std::unique_ptr<App>> start(net::Loop& loop,
                                                               const CollectorOptions& options,
                                                               OnReady on_ready);
  virtual ~App() = default;

  [[nodiscard]] virtual std::string listen_address() const = 0;
  [[nodiscard]] virtual std::string otlp_address() const = 0;  // empty: off
  /// Stops as described above, then stops the loop. While still starting: ends the program at once.
  virtual void drain() = 0;
  virtual void reload() = 0;
};

/// Everything that --check looks at beyond the options themselves: all faults, one a line.
[[nodiscard]] std::string check_files(const CollectorOptions& options);

}  // namespace hms::collector
