#include "net/http/browser_guard.h"

#include <algorithm>

#include "net/core/host_port.h"
#include "net/http/characters.h"
#include "net/io/address.h"

namespace hms::net {
namespace {

bool may_change(std::string_view method) noexcept {
  return method != "GET" && method != "HEAD" && method != "OPTIONS";
}

/// Every browser sends one of them, and a page's script cannot take all of them away.
bool from_browser(const MessageHead& head) noexcept {
  return head.has(KnownHeader::origin) || !head.get("sec-fetch-site").empty() ||
         !head.get("accept-language").empty() ||
         head.get(KnownHeader::user_agent).substr(0, 8) == "Mozilla/";
}

/// "https://ops.example.com:443" -> "ops.example.com"; the port only if it is not the scheme's own.
std::string_view authority_of_origin(std::string_view origin) noexcept {
  const size_t scheme = origin.find("://");
  if (scheme == std::string_view::npos) return {};
  const std::string_view usual = origin.substr(0, scheme) == "https" ? ":443" : ":80";
  origin.remove_prefix(scheme + 3);
  origin = origin.substr(0, origin.find('/'));
  if (origin.ends_with(usual)) origin.remove_suffix(usual.size());
  return origin;
}

bool same_authority(std::string_view host, std::string_view origin) noexcept {
  const std::string_view wanted = authority_of_origin(origin);
  if (wanted.empty()) return false;
  if (equals_ignoring_case(host, wanted)) return true;
  const std::string_view usual = origin.starts_with("https:") ? ":443" : ":80";
  return host.ends_with(usual) &&
         equals_ignoring_case(host.substr(0, host.size() - usual.size()), wanted);
}

bool is_ours(std::string_view host, const BrowserRules& rules) {
  const std::string_view name = split_host_port(host).host;
  if (name.empty() || SocketAddress::parse(std::string(name) + ":1").ok()) return true;
  if (equals_ignoring_case(name, "localhost")) return true;
  return std::any_of(rules.allowed_origins.begin(), rules.allowed_origins.end(),
                     [name](const std::string& origin) {
                       return equals_ignoring_case(
                           name, split_host_port(authority_of_origin(origin)).host);
                     });
}

bool from_own_page(const MessageHead& head, const BrowserRules& rules) {
  const std::string_view site = head.get("sec-fetch-site");
  if (!site.empty()) return site == "same-origin" || site == "none";
  const std::string_view origin = head.get(KnownHeader::origin);
  if (origin.empty()) return true;
  if (same_authority(head.get(KnownHeader::host), origin)) return true;
  return std::any_of(rules.allowed_origins.begin(), rules.allowed_origins.end(),
                     [origin](const std::string& allowed) {
                       return equals_ignoring_case(authority_of_origin(allowed),
                                                   authority_of_origin(origin));
                     });
}

}  // namespace

std::optional<std::string> foreign_page(const MessageHead& head, const BrowserRules& rules,
                                        bool loopback_listener) {
  if (!from_browser(head)) return std::nullopt;
  const std::string_view host = head.get(KnownHeader::host);
  if (loopback_listener && !is_ours(host, rules)) {
    return "a browser may reach this address by the name \"" + std::string(host.substr(0, 100)) +
           "\" only if it is that of external_url";
  }
  if (may_change(head.method) && !from_own_page(head, rules))
    return "a page of another origin may not change anything here";
  return std::nullopt;
}

}  // namespace hms::net
