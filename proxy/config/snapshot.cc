#include "proxy/config/snapshot.h"

#include <algorithm>

#include "net/core/check.h"
#include "proxy/route_path.h"

namespace hms::proxy {

namespace {

uint64_t fnv1a(uint64_t hash, std::string_view text) noexcept {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash;
}

uint64_t mix(uint64_t value) noexcept {  // splitmix64's finalizer
  value ^= value >> 30;
  value *= 0xbf58476d1ce4e5b9ULL;
  value ^= value >> 27;
  value *= 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

int index_of(const std::vector<UpstreamPlan>& upstreams, const std::string& name) {
  for (size_t i = 0; i < upstreams.size(); ++i) {
    if (upstreams[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

void add_endpoints(const net::HostPort& target, const Resolved& resolved, UpstreamPlan& plan) {
  const std::string text = text_of(target);
  std::vector<net::SocketAddress>& endpoints = plan.endpoints;
  const uint32_t host = plan.hosts.empty() ? 0 : plan.hosts.back() + 1;
  if (auto literal = net::SocketAddress::parse(text); literal.ok()) {
    endpoints.push_back(*literal);
  } else if (const auto found = resolved.find(text); found != resolved.end()) {
    endpoints.insert(endpoints.end(), found->second.begin(), found->second.end());
  }
  plan.hosts.resize(endpoints.size(), host);
}

/// A canary takes its percent of what baseline and canary have together.
void apply_canary(const CanaryWeight& canary, const std::vector<UpstreamPlan>& upstreams,
                  RoutePlan& route) {
  const int baseline = index_of(upstreams, canary.baseline);
  const int candidate = index_of(upstreams, canary.canary);
  if (baseline < 0 || candidate < 0) return;
  const auto find = [&route](int upstream) {
    return std::find_if(route.split.begin(), route.split.end(), [upstream](const SplitPlan& s) {
      return static_cast<int>(s.upstream) == upstream;
    });
  };
  auto old_version = find(baseline);
  if (old_version == route.split.end()) return;
  if (find(candidate) == route.split.end()) {
    if (route.split.size() != 1)
      return;  // a split that somebody wrote without the canary stays as written
    route.split.push_back({static_cast<uint32_t>(candidate), 0, 0});
    old_version = find(baseline);
  }
  auto new_version = find(candidate);
  const double both = old_version->weight + new_version->weight;
  new_version->weight = both * canary.weight / 100.0;
  old_version->weight = both - new_version->weight;
}

void settle(RoutePlan& route) {
  double sum = 0;
  for (const SplitPlan& entry : route.split) sum += entry.weight;
  double at = 0;
  for (SplitPlan& entry : route.split) {
    at += sum > 0 ? entry.weight / sum : 0;
    entry.end = at;
    entry.weight = sum > 0 ? entry.weight / sum * 100.0 : 0;
  }
  route.is_split = route.split.size() > 1;
}

RoutePlan plan_route(const RouteConfig& config, const std::vector<UpstreamPlan>& upstreams,
                     const std::vector<CanaryWeight>& canaries) {
  RoutePlan route;
  route.config = config;
  route.name = config.path;
  route.path = compile_path(config.path);
  route.seed = 0xcbf29ce484222325ULL;
  for (const SplitEntry& entry : config.split) {
    const int upstream = index_of(upstreams, entry.upstream);
    if (upstream < 0) continue;
    if (route.split.empty()) route.seed = fnv1a(route.seed, entry.upstream);
    route.split.push_back({static_cast<uint32_t>(upstream), entry.weight, 0});
  }
  for (const CanaryWeight& canary : canaries) apply_canary(canary, upstreams, route);
  settle(route);
  return route;
}

bool same_split(const RoutePlan& one, const RoutePlan& other) {
  return std::equal(one.split.begin(), one.split.end(), other.split.begin(), other.split.end(),
                    [](const SplitPlan& a, const SplitPlan& b) {
                      return a.upstream == b.upstream && a.weight == b.weight;
                    });
}

/// What comes in is our own service's, and only its canaries may move it, whatever others call
/// their upstreams; what goes out is any service's. A route for both ways of which only one is
/// moved becomes two.
void add_routes(const RouteConfig& config, const std::vector<CanaryWeight>& own,
                const std::vector<CanaryWeight>& all, bool has_outbound, Snapshot& snapshot) {
  const bool goes_out = has_outbound && config.listener != ListenerChoice::inbound;
  const bool comes_in = config.listener != ListenerChoice::outbound;
  RoutePlan inbound = plan_route(config, snapshot.upstreams, own);
  RoutePlan outbound = plan_route(config, snapshot.upstreams, all);
  if (goes_out && (!comes_in || !same_split(inbound, outbound))) {
    outbound.config.listener = ListenerChoice::outbound;
    snapshot.routes.push_back(std::move(outbound));
    if (!comes_in) return;
    inbound.config.listener = ListenerChoice::inbound;
  }
  snapshot.routes.push_back(std::move(inbound));
}

/// A route without a list of its own counts as well, if it takes paths away from one that has.
bool allows_by_path(const std::vector<RouteConfig>& routes) {
  bool any_list = false, any_path = false;
  for (const RouteConfig& route : routes) {
    if (route.listener == ListenerChoice::outbound) continue;
    any_list |= !route.allow.empty();
    any_path |= !route.path.empty();
  }
  return any_list && any_path;
}

}  // namespace

std::string text_of(const net::HostPort& target) {
  const bool v6 = target.host.find(':') != std::string::npos;
  return (v6 ? "[" + target.host + "]" : target.host) + ":" + std::to_string(target.port);
}

std::vector<net::HostPort> names_to_resolve(const Config& config) {
  std::vector<net::HostPort> names;
  const auto add = [&names](const net::HostPort& target) {
    if (!net::SocketAddress::parse(text_of(target)).ok()) names.push_back(target);
  };
  if (auto app = net::parse_host_port(config.app); !config.app.empty() && app.ok()) add(*app);
  for (const UpstreamConfig& upstream : config.upstreams) {
    for (const net::HostPort& endpoint : upstream.endpoints) add(endpoint);
  }
  return names;
}

SnapshotPtr make_snapshot(const Config& config, const Resolved& resolved,
                          const std::vector<CanaryWeight>& canaries, uint64_t canary_version,
                          uint64_t generation, const TlsLookup& find_tls) {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->generation = generation;
  snapshot->config = config;
  snapshot->canaries = canaries;
  snapshot->canary_version = canary_version;
  if (!config.app.empty()) {
    UpstreamPlan app{"app", Balance::round_robin, Millis{0}, {}, {}, nullptr, {}};
    if (auto target = net::parse_host_port(config.app); target.ok())
      add_endpoints(*target, resolved, app);
    snapshot->upstreams.push_back(std::move(app));
    snapshot->has_app = true;
  }
  for (const UpstreamConfig& upstream : config.upstreams) {
    UpstreamPlan plan{
        upstream.name, upstream.balance, upstream.connect_timeout, {}, {}, nullptr, {}};
    plan.outlier = upstream.outlier;
    plan.health_check = upstream.health_check;
    if (upstream.tls) {
      HMS_ENSURE(find_tls);  // never plain instead
      plan.tls = find_tls(upstream.tls);
    }
    for (const net::HostPort& endpoint : upstream.endpoints) {
      add_endpoints(endpoint, resolved, plan);
      plan.server_names.resize(plan.endpoints.size(), upstream.tls_server_name.empty()
                                                          ? endpoint.host
                                                          : upstream.tls_server_name);
    }
    snapshot->upstreams.push_back(std::move(plan));
  }
  std::vector<CanaryWeight> own = canaries;
  std::erase_if(own, [&config](const CanaryWeight& canary) {
    return !config.service.empty() && canary.service != config.service;
  });
  for (const RouteConfig& route : config.routes)
    add_routes(route, own, canaries, !config.outbound_address.empty(), *snapshot);
  snapshot->allows_by_path = allows_by_path(config.routes);
  return snapshot;
}

PathPattern compile_path(std::string_view written) {
  PathPattern compiled;
  if (written.empty()) return compiled;
  PathScratch scratch;
  const std::string_view pattern = read_path(written, scratch).normal;
  compiled.any = false;
  size_t begin = 1;
  while (begin <= pattern.size()) {
    const size_t end = std::min(pattern.find('/', begin), pattern.size());
    const std::string_view segment = pattern.substr(begin, end - begin);
    if (segment == "*") {
      compiled.rest = true;
      break;
    }
    compiled.segments.emplace_back(
        !segment.empty() && segment.front() == '{' ? std::string_view("{") : segment);
    begin = end + 1;
  }
  return compiled;
}

bool path_matches(const PathPattern& pattern, std::string_view path) noexcept {
  if (pattern.any) return true;
  if (path.empty() || path[0] != '/') return false;
  size_t begin = 1;
  for (const std::string& wanted : pattern.segments) {
    if (begin > path.size()) return false;
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view segment = path.substr(begin, end - begin);
    if (wanted == "{" ? segment.empty() : segment != wanted) return false;
    begin = end + 1;
  }
  return pattern.rest || begin > path.size();
}

double share_of_key(uint64_t seed, std::string_view key) noexcept {
  return static_cast<double>(mix(fnv1a(seed, key)) >> 11) * 0x1.0p-53;
}

}  // namespace hms::proxy
