// browser_guard.h: what a page of somebody else's may not do through a browser that reaches us.
//
// A browser sends a page's requests with the rights of the machine it runs on. Two rules, for
// browsers only; programs (curl, SDKs, sidecars, Grafana's server) send none of the fields that
// they look at:
//  * A request that may change something (not GET, HEAD or OPTIONS) must come from our own page:
//    Sec-Fetch-Site same-origin or none, or, from browsers that do not send it, an Origin with our
//    Host or one of `allowed_origins`. (Cross-site request forgery.)
//  * On a loopback listener a browser's Host must be an address, localhost or the host of an
//    allowed origin: a name of somebody else's that resolves to 127.0.0.1 would make his page our
//    own. (DNS rebinding.)
// Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/http/message_head.h"

namespace hms::net {

struct BrowserRules {
  std::vector<std::string> allowed_origins;  // "https://ops.example.com", beside our own Host
};

/// Why the request is refused (403), or nothing.
[[nodiscard]] std::optional<std::string> foreign_page(const MessageHead& head,
                                                      const BrowserRules& rules,
                                                      bool loopback_listener);

}  // namespace hms::net
