#include "proxy/cluster/view.h"

namespace hms::proxy {

std::unique_ptr<View> make_view(SnapshotPtr snapshot, Pool& pool, telemetry::NameTable& names) {
  auto view = std::make_unique<View>();
  for (const UpstreamPlan& plan : snapshot->upstreams) {
    Cluster cluster;
    cluster.plan = &plan;
    cluster.name_id = names.intern(plan.name);
    for (size_t i = 0; i < plan.endpoints.size(); ++i) {
      cluster.endpoints.push_back(
          plan.tls == nullptr ? &pool.endpoint(plan.endpoints[i])
                              : &pool.endpoint(plan.endpoints[i], plan.tls, plan.server_names[i]));
    }
    view->clusters.push_back(std::move(cluster));
  }
  for (const RoutePlan& plan : snapshot->routes) {
    view->routes.push_back({&plan, plan.name.empty() ? 0 : names.intern(plan.name)});
  }
  view->snapshot = std::move(snapshot);
  return view;
}

}  // namespace hms::proxy
