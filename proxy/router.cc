#include "proxy/router.h"

#include <algorithm>

#include "net/core/host_port.h"
#include "net/core/random.h"
#include "net/http/characters.h"
#include "proxy/head_edit.h"

namespace hms::proxy {

namespace {

/// `wanted` in lower case, a name or "*." and a domain: then one or more labels before it. A name
/// that ends in its root's dot is the same name.
bool host_matches(std::string_view wanted, std::string_view host) noexcept {
  if (!host.empty() && host.back() == '.') host.remove_suffix(1);
  if (wanted.substr(0, 2) != "*.") return net::equals_ignoring_case(wanted, host);
  const std::string_view domain = wanted.substr(1);
  return host.size() > domain.size() && host.front() != '.' &&
         net::equals_ignoring_case(domain, host.substr(host.size() - domain.size()));
}

bool matches(const RoutePlan& route, const RouteQuery& query) noexcept {
  const RouteConfig& config = route.config;
  if (config.listener == ListenerChoice::inbound && query.outbound) return false;
  if (config.listener == ListenerChoice::outbound && !query.outbound) return false;
  if (!config.host.empty() && !host_matches(config.host, query.host)) return false;
  if (!config.methods.empty() &&
      std::find(config.methods.begin(), config.methods.end(), query.method) == config.methods.end())
    return false;
  return path_matches(route.path, query.path);
}

}  // namespace

const RouteView* find_route(const View& view, const RouteQuery& query) noexcept {
  for (const RouteView& route : view.routes) {
    if (matches(*route.plan, query)) return &route;
  }
  return nullptr;
}

uint32_t pick_split(const RoutePlan& route, const net::MessageHead& head,
                    const telemetry::TraceContext& trace) noexcept {
  if (route.split.size() == 1) return route.split.front().upstream;
  double share = 0;
  const std::string_view by_header = route.config.sticky == StickyKind::header
                                         ? head.get(route.config.sticky_header)
                                         : std::string_view{};
  if (!by_header.empty()) {
    share = share_of_key(route.seed, by_header);
  } else if (route.config.sticky == StickyKind::none) {
    share = static_cast<double>(net::random_u64() >> 11) * 0x1.0p-53;
  } else {
    share = share_of_key(route.seed, {reinterpret_cast<const char*>(trace.trace_id.bytes.data()),
                                      trace.trace_id.bytes.size()});
  }
  uint32_t last = route.split.front().upstream;
  for (const SplitPlan& entry : route.split) {
    if (entry.weight <= 0) continue;
    last = entry.upstream;
    if (share < entry.end) break;
  }
  return last;
}

std::string_view host_of(const net::MessageHead& head) noexcept {
  std::string_view host = authority_of(head.target);
  if (host.empty()) host = head.get(net::KnownHeader::host);
  return net::split_host_port(host).host;
}

bool via_names(const net::MessageHead& head, std::string_view name) noexcept {
  for (uint16_t i = 0; i < head.field_count; ++i) {
    if (head.fields[i].known == net::KnownHeader::via &&
        head.value(head.fields[i]).find(name) != std::string_view::npos)
      return true;
  }
  return false;
}

bool upgrades_to_http2(std::string_view upgrade) noexcept {
  for (size_t i = 0; i + 3 <= upgrade.size(); ++i) {
    if (net::lower(upgrade[i]) == 'h' && upgrade[i + 1] == '2' && net::lower(upgrade[i + 2]) == 'c')
      return true;
  }
  return false;
}

}  // namespace hms::proxy
