// registry.h: the kinds of notifiers there are, and reading `notifiers:` of the collector's
// configuration.
//
//   notifiers:
//     - {name: oncall, type: pagerduty, routing_key: "…"}
//     - {name: hook, type: webhook, url: "https://…", soc: true}
// Keys: name, type, url, routing_key, channel, username, soc, send_resolved, repeat, headers.
// docs/alerts.md describes each. Thread: start-up or reload.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "collector/alerts/notifier.h"

namespace hms::collector {

[[nodiscard]] std::span<const NotifierKind* const> notifier_kinds() noexcept;
/// nullptr when there is no such kind.
[[nodiscard]] const NotifierKind* find_notifier_kind(std::string_view type) noexcept;

/// Reads the list; an absent node gives none. Faults go to the node's errors. At most 64.
[[nodiscard]] std::vector<NotifierConfig> read_notifiers(const net::YamlNode& list);

}  // namespace hms::collector
