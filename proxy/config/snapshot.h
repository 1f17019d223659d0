// snapshot.h: a checked configuration, frozen: what every worker reads and nobody changes.
//
// Made on the main thread from a Config, the addresses its names resolved to, and the canary
// weights in force; posted to the workers, which keep it as long as an exchange that started with
// it runs. Upstream 0 is the app beside the proxy when there is one. Thread: any, read only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "net/io/address.h"
#include "proxy/config/types.h"

namespace hms::proxy {

/// One canary's weight as the collector wants it.
struct CanaryWeight {
  std::string name;
  std::string service;
  std::string baseline, canary;  // upstreams
  double weight = 0;             // percent that the canary gets
  bool operator==(const CanaryWeight&) const = default;
};

using Resolved =
    std::map<std::string, std::vector<net::SocketAddress>>;  // "name:port" -> addresses

/// An UpstreamConfig with its addresses.
struct UpstreamPlan {
  std::string name;
  Balance balance = Balance::peak_ewma;
  Millis connect_timeout{0};
  std::vector<net::SocketAddress> endpoints;
  std::vector<uint32_t> hosts{};  // of each endpoint: which of the configured ones it belongs to
  std::shared_ptr<net::TlsSource> tls{};    // null: plain
  std::vector<std::string> server_names{};  // with TLS: one for each endpoint
  OutlierConfig outlier{};
  std::optional<HealthCheckConfig> health_check{};
};

/// Finds the certificates of settings (TlsSources::find).
using TlsLookup =
    std::function<std::shared_ptr<net::TlsSource>(const std::optional<net::TlsSettings>&)>;

struct SplitPlan {
  uint32_t upstream = 0;  // index into Snapshot::upstreams
  double weight = 0;      // percent in force
  double end = 0;         // its share of [0, 1) ends here
};

struct PathPattern {
  std::vector<std::string> segments;  // "{" stands for a variable
  bool rest = false;                  // ended in "/*"
  bool any = true;
};

/// A RouteConfig, checked and ready for use.
struct RoutePlan {
  RouteConfig config;
  std::string name;  // http.route
  PathPattern path;
  std::vector<SplitPlan> split;
  bool is_split = false;  // more than one upstream: hms.upstream is recorded
  uint64_t seed = 0;
};

struct Snapshot {
  uint64_t generation = 0;
  Config config;
  bool has_app = false;
  std::vector<UpstreamPlan> upstreams;
  std::vector<RoutePlan> routes;
  bool allows_by_path = false;         // inbound, who may call hangs on the path
  std::vector<CanaryWeight> canaries;  // as last heard
  uint64_t canary_version = 0;
};
using SnapshotPtr = std::shared_ptr<const Snapshot>;

[[nodiscard]] SnapshotPtr make_snapshot(const Config& config, const Resolved& resolved,
                                        const std::vector<CanaryWeight>& canaries,
                                        uint64_t canary_version, uint64_t generation,
                                        const TlsLookup& find_tls = nullptr);

/// "name:port" of every endpoint and of the app that is not a literal address.
[[nodiscard]] std::vector<net::HostPort> names_to_resolve(const Config& config);
[[nodiscard]] std::string text_of(const net::HostPort& target);

[[nodiscard]] PathPattern compile_path(std::string_view pattern);
/// `path` without query, in its normal form (route_path.h). Segments are compared byte by byte; a
/// variable takes exactly one non-empty segment.
[[nodiscard]] bool path_matches(const PathPattern& pattern, std::string_view path) noexcept;

/// The share of [0, 1) that a key falls on: the same everywhere and for ever, so that nobody moves
/// back as a canary's weight grows.
[[nodiscard]] double share_of_key(uint64_t seed, std::string_view key) noexcept;

}  // namespace hms::proxy
