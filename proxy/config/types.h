// types.h: the configuration of hms-proxy as plain values, with every default.
//
// One place for defaults and units; `keys.h` lists the same keys for people and for the test that
// compares them with docs/config.md. Filled in this order: defaults, file or directory (parse.h),
// environment and flags (options.h). Then it is frozen into a Snapshot. Thread: values, any.
#pragma once

#include <bitset>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/core/clock.h"
#include "net/core/yaml_reader.h"
#include "net/io/address.h"
#include "net/io/tls_context.h"

namespace hms::proxy {

using net::Millis;

enum class Balance : uint8_t { round_robin, least_request, peak_ewma };

/// What is spoken on a listener.
enum class Protocol : uint8_t { detect, http, tcp };

/// Passive health (cluster/outlier.h).
struct OutlierConfig {
  uint32_t consecutive = 5;  // failures in a row; 0: nobody is ejected
  Millis ejection{10'000};   // the first time; doubles
  Millis longest{300'000};
  double share = 0.5;  // of the endpoints that may be out at a time
  double panic = 0.5;  // with a smaller share left, health is not looked at
};

/// Active health (cluster/health_check.h).
struct HealthCheckConfig {
  std::string path;  // empty: connecting is enough
  Millis interval{5'000};
  Millis timeout{1'000};
  uint32_t healthy = 2, unhealthy = 3;  // in a row
  bool operator==(const HealthCheckConfig&) const = default;
};

struct UpstreamConfig {
  std::string name;
  std::vector<net::HostPort> endpoints;
  Balance balance = Balance::peak_ewma;
  Millis connect_timeout{0};              // 0: 250 ms to a loopback address, 1 s otherwise
  std::optional<net::TlsSettings> tls{};  // none: plain
  std::string tls_server_name{};          // "": the host of each endpoint
  OutlierConfig outlier{};
  std::optional<HealthCheckConfig> health_check{};
  net::YamlPlace place{};
};

struct SplitEntry {
  std::string upstream;
  double weight = 0;
  net::YamlPlace place{};  // where the upstream is named
};

enum class StickyKind : uint8_t { trace, none, header };

struct RetryConfig {
  uint32_t attempts = 1;  // further attempts after the first
  bool on_connect = true;
  bool on_reset = false;
  std::bitset<600> on_status;
  double budget = 0.2;  // share of requests that may be repeated, beside a floor of 10 a second
};

enum class ListenerChoice : uint8_t { any, inbound, outbound };

/// A route as it is written. Checked and compiled it is a RoutePlan (snapshot.h); with what a
/// worker keeps for it, a RouteView (cluster/view.h). So with upstreams: UpstreamConfig,
/// UpstreamPlan, Cluster.
struct RouteConfig {
  ListenerChoice listener = ListenerChoice::any;
  std::string host;  // "" any
  std::string path;  // "" any; "/claims/{id}", a trailing "/*" takes any rest
  std::vector<std::string> methods;
  std::vector<SplitEntry> split;  // empty: the app (inbound) or the host called (outbound)
  StickyKind sticky = StickyKind::trace;
  std::string sticky_header;
  Millis timeout{0};  // 0: none
  RetryConfig retries;
  std::vector<std::string> allow;  // names of callers (policy.h); empty: the listener's
  std::string place;               // "claims.yaml:12", for people
};

struct Timeouts {
  Millis connect{1'000};
  Millis connect_loopback{250};
  Millis header{10'000};
  Millis body_stall{60'000};
  Millis write_stall{60'000};
  Millis idle{75'000};
  Millis upstream_idle{3'000};
  Millis detect{100};
  Millis tunnel_idle{3'600'000};
};

struct Limits {
  uint64_t connections = 10'000;  // a worker
  uint64_t requests = 10'000;     // at the same time, a worker
  uint64_t request_line = 8 * 1024;
  uint64_t head = 64 * 1024;
  uint64_t fields = 128;
  uint64_t idle_upstream = 256;  // kept-alive connections an endpoint and worker
};

struct DrainConfig {
  Millis grace{0};          // go on accepting this long after readiness is off; 5 s in Kubernetes
  Millis deadline{25'000};  // then what still runs is cut
};

constexpr int64_t kMostSpinMicros = 1'000;

struct Config {
  std::string service;
  std::string service_version;
  std::vector<std::pair<std::string, std::string>> resource;
  std::string collector_url;
  net::YamlPlace collector_tls_place{};
  std::optional<net::TlsSettings> collector_tls;  // none: https with the system's authorities
  std::string inbound_address = "127.0.0.1:15006";
  net::YamlPlace inbound_tls_place{};
  std::optional<net::TlsSettings> inbound_tls;  // none: plain
  Protocol inbound_protocol = Protocol::detect;
  std::vector<std::string> inbound_allow;  // names of callers (policy.h); empty: everybody
  bool inbound_transparent = false, outbound_transparent = false;
  std::string app;
  std::string outbound_address;  // "": off
  std::string admin_address = "127.0.0.1:15000";
  uint32_t threads = 1;
  std::chrono::microseconds spin{0};  // 0: workers sleep when there is nothing to do
  std::string spool_dir;
  uint64_t spool_bytes = 64ULL * 1024 * 1024;
  bool telemetry = true;
  bool access_log = false;
  bool trust_forwarded = false;
  std::string log_level = "info";
  Timeouts timeouts;
  Limits limits;
  DrainConfig drain;
  std::vector<UpstreamConfig> upstreams;
  std::vector<RouteConfig> routes;
};

[[nodiscard]] std::string_view protocol_name(Protocol protocol) noexcept;
[[nodiscard]] std::string_view balance_name(Balance balance) noexcept;

}  // namespace hms::proxy
