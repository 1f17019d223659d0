#include "proxy/cluster/outlier.h"

#include <algorithm>

#include "net/core/log.h"

namespace hms::proxy {

namespace {

constexpr uint32_t kMostDoublings = 10;

bool ejected(const Endpoint& endpoint, uint64_t now_millis) noexcept {
  return endpoint.ejected_until_millis > now_millis;
}

/// Doubles each time, and is forgiven after as long a time without ejection as the last one was.
uint64_t next_ejection(const OutlierConfig& config, Endpoint& endpoint, uint64_t now_millis) {
  if (now_millis > endpoint.ejected_until_millis + endpoint.last_ejection_millis)
    endpoint.ejections_in_a_row = 0;
  const uint32_t doublings = std::min(endpoint.ejections_in_a_row++, kMostDoublings);
  const auto first = static_cast<uint64_t>(config.ejection.count());
  return std::min(first << doublings, static_cast<uint64_t>(config.longest.count()));
}

}  // namespace

void note_failure(Cluster& cluster, Endpoint& endpoint, uint64_t now_millis,
                  OutlierCounts& counts) {
  const OutlierConfig& config = cluster.plan->outlier;
  ++endpoint.consecutive_failures;
  const size_t size = cluster.endpoints.size();
  if (config.consecutive == 0 || size < 2 || endpoint.consecutive_failures < config.consecutive ||
      ejected(endpoint, now_millis))
    return;
  const auto out = static_cast<size_t>(
      std::count_if(cluster.endpoints.begin(), cluster.endpoints.end(),
                    [now_millis](const Endpoint* e) { return ejected(*e, now_millis); }));
  const auto share = static_cast<size_t>(config.share * static_cast<double>(size));
  endpoint.consecutive_failures = 0;
  if (config.share <= 0 || out >= std::max<size_t>(share, 1)) {
    ++counts.kept;
    return;
  }
  endpoint.last_ejection_millis = next_ejection(config, endpoint, now_millis);
  endpoint.ejected_until_millis = now_millis + endpoint.last_ejection_millis;
  ++endpoint.ejections;
  ++counts.ejections;
  if (cluster.health_generation != nullptr) ++*cluster.health_generation;
  net::log_warn("endpoint ejected", {{"upstream", cluster.plan->name},
                                     {"endpoint", endpoint.text},
                                     {"failures_in_a_row", config.consecutive},
                                     {"millis", endpoint.last_ejection_millis}});
}

void refresh_usable(Cluster& cluster, uint64_t now_millis) {
  const uint64_t generation = cluster.health_generation != nullptr ? *cluster.health_generation : 1;
  if (cluster.seen_generation == generation && now_millis < cluster.usable_until_millis) return;
  cluster.seen_generation = generation;
  cluster.usable_until_millis = UINT64_MAX;
  cluster.usable.clear();
  for (Endpoint* endpoint : cluster.endpoints) {
    const bool out = ejected(*endpoint, now_millis);
    if (out)
      cluster.usable_until_millis =
          std::min(cluster.usable_until_millis, endpoint->ejected_until_millis);
    if (!out && !cluster.fails_check(*endpoint)) cluster.usable.push_back(endpoint);
  }
  const double left =
      static_cast<double>(cluster.usable.size()) / static_cast<double>(cluster.endpoints.size());
  cluster.panic = cluster.usable.empty() || left < cluster.plan->outlier.panic;
  if (cluster.panic) cluster.usable = cluster.endpoints;
}

}  // namespace hms::proxy
