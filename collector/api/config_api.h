// config_api.h: GET /ops/config/{service}: the sidecars' configuration as a stream they stay
// connected to (Server-Sent Events).
//
// At connect and at each change: `event: config`, `id: <version>`, data
// {"version":12,"splits":[{"name","service","baseline","canary","weight"}]}: the weights of all
// canaries, whatever the service asked for, since the sidecars of callers split, too; each applies
// what its upstreams match. Versions rise, also across restarts of the collector (they begin at its
// start in Unix milliseconds). A comment every 5 s, so that a sidecar notices a dead connection. A
// sidecar that does not read is disconnected and comes back for the newest. Limit: 10,000 streams
// (beyond: 503). Thread: the loop's. Keep the returned object as long as the server.
#pragma once

#include <memory>

#include "collector/canary/controller.h"
#include "net/http/server.h"
#include "net/io/loop.h"

namespace hms::collector {

class ConfigFeed {
 public:
  virtual ~ConfigFeed() = default;
  [[nodiscard]] virtual size_t streams() const noexcept = 0;
};

[[nodiscard]] std::unique_ptr<ConfigFeed> register_config_api(net::Loop& loop,
                                                              net::HttpServer& server,
                                                              CanaryController& canaries);

}  // namespace hms::collector
