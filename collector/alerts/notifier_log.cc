// notifier_log.cc: a line in the collector's own log per alert. Needs nothing, and so always works.
#include "collector/alerts/notifier.h"
#include "net/core/log.h"

namespace hms::collector {
namespace {

NotifierRequest render(const NotifierConfig& config, const NotificationGroup& group) {
  for (const Alert& alert : group.alerts) {
    const bool resolved = is_resolved(alert);
    net::log(resolved ? net::LogLevel::info : net::LogLevel::warn,
             resolved ? "alert resolved" : "alert firing",
             {{"notifier", config.name},
              {"alertname", alert.name()},
              {"service", alert.service()},
              {"severity", severity_of(alert)},
              {"summary", summary_of(alert)},
              {"fingerprint", fingerprint(alert.labels)},
              {"value", alert.value}});
  }
  return {};
}

}  // namespace

const NotifierKind kLogNotifier = {"log", false, net::Millis(0), "", false, false, render};

}  // namespace hms::collector
