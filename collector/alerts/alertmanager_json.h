// alertmanager_json.h: small parts of Alertmanager's JSON that its webhook, its v2 API and our own
// stream share. For .cc files only.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "collector/alerts/alert.h"
#include "telemetry/time_text.h"

namespace hms::collector {

[[nodiscard]] inline std::string starts_at_text(const Alert& alert) {
  return telemetry::rfc3339(alert.fired_at != 0 ? alert.fired_at : alert.active_at);
}
[[nodiscard]] inline std::string ends_at_text(const Alert& alert) {
  return telemetry::rfc3339(alert.resolved_at);
}

/// Bytes that are no UTF-8 become U+FFFD instead of an exception.
[[nodiscard]] inline std::string dump_json(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

/// What all alerts have in common.
[[nodiscard]] inline LabelMap common_texts(const std::vector<Alert>& alerts,
                                           LabelMap Alert::*texts) {
  LabelMap common = alerts.front().*texts;
  for (const Alert& alert : alerts) {
    std::erase_if(common, [&](const auto& entry) {
      const auto at = (alert.*texts).find(entry.first);
      return at == (alert.*texts).end() || at->second != entry.second;
    });
  }
  return common;
}

}  // namespace hms::collector
