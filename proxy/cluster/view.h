// view.h: a Snapshot as one worker uses it: clusters point at the worker's endpoints, names are
// interned.
//
// An exchange pins the view it started with (a plain count: views never leave their worker), so a
// reload changes nothing under way. Thread: the worker's.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "proxy/cluster/pool.h"
#include "proxy/config/snapshot.h"
#include "proxy/retry_budget.h"

namespace hms::proxy {

/// An UpstreamPlan with this worker's endpoints and what it knows of their health.
struct Cluster {
  const UpstreamPlan* plan = nullptr;
  std::vector<Endpoint*> endpoints;
  std::vector<uint32_t> next_address;  // of each endpoint: the next one of the same host
  uint32_t hosts = 0;                  // that have an address
  uint32_t name_id = 0;
  uint32_t next = 0;               // round robin
  bool several_addresses = false;  // has a host with more than one
  std::vector<Endpoint*> usable;   // what may be chosen (outlier.h)
  // By this upstream's own health check: another that has the same address may ask for another
  // path.
  std::vector<const Endpoint*> check_failed;
  uint64_t* health_generation = nullptr;  // the pool's
  uint64_t seen_generation = 0, usable_until_millis = 0;
  bool panic = false;

  [[nodiscard]] bool fails_check(const Endpoint& endpoint) const noexcept;
  /// Itself, if its host has no other.
  [[nodiscard]] Endpoint& other_address(Endpoint& endpoint) const noexcept;
};

/// A RoutePlan with what this worker counts for it.
struct RouteView {
  const RoutePlan* plan = nullptr;
  uint32_t name_id = 0;              // 0: learned
  mutable RetryShare retry_share{};  // of this worker's requests
};

struct View {
  SnapshotPtr snapshot;
  std::vector<Cluster> clusters;  // as Snapshot::upstreams
  std::vector<RouteView> routes;
  uint32_t pins = 0;
};

[[nodiscard]] std::unique_ptr<View> make_view(SnapshotPtr snapshot, Pool& pool,
                                              telemetry::NameTable& names);

}  // namespace hms::proxy
