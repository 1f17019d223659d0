#include "proxy/config/read_routes.h"

#include <algorithm>

#include "net/core/host_port.h"
#include "proxy/config/read_values.h"

namespace hms::proxy {

using net::YamlNode;

namespace {

bool valid_segment(std::string_view segment, bool last, std::string& why) {
  if (segment == "*" && last) return true;
  if (segment == "." || segment == ".." || (segment.empty() && !last)) {
    why = "requests are compared without '.', '..' and empty segments: write the path without them";
  } else if (segment.find('*') != std::string_view::npos) {
    why =
        "'*' is allowed as the last segment alone, for any rest: '/api/*'; one segment is '{name}'";
  } else if (segment.find_first_of("{}") != std::string_view::npos &&
             (segment.size() < 3 || segment.front() != '{' || segment.back() != '}' ||
              segment.find_first_of("{}", 1) != segment.size() - 1)) {
    why = "a variable takes a whole segment: '/claims/{id}'";
  }
  return why.empty();
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
    if (!valid_segment(segment, last, why)) return false;
    begin = end + 1;
  }
  return true;
}

/// In lower case, without the root's dot.
void read_host(const YamlNode& node, std::string& host) {
  read_text(node, host);
  if (const auto parts = net::split_host_port(host); parts.has_port())
    node.fail("a host is written without port: '" + std::string(parts.host) + "'");
  else if (parts.bracketed() && !parts.well_bracketed())
    node.fail("'" + host + "' is not allowed; allowed in brackets: an IPv6 address");
  if (host.find('*', host.rfind("*.", 0) == 0 ? 1 : 0) != std::string::npos) {
    node.fail(
        "'" + host +
        "' is not allowed; allowed: a name, or '*.' and a domain ('*.example.com': every name "
        "below it); leave host out for any");
  }
  std::transform(host.begin(), host.end(), host.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (host.size() > 1 && host.back() == '.') host.pop_back();
}

void read_match(const YamlNode& node, RouteConfig& route) {
  if (!node.present()) return;
  std::string listener;
  if (node.get("listener").read_choice(listener, {"inbound", "outbound", "any"})) {
    route.listener = listener == "inbound"    ? ListenerChoice::inbound
                     : listener == "outbound" ? ListenerChoice::outbound
                                              : ListenerChoice::any;
  }
  read_host(node.get("host"), route.host);
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

}  // namespace

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
  read_allow(node.get("allow"), route.allow);
  node.finish();
  config.routes.push_back(std::move(route));
}

}  // namespace hms::proxy
