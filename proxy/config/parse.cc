#include "proxy/config/parse.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "net/http/url.h"
#include "net/io/tls_config.h"

namespace hms::proxy {

using net::YamlErrors;
using net::YamlNode;

namespace {

constexpr size_t kMaxFiles = 256;
constexpr size_t kMaxUpstreams = 1'024;
constexpr size_t kMaxEndpoints = 1'024;
constexpr size_t kMaxRoutes = 4'096;
constexpr Millis kLongest{24LL * 3'600 * 1'000};

std::string place_of(const YamlNode& node) {
  return node.file() + ":" + std::to_string(node.line());
}

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

void read_switch(const YamlNode& node, bool& target) {
  std::string text;
  if (node.is_scalar() && node.read(text)) {
    if (text == "on" || text == "true" || text == "yes")
      target = true;
    else if (text == "off" || text == "false" || text == "no")
      target = false;
    else
      node.fail("'" + text + "' is neither on nor off");
  } else if (node.present() && !node.is_scalar()) {
    node.fail("expected on or off");
  }
}

void read_address(const YamlNode& node, std::string& target) {
  std::string text;
  if (!node.read(text)) return;
  if (auto address = net::SocketAddress::parse(text); !address.ok()) {
    node.fail(address.error().detail);
    return;
  }
  target = std::move(text);
}

void read_text(const YamlNode& node, std::string& target) {
  std::string text;
  if (!node.read(text)) return;
  const bool visible = std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
  });
  if (!visible || text.empty() || text.size() > 1'024) {
    node.fail("expected 1 to 1024 printable characters");
    return;
  }
  target = std::move(text);
}

void read_tls_block(const YamlNode& node, net::TlsRole role,
                    std::optional<net::TlsSettings>& target, net::YamlPlace* place = nullptr) {
  if (place != nullptr) *place = node.place();
  net::TlsSettings settings;
  settings.role = role;
  if (net::read_tls(node, settings)) target = std::move(settings);
}

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
  node.finish();
  config.upstreams.push_back(std::move(upstream));
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

bool valid_path_pattern(std::string_view pattern, std::string& why) {
  if (pattern.empty() || pattern[0] != '/') {
    why = "a path pattern begins with '/'";
    return false;
  }
  if (pattern.find_first_of("?#") != std::string_view::npos) {
    why = "a path pattern has no '?' and no '#': routes are chosen by the path alone";
    return false;
  }
  size_t begin = 1;
  while (begin <= pattern.size()) {
    const size_t end = std::min(pattern.find('/', begin), pattern.size());
    const std::string_view segment = pattern.substr(begin, end - begin);
    const bool last = end == pattern.size();
    if (segment == "*" && !last) {
      why = "'*' may only be the last segment";
      return false;
    }
    const bool braces = segment.find_first_of("{}") != std::string_view::npos;
    if (braces && (segment.size() < 3 || segment.front() != '{' || segment.back() != '}' ||
                   segment.find_first_of("{}", 1) != segment.size() - 1)) {
      why = "a variable takes a whole segment: '/claims/{id}'";
      return false;
    }
    begin = end + 1;
  }
  return true;
}

void read_match(const YamlNode& node, RouteConfig& route) {
  if (!node.present()) return;
  std::string listener;
  if (node.get("listener").read_choice(listener, {"inbound", "outbound", "any"})) {
    route.listener = listener == "inbound"    ? ListenerChoice::inbound
                     : listener == "outbound" ? ListenerChoice::outbound
                                              : ListenerChoice::any;
  }
  const YamlNode host = node.get("host");
  read_text(host, route.host);
  if (const auto colon = route.host.rfind(':');
      colon != std::string::npos && route.host.find(']', colon) == std::string::npos) {
    host.fail("a host is written without port: '" + route.host.substr(0, colon) + "'");
  }
  std::transform(route.host.begin(), route.host.end(), route.host.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const YamlNode path = node.get("path");
  read_text(path, route.path);
  if (std::string why; !route.path.empty() && !valid_path_pattern(route.path, why)) path.fail(why);
  for (const YamlNode& item : node.get("methods").items()) {
    std::string method;
    if (!item.read(method)) continue;
    const bool upper = !method.empty() && method.size() <= 32 &&
                       std::all_of(method.begin(), method.end(), [](char c) {
                         return (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
                       });
    if (!upper)
      item.fail("a method is written in capitals: GET, POST");
    else
      route.methods.push_back(std::move(method));
  }
  node.finish();
}

void read_retries(const YamlNode& node, RetryConfig& retries) {
  if (!node.present()) return;
  int64_t attempts = 0;
  if (node.get("attempts").read_integer(attempts, 0, 10))
    retries.attempts = static_cast<uint32_t>(attempts);
  const YamlNode on = node.get("on");
  if (on.present()) retries.on_connect = false;
  for (const YamlNode& item : on.items()) {
    std::string text;
    if (!item.read(text)) continue;
    if (text == "connect")
      retries.on_connect = true;
    else if (text == "reset")
      retries.on_reset = true;
    else if (text.size() == 3 && (text[0] == '5' || text == "429") &&
             text.find_first_not_of("0123456789") == std::string::npos)
      retries.on_status.set(static_cast<size_t>(std::stoi(text)));
    else
      item.fail("'" + text +
                "' is not something to retry on; allowed: connect, reset, 429, 500 to 599");
  }
  node.get("budget").read_fraction(retries.budget, 0.0, 1.0);
  node.finish();
}

void read_split(const YamlNode& node, const YamlNode& single, RouteConfig& route) {
  if (single.present() && node.present()) {
    node.fail("give either upstream or split, not both");
    return;
  }
  std::string name;
  if (single.read(name)) route.split.push_back({name, 100, single.place()});
  for (const YamlNode& item : node.items()) {
    SplitEntry entry;
    if (!item.is_map()) {
      item.fail("expected {upstream: NAME, weight: NUMBER}");
      continue;
    }
    const YamlNode upstream = item.require("upstream");
    const bool named = upstream.read(entry.upstream);
    entry.place = upstream.place();
    item.require("weight").read_number(entry.weight, 0, 1'000'000);
    item.finish();
    if (!named) continue;
    const bool twice =
        std::any_of(route.split.begin(), route.split.end(),
                    [&](const SplitEntry& other) { return other.upstream == entry.upstream; });
    if (twice) upstream.fail("'" + entry.upstream + "' is in this split twice");
    route.split.push_back(std::move(entry));
  }
  if (node.present() && node.is_list()) {
    double sum = 0;
    for (const SplitEntry& entry : route.split) sum += entry.weight;
    if (route.split.empty() || sum <= 0)
      node.fail("the weights of a split must add up to more than 0");
  }
}

void read_route(const YamlNode& node, Config& config) {
  RouteConfig route;
  route.place = place_of(node);
  if (!node.is_map()) {
    node.fail("expected a map with match, and upstream or split");
    return;
  }
  read_match(node.get("match"), route);
  read_split(node.get("split"), node.get("upstream"), route);
  const YamlNode sticky = node.get("sticky");
  if (std::string text; sticky.read(text)) {
    if (text == "none")
      route.sticky = StickyKind::none;
    else if (text == "trace")
      route.sticky = StickyKind::trace;
    else if (text.rfind("header:", 0) == 0 && text.size() > 7 && text.size() < 128) {
      route.sticky = StickyKind::header;
      route.sticky_header = text.substr(7);
    } else {
      sticky.fail("'" + text + "' is not allowed; allowed: trace, none, header:NAME");
    }
  }
  node.get("timeout").read_duration(route.timeout, Millis{1}, kLongest);
  read_retries(node.get("retries"), route.retries);
  node.finish();
  config.routes.push_back(std::move(route));
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

void check_config(const Config& config, YamlErrors& errors) {
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
