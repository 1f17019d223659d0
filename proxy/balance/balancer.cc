#include "proxy/balance/balancer.h"

#include <algorithm>

#include "net/core/random.h"
#include "proxy/cluster/outlier.h"

namespace hms::proxy {

namespace {

Endpoint* in_turn(Cluster& cluster, const Endpoint* avoid, uint64_t) noexcept {
  const size_t count = cluster.usable.size();
  Endpoint* chosen = cluster.usable[cluster.next++ % count];
  if (chosen == avoid && count > 1) chosen = cluster.usable[cluster.next++ % count];
  return chosen;
}

/// The cheapest of all (up to four) or of two at random.
template <class Cost>
Endpoint* cheapest(Cluster& cluster, const Endpoint* avoid, Cost&& cost) noexcept {
  const size_t count = cluster.usable.size();
  Endpoint* best = nullptr;
  double best_cost = 0;
  const auto consider = [&](Endpoint* candidate) {
    if (candidate == avoid && count > 1) return;
    const double its = cost(*candidate);
    if (best == nullptr || its < best_cost) best = candidate, best_cost = its;
  };
  if (count <= 4) {
    const uint32_t first = cluster.next++;  // equals take turns
    for (size_t i = 0; i < count; ++i) consider(cluster.usable[(first + i) % count]);
  } else {
    const auto one = net::random_below(count);
    const auto other = (one + 1 + net::random_below(count - 1)) % count;
    consider(cluster.usable[one]);
    consider(cluster.usable[other]);
  }
  return best != nullptr ? best : cluster.usable.front();
}

Endpoint* fewest_requests(Cluster& cluster, const Endpoint* avoid, uint64_t) noexcept {
  return cheapest(cluster, avoid,
                  [](const Endpoint& e) { return static_cast<double>(e.in_flight); });
}

Endpoint* lowest_peak_ewma(Cluster& cluster, const Endpoint* avoid, uint64_t now_millis) noexcept {
  return cheapest(cluster, avoid, [now_millis](const Endpoint& e) {
    // An endpoint that was never asked costs 1 µs: it is tried soon, and not by everybody at once.
    const double latency = std::max(e.latency.nanos(now_millis), 1'000.0);
    return latency * (static_cast<double>(e.in_flight) + 1.0);
  });
}

constexpr uint64_t kFirstPassMillis = 1'000;
constexpr uint32_t kMostDoublings = 6;  // a minute

/// `chosen`, or if it was refused lately, another address of its host.
Endpoint* reachable_address(const Cluster& cluster, Endpoint* chosen,
                            uint64_t now_millis) noexcept {
  Endpoint* at = chosen;
  for (size_t i = 0; i < cluster.endpoints.size(); ++i) {
    if (now_millis >= at->refused_until_millis) return at;
    at = &cluster.other_address(*at);
    if (at == chosen) break;
  }
  return chosen;
}

}  // namespace

void ask_again(Endpoint& endpoint, uint64_t now_millis) noexcept {
  if (endpoint.refusals > 0) endpoint.refused_until_millis = now_millis + kFirstPassMillis;
}

void pass_over(Endpoint& endpoint, uint64_t now_millis) noexcept {
  endpoint.refused_until_millis = now_millis + (kFirstPassMillis << endpoint.refusals);
  endpoint.refusals = std::min(endpoint.refusals + 1, kMostDoublings);
}

const std::array<BalancerEntry, 3> kBalancers = {{
    {Balance::round_robin, "round_robin", in_turn},
    {Balance::least_request, "least_request", fewest_requests},
    {Balance::peak_ewma, "peak_ewma", lowest_peak_ewma},
}};

Endpoint* pick_endpoint(Cluster& cluster, const Endpoint* avoid, uint64_t now_millis) noexcept {
  if (cluster.endpoints.empty()) return nullptr;
  if (cluster.endpoints.size() == 1) return cluster.endpoints.front();
  refresh_usable(cluster, now_millis);
  Endpoint* const chosen =
      cluster.usable.size() == 1
          ? cluster.usable.front()
          : kBalancers[static_cast<size_t>(cluster.plan->balance)].pick(cluster, avoid, now_millis);
  return cluster.several_addresses ? reachable_address(cluster, chosen, now_millis) : chosen;
}

}  // namespace hms::proxy
