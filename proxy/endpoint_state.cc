#include "proxy/endpoint_state.h"

#include <algorithm>

namespace hms::proxy {

void EndpointState::add(const EndpointState& other) {
  // By name, all of them: with a member more this does not compile, until the sum is thought of.
  const auto& [its_upstream, its_address, its_weight, its_workers, its_latency_ms, its_in_flight,
               its_connections, its_idle, its_idle_limit_ms, its_requests, its_failures,
               its_connects, its_connect_failures, its_reused, its_stale, its_ejections,
               its_ejected_millis, its_check_failed, its_panic] = other;
  latency_ms = (latency_ms * workers + its_latency_ms * its_workers) / (workers + its_workers);
  workers += its_workers;
  in_flight += its_in_flight;
  connections += its_connections;
  idle += its_idle;
  requests += its_requests;
  failures += its_failures;
  connects += its_connects;
  connect_failures += its_connect_failures;
  reused += its_reused;
  stale += its_stale;
  ejections += its_ejections;
  ejected_millis = std::max(ejected_millis, its_ejected_millis);
  check_failed = check_failed || its_check_failed;
  panic = panic || its_panic;
}

EndpointState state_of(const Endpoint& endpoint, uint64_t now_millis) {
  EndpointState state;
  state.address = endpoint.text;
  state.latency_ms = endpoint.latency.nanos(now_millis) / 1e6;
  state.in_flight = endpoint.in_flight;
  state.connections = endpoint.connections;
  state.idle = static_cast<uint32_t>(endpoint.idle.size());
  state.idle_limit_ms = endpoint.idle_limit_millis();
  state.requests = endpoint.requests;
  state.failures = endpoint.failures;
  state.connects = endpoint.connects;
  state.connect_failures = endpoint.connect_failures;
  state.reused = endpoint.reused;
  state.stale = endpoint.stale;
  state.ejections = endpoint.ejections;
  if (endpoint.ejected_until_millis > now_millis)
    state.ejected_millis = endpoint.ejected_until_millis - now_millis;
  return state;
}

}  // namespace hms::proxy
