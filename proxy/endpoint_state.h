// endpoint_state.h: what the admin interface tells of an endpoint: of one worker, then of all.
//
// Thread: values, any.
#pragma once

#include <string>

#include "proxy/cluster/endpoint.h"

namespace hms::proxy {

struct EndpointState {
  std::string upstream;  // "": an outbound host without a route
  std::string address;
  double weight = 100;  // percent of its upstream
  uint32_t workers = 1;
  double latency_ms = 0;  // mean of the workers'
  uint32_t in_flight = 0, connections = 0, idle = 0;
  uint64_t idle_limit_ms = 0;  // what the first worker knows
  uint64_t requests = 0, failures = 0, connects = 0, connect_failures = 0, reused = 0, stale = 0,
           ejections = 0;
  uint64_t ejected_millis = 0;               // still to go, the longest; 0: not ejected
  bool check_failed = false, panic = false;  // of any worker

  /// What other workers say of the same endpoint.
  void add(const EndpointState& other);
};

[[nodiscard]] EndpointState state_of(const Endpoint& endpoint, uint64_t now_millis);

}  // namespace hms::proxy
