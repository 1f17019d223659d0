// keys.h: every key that a configuration file may hold, once. docs/config.md must have a row for
// each (config_keys_test.cc compares), and the parser must accept each example. `restart` says
// whether a change needs a new process.
#pragma once

#include <array>
#include <string_view>

namespace hms::proxy {

struct ConfigKey {
  std::string_view path;           // "upstreams.*.balance"; * stands for a name, [] for a list item
  std::string_view unit;           // what is written
  std::string_view default_value;  // as documented
  std::string_view example;        // YAML that the parser accepts at this place
  bool restart;
};

inline constexpr std::array kConfigKeys = {
    ConfigKey{"service", "text", "found by itself", "claims", true},
    ConfigKey{"service_version", "text", "none", "1.4.2", true},
    ConfigKey{"resource", "map of texts", "none", "{k8s.namespace.name: shop}", true},
    ConfigKey{"collector.url", "URL", "none", "http://127.0.0.1:9090", true},
    ConfigKey{"collector.tls", "map", "off", "{certificate: shop.pem, key: shop.key, ca: ca.pem}",
              true},
    ConfigKey{"collector.spool", "size", "64MiB", "16MiB", true},
    ConfigKey{"collector.spool_dir", "path", "none", "/var/lib/hms", true},
    ConfigKey{"listeners.inbound.address", "address", "127.0.0.1:15006", "0.0.0.0:15006", true},
    ConfigKey{"listeners.inbound.tls", "map", "off",
              "{certificate: shop.pem, key: shop.key, ca: ca.pem, verify: required}", true},
    ConfigKey{"listeners.inbound.protocol", "detect, http, tcp", "detect", "tcp", false},
    ConfigKey{"listeners.inbound.allow", "list of identities", "everybody",
              "[\"spiffe://local/cart\"]", false},
    ConfigKey{"listeners.inbound.transparent", "on or off", "off", "on", false},
    ConfigKey{"listeners.inbound.app", "address", "none", "127.0.0.1:8080", false},
    ConfigKey{"listeners.outbound.address", "address or `off`",
              "off (127.0.0.1:15001 where `KUBERNETES_SERVICE_HOST` is set)", "127.0.0.1:15001",
              true},
    ConfigKey{"listeners.outbound.transparent", "on or off", "off", "on", false},
    ConfigKey{"admin.address", "address", "127.0.0.1:15000", "127.0.0.1:15000", true},
    ConfigKey{"threads", "number", "1", "2", true},
    ConfigKey{"spin_us", "number", "0", "50", false},
    ConfigKey{"telemetry", "on or off", "on", "off", false},
    ConfigKey{"access_log", "on or off", "off", "on", false},
    ConfigKey{"log_level", "debug, info, warn, error", "info", "debug", false},
    ConfigKey{"trust_forwarded", "true or false", "false", "true", false},
    ConfigKey{"timeouts.connect", "duration", "1s", "500ms", false},
    ConfigKey{"timeouts.connect_loopback", "duration", "250ms", "100ms", false},
    ConfigKey{"timeouts.header", "duration", "10s", "5s", false},
    ConfigKey{"timeouts.body_stall", "duration", "60s", "30s", false},
    ConfigKey{"timeouts.write_stall", "duration", "60s", "30s", false},
    ConfigKey{"timeouts.idle", "duration", "75s", "30s", false},
    ConfigKey{"timeouts.upstream_idle", "duration", "3s", "2s", false},
    ConfigKey{"timeouts.detect", "duration", "100ms", "50ms", false},
    ConfigKey{"timeouts.tunnel_idle", "duration", "1h", "10m", false},
    ConfigKey{"limits.connections", "number", "10000", "1000", false},
    ConfigKey{"limits.requests", "number", "10000", "1000", false},
    ConfigKey{"limits.request_line", "size", "8KiB", "4KiB", false},
    ConfigKey{"limits.head", "size", "64KiB", "16KiB", false},
    ConfigKey{"limits.fields", "number", "128", "100", false},
    ConfigKey{"limits.idle_upstream", "number", "256", "64", false},
    ConfigKey{"drain.grace", "duration", "0s", "5s", false},
    ConfigKey{"drain.deadline", "duration", "25s", "20s", false},
    ConfigKey{"upstreams.*.endpoints", "list of addresses", "required", "[\"127.0.0.1:8080\"]",
              false},
    ConfigKey{"upstreams.*.balance", "round_robin, least_request, peak_ewma", "peak_ewma",
              "round_robin", false},
    ConfigKey{"upstreams.*.connect_timeout", "duration", "timeouts.connect", "300ms", false},
    ConfigKey{"upstreams.*.tls", "map", "off", "{ca: ca.pem, names: [\"spiffe://local/shop\"]}",
              false},
    ConfigKey{"upstreams.*.server_name", "name", "host of the endpoint", "shop.example", false},
    ConfigKey{"upstreams.*.outlier.consecutive", "number", "5", "3", false},
    ConfigKey{"upstreams.*.outlier.ejection", "duration", "10s", "30s", false},
    ConfigKey{"upstreams.*.outlier.longest", "duration", "5m", "10m", false},
    ConfigKey{"upstreams.*.outlier.share", "share", "50%", "30%", false},
    ConfigKey{"upstreams.*.outlier.panic", "share", "50%", "40%", false},
    ConfigKey{"upstreams.*.health_check.path", "path", "none", "/healthz", false},
    ConfigKey{"upstreams.*.health_check.interval", "duration", "5s", "2s", false},
    ConfigKey{"upstreams.*.health_check.timeout", "duration", "1s", "500ms", false},
    ConfigKey{"upstreams.*.health_check.healthy", "number", "2", "1", false},
    ConfigKey{"upstreams.*.health_check.unhealthy", "number", "3", "2", false},
    ConfigKey{"routes[].match.listener", "inbound, outbound, any", "any", "outbound", false},
    ConfigKey{"routes[].match.host", "name", "any", "claims", false},
    ConfigKey{"routes[].match.path", "pattern", "any", "\"/claims/{id}\"", false},
    ConfigKey{"routes[].match.methods", "list of methods", "any", "[GET, POST]", false},
    ConfigKey{"routes[].upstream", "name of an upstream", "none", "u", false},
    ConfigKey{"routes[].split[].upstream", "name of an upstream", "required", "u", false},
    ConfigKey{"routes[].split[].weight", "number", "required", "5", false},
    ConfigKey{"routes[].sticky", "trace, none, header:NAME", "trace", "\"header:x-user\"", false},
    ConfigKey{"routes[].timeout", "duration", "none", "15s", false},
    ConfigKey{"routes[].allow", "list of identities", "the listener's", "[\"spiffe://local/*\"]",
              false},
    ConfigKey{"routes[].retries.attempts", "number", "1", "2", false},
    ConfigKey{"routes[].retries.on", "list of connect, reset, 429, 500 to 599", "[connect]",
              "[connect, reset, 503]", false},
    ConfigKey{"routes[].retries.budget", "share", "20%", "10%", false},
};

}  // namespace hms::proxy
