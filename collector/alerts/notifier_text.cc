// notifier_text.cc: what several kinds of notifiers say in the same way.
#include "collector/alerts/notifier.h"

namespace hms::collector {

bool is_resolved(const Alert& alert) noexcept { return alert.resolved_at != 0; }

std::string summary_of(const Alert& alert) {
  const auto at = alert.annotations.find("summary");
  if (at != alert.annotations.end() && !at->second.empty()) return at->second;
  const std::string service = alert.service();
  return alert.name() + (service.empty() ? "" : " on " + service);
}

std::string_view severity_of(const Alert& alert) {
  const auto at = alert.labels.find("severity");
  if (at == alert.labels.end()) return "error";
  const std::string& text = at->second;
  if (text == "critical" || text == "page" || text == "fatal") return "critical";
  if (text == "warning" || text == "warn" || text == "ticket") return "warning";
  if (text == "info" || text == "none") return "info";
  return "error";
}

std::string generator_url(const NotificationGroup& group) {
  return group.external_url + "/#/alerts";
}

}  // namespace hms::collector
