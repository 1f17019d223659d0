#include "proxy/config/read_upstreams.h"

#include "proxy/config/read_values.h"

namespace hms::proxy {

using net::YamlNode;

namespace {

constexpr size_t kMaxEndpoints = 1'024;

void read_outlier(const YamlNode& node, OutlierConfig& outlier) {
  if (!node.present()) return;
  int64_t count = 0;
  if (node.get("consecutive").read_integer(count, 0, 1'000'000))
    outlier.consecutive = static_cast<uint32_t>(count);
  node.get("ejection").read_duration(outlier.ejection, Millis{1}, kLongest);
  node.get("longest").read_duration(outlier.longest, Millis{1}, kLongest);
  node.get("share").read_fraction(outlier.share, 0.0, 1.0);
  node.get("panic").read_fraction(outlier.panic, 0.0, 1.0);
  node.finish();
}

void read_health_check(const YamlNode& node, std::optional<HealthCheckConfig>& target) {
  if (!node.present()) return;
  HealthCheckConfig check;
  const YamlNode path = node.get("path");
  read_text(path, check.path);
  if (!check.path.empty() && check.path[0] != '/') path.fail("a path begins with '/'");
  node.get("interval").read_duration(check.interval, Millis{10}, kLongest);
  node.get("timeout").read_duration(check.timeout, Millis{1}, kLongest);
  int64_t count = 0;
  if (node.get("healthy").read_integer(count, 1, 1'000))
    check.healthy = static_cast<uint32_t>(count);
  if (node.get("unhealthy").read_integer(count, 1, 1'000))
    check.unhealthy = static_cast<uint32_t>(count);
  node.finish();
  target = std::move(check);
}

}  // namespace

void read_upstream(const std::string& name, const YamlNode& node, Config& config) {
  UpstreamConfig upstream;
  upstream.name = name;
  upstream.place = node.place();
  if (!node.is_map()) {
    node.fail("expected a map with endpoints, for example {endpoints: [\"10.0.0.11:8080\"]}");
    return;
  }
  const YamlNode list = node.require("endpoints");
  const auto items = list.items();
  if (list.present() && list.is_list() && (items.empty() || items.size() > kMaxEndpoints))
    list.fail("expected 1 to 1024 endpoints");
  for (const YamlNode& item : items) {
    std::string text;
    if (!item.read(text)) continue;
    auto target = net::parse_host_port(text);
    if (!target.ok())
      item.fail(target.error().detail);
    else
      upstream.endpoints.push_back(std::move(target).value());
  }
  std::string balance;
  if (node.get("balance").read_choice(balance, {"round_robin", "least_request", "peak_ewma"})) {
    upstream.balance = balance == "round_robin"     ? Balance::round_robin
                       : balance == "least_request" ? Balance::least_request
                                                    : Balance::peak_ewma;
  }
  node.get("connect_timeout").read_duration(upstream.connect_timeout, Millis{1}, kLongest);
  read_tls_block(node.get("tls"), net::TlsRole::client, upstream.tls);
  read_text(node.get("server_name"), upstream.tls_server_name);
  read_outlier(node.get("outlier"), upstream.outlier);
  const YamlNode check = node.get("health_check");
  read_health_check(check, upstream.health_check);
  if (upstream.health_check && !upstream.health_check->path.empty() && upstream.tls)
    check.get("path").fail("with tls the handshake is the check: leave the path out");
  node.finish();
  config.upstreams.push_back(std::move(upstream));
}

}  // namespace hms::proxy
