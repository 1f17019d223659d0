// controller.h: runs the rollouts: weights out, complete seconds in, a verdict each second, and a
// record of every decision with the numbers it saw.
//
//   running -> promoted (100 %)      the last step held, or by hand
//   running, paused -> rolled_back   (0 %) by verdict or by hand; promoted -> rolled_back by hand
//   running <-> paused               the weight stays, never goes forward, still rolls back
//
// A decision is in force at once and stored behind it; a person's is answered when it is stored, or
// with the error that kept it out: it holds all the same and is stored when the disk takes it
// (durable_table.h). After a restart the weights are sent as they were and a running step begins
// anew (what the window knew is gone). Limits: 200 canaries, 500 record entries each. Thread: the
// loop's. Wiring: app.cc.
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
  uint64_t unstored = 0;  // plans and decisions that are not durable yet
};

class CanaryController {
 public:
  /// `engine` null: nothing outlives the process.
  CanaryController(net::Loop& loop, const LiveWindow& window, LiveHub& hub, StorageEngine* engine,
                   net::Clock clock = {});
  ~CanaryController();

  void on_second(int64_t unix_second);

  /// Called once, on the loop: at once when the wish is refused, else when it is stored. Errors of
  /// the disk (no_space, io, overloaded): it holds, but a restart would forget it.
  template <class T>
  using Done = std::function<void(net::Result<T>)>;
  /// Starts a rollout; true if there was none of that name. The same plan while it runs changes
  /// nothing; another one starts anew. Errors: bad_message (names the field), already_exists
  /// (another running canary, or any of another service, uses one of the upstreams), too_large.
  void put(std::string_view name, const nlohmann::json& json, Done<bool> done);
  enum class Action : uint8_t { promote, rollback, pause, resume };
  /// Errors: not_found, already_exists ("... is rolled_back and cannot be paused").
  void act(const std::string& name, Action action, Done<void> done);
  /// Forgets it; the sidecars go back to the weights of their own configuration. Errors: not_found.
  void remove(const std::string& name, Done<void> done);
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
