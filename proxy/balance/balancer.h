// balancer.h: which endpoint of a cluster takes the next attempt. One function per policy;
// `kBalancers` is the registry.
//
// round_robin: in turn. least_request: of two at random the one with fewer requests in flight (all
// of them when there are at most four). peak_ewma: the same choice by (recent time to reply) x (in
// flight + 1), so a slow endpoint is asked less before it has failed. `avoid` is the endpoint that
// an earlier attempt used: taken again only if there is no other. Thread: the worker's.
#pragma once

#include <array>

#include "proxy/cluster/view.h"

namespace hms::proxy {

/// nullptr if the cluster is empty.
[[nodiscard]] Endpoint* pick_endpoint(Cluster& cluster, const Endpoint* avoid,
                                      uint64_t now_millis) noexcept;

/// `endpoint` could not be reached and its host has other addresses: those are taken for a while (1
/// s after the first time, doubled each time, at most 64 s).
void pass_over(Endpoint& endpoint, uint64_t now_millis) noexcept;
/// `endpoint` is asked: if it was passed over, one request finds out and the others wait for it.
void ask_again(Endpoint& endpoint, uint64_t now_millis) noexcept;

struct BalancerEntry {
  Balance balance;
  std::string_view name;
  Endpoint* (*pick)(Cluster& cluster, const Endpoint* avoid, uint64_t now_millis) noexcept;
};
extern const std::array<BalancerEntry, 3> kBalancers;

}  // namespace hms::proxy
