#include "proxy/config/read_values.h"

#include <algorithm>

#include "net/io/tls_names.h"

namespace hms::proxy {

using net::YamlNode;

namespace {

constexpr size_t kMaxIdentities = 1'024;

}  // namespace

std::string place_of(const YamlNode& node) {
  return node.file() + ":" + std::to_string(node.line());
}

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
                    std::optional<net::TlsSettings>& target, net::YamlPlace* place) {
  if (place != nullptr) *place = node.place();
  net::TlsSettings settings;
  settings.role = role;
  if (net::read_tls(node, settings)) target = std::move(settings);
}

void read_allow(const YamlNode& node, std::vector<std::string>& allow) {
  if (!node.present()) return;
  const auto items = node.items();
  if (node.is_list() && (items.empty() || items.size() > kMaxIdentities))
    node.fail("expected 1 to 1024 identities");
  for (const YamlNode& item : items) {
    std::string text;
    if (!item.read(text)) continue;
    if (net::is_peer_name(text))
      allow.push_back(std::move(text));
    else
      item.fail(
          "'" + text +
          "' is not an identity; allowed: spiffe://domain/path, spiffe://domain/path/*, a DNS "
          "name, *.domain");
  }
}

}  // namespace hms::proxy
