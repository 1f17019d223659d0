#include "proxy/cluster/view.h"

#include <algorithm>

namespace hms::proxy {

namespace {

/// The addresses of one host make a ring.
void link_addresses(Cluster& cluster, const std::vector<uint32_t>& hosts) {
  cluster.next_address.reserve(hosts.size());
  for (uint32_t begin = 0; begin < hosts.size();) {
    uint32_t end = begin + 1;
    while (end < hosts.size() && hosts[end] == hosts[begin]) ++end;
    for (uint32_t i = begin; i < end; ++i)
      cluster.next_address.push_back(i + 1 < end ? i + 1 : begin);
    ++cluster.hosts;
    cluster.several_addresses = cluster.several_addresses || end - begin > 1;
    begin = end;
  }
}

}  // namespace

bool Cluster::fails_check(const Endpoint& endpoint) const noexcept {
  return std::find(check_failed.begin(), check_failed.end(), &endpoint) != check_failed.end();
}

Endpoint& Cluster::other_address(Endpoint& endpoint) const noexcept {
  const auto at = std::find(endpoints.begin(), endpoints.end(), &endpoint);
  if (at == endpoints.end()) return endpoint;
  return *endpoints[next_address[static_cast<size_t>(at - endpoints.begin())]];
}

std::unique_ptr<View> make_view(SnapshotPtr snapshot, Pool& pool, telemetry::NameTable& names) {
  auto view = std::make_unique<View>();
  for (const UpstreamPlan& plan : snapshot->upstreams) {
    Cluster cluster;
    cluster.plan = &plan;
    cluster.name_id = names.intern(plan.name);
    cluster.health_generation = &pool.health_generation;
    for (size_t i = 0; i < plan.endpoints.size(); ++i) {
      cluster.endpoints.push_back(
          plan.tls == nullptr ? &pool.endpoint(plan.endpoints[i])
                              : &pool.endpoint(plan.endpoints[i], plan.tls, plan.server_names[i]));
    }
    link_addresses(cluster, plan.hosts);
    view->clusters.push_back(std::move(cluster));
  }
  for (const RoutePlan& plan : snapshot->routes) {
    view->routes.push_back({&plan, plan.name.empty() ? 0 : names.intern(plan.name)});
  }
  view->snapshot = std::move(snapshot);
  return view;
}

}  // namespace hms::proxy
