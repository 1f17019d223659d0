// registry.cc: one line per kind.
#include "collector/alerts/registry.h"

#include <algorithm>
#include <array>
#include <set>

#include "collector/alerts/rules.h"
#include "net/http/url.h"

namespace hms::collector {
namespace {

constexpr std::array<const NotifierKind*, 5> kKinds = {
    &kWebhookNotifier, &kPagerdutyNotifier, &kSlackNotifier, &kAlertmanagerNotifier, &kLogNotifier,
};
constexpr size_t kMaxNotifiers = 64;
constexpr size_t kMaxHeaders = 16;

/// A header may not carry a line end into the request.
bool clean_header(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

void read_headers(const net::YamlNode& node, NotifierConfig& config) {
  if (!node.present()) return;
  for (const auto& [name, child] : node.entries()) {
    std::string value;
    if (!child.read(value)) continue;
    const bool token = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '_';
    });
    if (!token || !clean_header(value)) {
      child.fail(
          "not a header: a name has letters, digits, - and _, a value has no control characters");
    } else if (config.headers.size() >= kMaxHeaders) {
      child.fail("at most 16 headers");
    } else {
      config.headers.emplace_back(name, value);
    }
  }
}

void check(const net::YamlNode& node, const NotifierKind& kind, const NotifierConfig& config) {
  if (kind.needs_url && config.url.empty() && kind.default_url.empty())
    node.fail("a " + config.type + " notifier needs url");
  if (kind.needs_routing_key && config.routing_key.empty())
    node.fail("a " + config.type + " notifier needs routing_key");
  if (!kind.needs_routing_key && !config.routing_key.empty())
    node.fail("routing_key is for pagerduty, not for " + config.type);
  if (kind.type != "slack" && (!config.channel.empty() || !config.username.empty()))
    node.fail("channel and username are for slack, not for " + config.type);
}

NotifierConfig read_notifier(const net::YamlNode& node, std::set<std::string>& names) {
  NotifierConfig config;
  const net::YamlNode name = node.require("name");
  if (name.read(config.name)) {
    if (config.name.empty() || config.name.size() > 128) name.fail("a name has 1 to 128 bytes");
    if (!names.insert(config.name).second)
      name.fail("the notifier \"" + config.name + "\" is there twice");
  }
  const NotifierKind* kind = nullptr;
  const net::YamlNode type = node.require("type");
  if (type.read(config.type)) {
    kind = find_notifier_kind(config.type);
    if (kind == nullptr) {
      std::string known;
      for (const NotifierKind* entry : kKinds)
        known += (known.empty() ? "" : ", ") + std::string(entry->type);
      type.fail("unknown type \"" + config.type + "\"; allowed: " + known);
    }
  }
  const net::YamlNode url = node.get("url");
  if (url.read(config.url)) {
    if (auto parsed = net::parse_url(config.url); !parsed)
      url.fail("not an http:// or https:// URL: " + parsed.error().detail);
  }
  node.get("routing_key").read(config.routing_key);
  node.get("channel").read(config.channel);
  node.get("username").read(config.username);
  node.get("soc").read(config.soc);
  node.get("send_resolved").read(config.send_resolved);
  const net::YamlNode repeat = node.get("repeat");
  std::string duration;
  if (repeat.read(duration)) {
    auto parsed = parse_rule_duration(duration);
    if (!parsed) {
      repeat.fail(parsed.error().detail);
    } else if (parsed->count() != 0 && parsed->count() < 60'000) {
      repeat.fail("at least 1m, or 0 for never");
    } else {
      config.repeat = *parsed;
    }
  }
  read_headers(node.get("headers"), config);
  node.finish();
  if (kind != nullptr) check(node, *kind, config);
  return config;
}

}  // namespace

std::span<const NotifierKind* const> notifier_kinds() noexcept { return kKinds; }

const NotifierKind* find_notifier_kind(std::string_view type) noexcept {
  for (const NotifierKind* kind : kKinds) {
    if (kind->type == type) return kind;
  }
  return nullptr;
}

std::vector<NotifierConfig> read_notifiers(const net::YamlNode& list) {
  std::vector<NotifierConfig> configs;
  if (!list.present()) return configs;
  std::set<std::string> names;
  for (const net::YamlNode& node : list.items()) {
    if (configs.size() >= kMaxNotifiers) {
      node.fail("at most 64 notifiers");
      break;
    }
    configs.push_back(read_notifier(node, names));
  }
  return configs;
}

}  // namespace hms::collector
