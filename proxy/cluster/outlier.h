// outlier.h: passive health: an endpoint that fails several times in a row is left out for a while.
//
// A failure is a 5xx reply, a connection that could not be made, or one that broke before its
// reply. After `consecutive` of them an endpoint is ejected for `ejection`, twice as long each time
// it happens again soon, at most `longest`. At most `share` of an upstream's endpoints are out at a
// time (of two or more always one may be); if fewer than `panic` of them are left, everybody is
// asked again: better some errors than all load on the last one. Counted by each worker for itself.
// Thread: the worker's.
#pragma once

#include <cstdint>

#include "proxy/cluster/view.h"

namespace hms::proxy {

struct OutlierCounts {
  uint64_t ejections = 0;
  uint64_t kept = 0;  // would have been ejected, but too many are
};

/// `endpoint` of `cluster` failed.
void note_failure(Cluster& cluster, Endpoint& endpoint, uint64_t now_millis, OutlierCounts& counts);

inline void note_success(Endpoint& endpoint) noexcept { endpoint.consecutive_failures = 0; }

/// What the balancer may choose from: `cluster.usable` is put in order if something has changed.
void refresh_usable(Cluster& cluster, uint64_t now_millis);

}  // namespace hms::proxy
