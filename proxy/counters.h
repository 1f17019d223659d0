// counters.h: what a worker counts about itself; becomes hms_proxy_* (metrics.h names them). Plain
// integers, copied to the main thread by value.
#pragma once

#include <array>
#include <cstdint>

#include "proxy/local_reply.h"
#include "proxy/splice.h"

namespace hms::proxy {

struct Counters {
  std::array<uint64_t, 2> connections_accepted{};  // by telemetry::Direction
  std::array<uint64_t, 2> connections_open{};
  std::array<uint64_t, 2> requests{};
  std::array<uint64_t, 2> requests_running{};
  std::array<uint64_t, static_cast<size_t>(LocalError::count_)> local_replies{};
  uint64_t connections_refused = 0;
  uint64_t client_disconnects = 0;
  uint64_t requests_cut = 0;  // request bodies that ended early
  uint64_t replies_cut = 0;   // replies that ended early: passed on as a reset
  uint64_t retries_connect = 0, retries_stale = 0, retries_reset = 0, retries_status = 0;
  uint64_t retries_address = 0;  // another address of the same host, within one attempt
  uint64_t retries_denied = 0;   // wanted, but the budget was used up
  uint64_t lookups_answered = 0, lookups_failed = 0, lookups_timed_out = 0, lookups_refused = 0;
  uint64_t pauses_downstream = 0, pauses_upstream = 0;
  uint64_t tunnels = 0, tunnels_open = 0;               // upgraded connections
  std::array<std::array<uint64_t, 2>, 2> tcp_opened{};  // by direction, then TCP, TLS
  std::array<uint64_t, 2> tcp_open{};
  std::array<uint64_t, static_cast<size_t>(TunnelEnd::count_)> tcp_ends{};
  uint64_t tunnel_bytes_received = 0, tunnel_bytes_sent = 0;  // of every kind of tunnel
  uint64_t early_replies = 0;
  uint64_t stalled_readers = 0, stalled_bodies = 0;
  uint64_t request_bytes = 0, reply_bytes = 0;
  uint64_t accept_pauses = 0;
  uint64_t out_of_descriptors = 0;  // connections to services that were not made for want of them
  uint64_t loops_refused = 0;       // raw connections that would have come back
  uint64_t tls_failures = 0;        // callers whose handshake failed, or who broke TLS later
  uint64_t spans_unsampled = 0;
  uint64_t ejections = 0, ejections_not_made = 0;  // of endpoints

  /// Sums `other` in (several workers are one program).
  void add(const Counters& other) noexcept;
};

}  // namespace hms::proxy
