// controller.h: runs the rollouts: weights out, complete seconds in, a verdict each second, and a
// record of every decision with the numbers it saw.
//
// state:  running ──last step held──▶ promoted (100 %)       running, paused ──verdict or hand──▶
// rolled_back (0 %)
//         running ◀──pause, resume──▶ paused (weight stays, never goes forward, still rolls back)
// Requests are counted where the split is made: in the service's own sidecar
// (http.server.request.duration with hms.upstream), else in its callers'
// (http.client.request.duration). A step counts from the first whole second after its weight was
// sent. Everything is stored; after a restart the weights are sent as they were and a running step
// begins anew (what the window knew is gone). Limits: 200 canaries, 500 record entries each.
// Thread: the loop's.
//
// Wiring:  CanaryController canaries(loop, *window, hub, engine.get());
//          LivePublisher publisher(loop, *window, hub, [&](int64_t second) {
//          alerts.on_second(second); canaries.on_second(second); }); register_canary_api(server,
//          canaries);   register_config_api(loop, server, canaries);
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "collector/canary/plan.h"
#include "collector/live/durable_table.h"
#include "collector/live/hub.h"
#include "collector/live/window.h"

namespace hms::collector {

/// A weight as the sidecars get it.
struct CanarySplit {
  std::string name, service, baseline, canary;
  int weight = 0;
};

struct CanaryStats {
  uint64_t canaries = 0, running = 0, advanced = 0, rolled_back = 0, promoted = 0;
};

class CanaryController {
 public:
  /// `engine` null: nothing outlives the process.
  CanaryController(net::Loop& loop, const LiveWindow& window, LiveHub& hub, StorageEngine* engine,
                   net::Clock clock = {});
  ~CanaryController();

  void on_second(int64_t unix_second);

  /// Starts a rollout; true if there was none of that name. The same plan while it runs changes
  /// nothing; another one starts anew. Errors: bad_message (names the field), already_exists
  /// (another running canary uses one of the upstreams), too_large.
  [[nodiscard]] net::Result<bool> put(std::string_view name, const nlohmann::json& json);
  enum class Action : uint8_t { promote, rollback, pause, resume };
  /// Errors: not_found, already_exists ("... is rolled_back and cannot be paused").
  [[nodiscard]] net::Result<void> act(const std::string& name, Action action);
  /// Forgets it; the sidecars go back to the weights of their own configuration. Errors: not_found.
  [[nodiscard]] net::Result<void> remove(const std::string& name);
  /// Errors: not_found.
  [[nodiscard]] net::Result<nlohmann::ordered_json> get(const std::string& name) const;
  [[nodiscard]] nlohmann::ordered_json list() const;

  /// Weights in force; of several canaries of one pair of upstreams the one started last.
  [[nodiscard]] std::vector<CanarySplit> splits() const;
  /// Called whenever they change. One listener.
  void on_change(std::function<void()> callback);
  [[nodiscard]] CanaryStats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hms::collector
