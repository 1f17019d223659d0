#include "proxy/config/parse.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "net/http/url.h"
#include "proxy/config/read_routes.h"
#include "proxy/config/read_upstreams.h"
#include "proxy/config/read_values.h"

namespace hms::proxy {

using net::YamlErrors;
using net::YamlNode;

namespace {

constexpr size_t kMaxFiles = 256;
constexpr size_t kMaxUpstreams = 1'024;
constexpr size_t kMaxRoutes = 4'096;

/// Remembers where each scalar key was set, so that two files cannot silently fight.
struct Reader {
  Config& config;
  std::map<std::string, std::string> seen;  // path -> place

  bool first_time(const YamlNode& node) {
    if (!node.present()) return false;
    auto [at, added] = seen.emplace(node.path(), place_of(node));
    if (!added) node.fail("set twice; first at " + at->second);
    return added;
  }
};

void read_protocol(const YamlNode& node, Protocol& protocol) {
  std::string text;
  if (!node.read_choice(text, {"detect", "http", "tcp"})) return;
  protocol = text == "http" ? Protocol::http : text == "tcp" ? Protocol::tcp : Protocol::detect;
}

void read_listeners(const YamlNode& node, Reader& reader) {
  if (!node.present()) return;
  const YamlNode inbound = node.get("inbound");
  if (inbound.present()) {
    if (const auto address = inbound.get("address"); reader.first_time(address))
      read_address(address, reader.config.inbound_address);
    if (const auto tls = inbound.get("tls"); reader.first_time(tls))
      read_tls_block(tls, net::TlsRole::server, reader.config.inbound_tls,
                     &reader.config.inbound_tls_place);
    if (const auto protocol = inbound.get("protocol"); reader.first_time(protocol))
      read_protocol(protocol, reader.config.inbound_protocol);
    if (const auto allow = inbound.get("allow"); reader.first_time(allow))
      read_allow(allow, reader.config.inbound_allow);
    if (const auto transparent = inbound.get("transparent"); reader.first_time(transparent))
      read_switch(transparent, reader.config.inbound_transparent);
    if (const auto app = inbound.get("app"); reader.first_time(app)) {
      std::string text;
      if (app.read(text)) {
        if (auto target = net::parse_host_port(text); !target.ok())
          app.fail(target.error().detail);
        else
          reader.config.app = std::move(text);
      }
    }
    inbound.finish();
  }
  const YamlNode outbound = node.get("outbound");
  if (outbound.present()) {
    if (const auto address = outbound.get("address"); reader.first_time(address)) {
      std::string text;
      if (address.is_scalar() && address.read(text) && text == "off")
        reader.config.outbound_address.clear();
      else
        read_address(address, reader.config.outbound_address);
    }
    if (const auto transparent = outbound.get("transparent"); reader.first_time(transparent))
      read_switch(transparent, reader.config.outbound_transparent);
    outbound.finish();
  }
  node.finish();
}

void read_timeouts(const YamlNode& node, Timeouts& timeouts) {
  if (!node.present()) return;
  constexpr Millis least{1};
  node.get("connect").read_duration(timeouts.connect, least, kLongest);
  node.get("connect_loopback").read_duration(timeouts.connect_loopback, least, kLongest);
  node.get("header").read_duration(timeouts.header, least, kLongest);
  node.get("body_stall").read_duration(timeouts.body_stall, least, kLongest);
  node.get("write_stall").read_duration(timeouts.write_stall, least, kLongest);
  node.get("idle").read_duration(timeouts.idle, least, kLongest);
  node.get("upstream_idle").read_duration(timeouts.upstream_idle, Millis{0}, kLongest);
  node.get("detect").read_duration(timeouts.detect, least, Millis{10'000});
  node.get("tunnel_idle").read_duration(timeouts.tunnel_idle, least, kLongest);
  node.finish();
}

void read_count(const YamlNode& node, uint64_t& target, int64_t least, int64_t most) {
  int64_t value = 0;
  if (node.read_integer(value, least, most)) target = static_cast<uint64_t>(value);
}

void read_limits(const YamlNode& node, Limits& limits) {
  if (!node.present()) return;
  read_count(node.get("connections"), limits.connections, 1, 1'000'000);
  read_count(node.get("requests"), limits.requests, 1, 1'000'000);
  node.get("request_line").read_size(limits.request_line, 64, 64ULL * 1024);
  node.get("head").read_size(limits.head, 256, 64ULL * 1024);
  read_count(node.get("fields"), limits.fields, 1, 128);
  read_count(node.get("idle_upstream"), limits.idle_upstream, 0, 65'536);
  node.finish();
}

void read_upstreams(const YamlNode& node, Reader& reader) {
  for (const auto& [name, child] : node.entries()) {
    if (!reader.first_time(child)) {
      if (!child.present())
        child.fail("expected a map with endpoints, for example {endpoints: [\"10.0.0.11:8080\"]}");
      continue;
    }
    if (name.empty() || name.size() > 253) {
      child.fail("an upstream's name has 1 to 253 characters");
      continue;
    }
    if (reader.config.upstreams.size() >= kMaxUpstreams) {
      child.fail("more than 1024 upstreams");
      return;
    }
    read_upstream(name, child, reader.config);
  }
}

void read_document(const YamlNode& root, Reader& reader) {
  if (!root.present()) return;
  if (!root.is_map()) {
    root.fail("expected a map of keys, for example 'service: claims'");
    return;
  }
  Config& config = reader.config;
  if (const auto node = root.get("service"); reader.first_time(node))
    read_text(node, config.service);
  if (const auto node = root.get("service_version"); reader.first_time(node))
    read_text(node, config.service_version);
  for (const auto& [key, node] : root.get("resource").entries()) {
    std::string value;
    read_text(node, value);
    config.resource.emplace_back(key, value);
  }
  if (const auto node = root.get("collector"); node.present()) {
    if (const auto url = node.get("url"); reader.first_time(url)) {
      std::string text;
      if (url.read(text)) {
        if (auto parsed = net::parse_url(text); !parsed.ok())
          url.fail(parsed.error().detail);
        else
          config.collector_url = std::move(text);
      }
    }
    if (const auto tls = node.get("tls"); reader.first_time(tls))
      read_tls_block(tls, net::TlsRole::client, config.collector_tls, &config.collector_tls_place);
    if (const auto spool = node.get("spool"); reader.first_time(spool))
      spool.read_size(config.spool_bytes, 64ULL * 1024, 4ULL << 30);
    if (const auto dir = node.get("spool_dir"); reader.first_time(dir))
      read_text(dir, config.spool_dir);
    node.finish();
  }
  read_listeners(root.get("listeners"), reader);
  if (const auto node = root.get("admin"); node.present()) {
    if (const auto address = node.get("address"); reader.first_time(address))
      read_address(address, config.admin_address);
    node.finish();
  }
  if (const auto node = root.get("threads"); reader.first_time(node)) {
    int64_t threads = 0;
    if (node.read_integer(threads, 1, 256)) config.threads = static_cast<uint32_t>(threads);
  }
  if (const auto node = root.get("spin_us"); reader.first_time(node)) {
    int64_t micros = 0;
    if (node.read_integer(micros, 0, kMostSpinMicros))
      config.spin = std::chrono::microseconds(micros);
  }
  if (const auto node = root.get("telemetry"); reader.first_time(node))
    read_switch(node, config.telemetry);
  if (const auto node = root.get("access_log"); reader.first_time(node))
    read_switch(node, config.access_log);
  if (const auto node = root.get("trust_forwarded"); reader.first_time(node))
    read_switch(node, config.trust_forwarded);
  if (const auto node = root.get("log_level"); reader.first_time(node))
    node.read_choice(config.log_level, {"debug", "info", "warn", "error"});
  if (const auto node = root.get("timeouts"); reader.first_time(node))
    read_timeouts(node, config.timeouts);
  if (const auto node = root.get("limits"); reader.first_time(node))
    read_limits(node, config.limits);
  if (const auto node = root.get("drain"); reader.first_time(node)) {
    node.get("grace").read_duration(config.drain.grace, Millis{0}, kLongest);
    node.get("deadline").read_duration(config.drain.deadline, Millis{0}, kLongest);
    node.finish();
  }
  read_upstreams(root.get("upstreams"), reader);
  for (const YamlNode& item : root.get("routes").items()) {
    if (config.routes.size() >= kMaxRoutes) {
      item.fail("more than 4096 routes");
      break;
    }
    read_route(item, config);
  }
  root.finish();
}

std::vector<std::string> yaml_files(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code fault;
  for (std::filesystem::directory_iterator at(folder, fault), end; !fault && at != end;
       at.increment(fault)) {
    const auto extension = at->path().extension();
    // Kubernetes mounts keep their versions in hidden directories beside the links.
    if ((extension == ".yaml" || extension == ".yml") && at->path().filename().string()[0] != '.')
      files.push_back(at->path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

void read_config(const std::string& path, Config& config, YamlErrors& errors) {
  Reader reader{config, {}};
  std::error_code fault;
  if (!std::filesystem::exists(path, fault)) {
    errors.add({path, 0, 0, "", "no such file or directory"});
    return;
  }
  if (!std::filesystem::is_directory(path, fault)) {
    read_document(net::load_yaml(path, errors), reader);
    return;
  }
  const auto files = yaml_files(path);
  if (files.empty()) errors.add({path, 0, 0, "", "the directory has no *.yaml file"});
  if (files.size() > kMaxFiles) errors.add({path, 0, 0, "", "more than 256 files"});
  for (size_t i = 0; i < std::min(files.size(), kMaxFiles); ++i)
    read_document(net::load_yaml(files[i], errors), reader);
}

void read_config_text(std::string_view text, const std::string& file_name, Config& config,
                      YamlErrors& errors) {
  Reader reader{config, {}};
  read_document(net::parse_yaml(text, file_name, errors), reader);
}

bool has_inbound_route_policy(const Config& config) {
  return std::any_of(config.routes.begin(), config.routes.end(), [](const RouteConfig& route) {
    return !route.allow.empty() && route.listener != ListenerChoice::outbound;
  });
}

void check_config(const Config& config, YamlErrors& errors) {
  const bool routes_have_lists = has_inbound_route_policy(config);
  if (routes_have_lists && config.inbound_protocol == Protocol::tcp)
    errors.add({"", 0, 0, "/listeners/inbound/protocol",
                "tcp knows no routes: a route's allow cannot hold; use listeners.inbound.allow"});
  const bool lists = !config.inbound_allow.empty() || routes_have_lists;
  if (lists && (!config.inbound_tls || config.inbound_tls->verify == net::TlsVerify::none))
    errors.add({"", 0, 0, "/listeners/inbound/allow",
                "a list of identities needs listeners.inbound.tls with verify: required (or "
                "optional)"});
  std::set<std::string> names;
  for (const UpstreamConfig& upstream : config.upstreams) {
    if (upstream.name == "app")
      errors.add(upstream.place, "'app' is the service beside this proxy; choose another name");
    else
      names.insert(upstream.name);
  }
  if (!config.app.empty()) names.insert("app");
  for (const RouteConfig& route : config.routes) {
    for (const SplitEntry& entry : route.split) {
      if (names.count(entry.upstream) != 0) continue;
      std::string known;
      for (const auto& name : names) known += (known.empty() ? "" : ", ") + name;
      errors.add(entry.place, "unknown upstream '" + entry.upstream +
                                  "'; known: " + (known.empty() ? "none" : known));
    }
  }
}

std::string_view protocol_name(Protocol protocol) noexcept {
  switch (protocol) {
    case Protocol::detect:
      return "detect";
    case Protocol::http:
      return "http";
    case Protocol::tcp:
      return "tcp";
  }
  return "";
}

std::string_view balance_name(Balance balance) noexcept {
  switch (balance) {
    case Balance::round_robin:
      return "round_robin";
    case Balance::least_request:
      return "least_request";
    case Balance::peak_ewma:
      return "peak_ewma";
  }
  return "";
}

}  // namespace hms::proxy
