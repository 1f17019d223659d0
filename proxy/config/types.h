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

struct UpstreamConfig {
  std::string name;
  std::vector<net::HostPort> endpoints;
  Balance balance = Balance::peak_ewma;
  Millis connect_timeout{0};              // 0: 250 ms to a loopback address, 1 s otherwise
  std::optional<net::TlsSettings> tls{};  // none: plain
  std::string tls_server_name{};          // "": the host of each endpoint
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
  std::string place;  // "claims.yaml:12", for people
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
