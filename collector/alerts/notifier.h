// notifier.h: what a kind of notifier is: a check of its configuration, and a pure function from
// alerts to one HTTP request.
//
// A new kind: copy notifier_slack.cc, declare its entry below, add it to the table in registry.cc,
// a section to docs/alerts.md and a test. Delivery (who is told when, retries, silences) is
// delivery.cc's. Thread: any; pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collector/alerts/alert.h"
#include "net/core/clock.h"
#include "net/core/yaml_reader.h"

namespace hms::collector {

struct NotifierConfig {
  std::string name, type;
  std::string url;                // empty: the service's own
  std::string routing_key;        // pagerduty
  std::string channel, username;  // slack
  bool soc = false;               // hears security logs, too
  bool send_resolved = true;
  net::Millis repeat{4 * 3600 * 1000};  // tells again of what still fires; 0: never
  std::vector<std::pair<std::string, std::string>> headers;  // for example Authorization
};

/// Alerts that go out together: all of one alertname for most kinds, a single one for kinds that
/// open incidents.
struct NotificationGroup {
  std::vector<Alert> alerts;  // firing or resolved, never empty
  int64_t now_millis = 0;
  std::string external_url;  // of this collector, without a slash at the end
};

struct NotifierRequest {
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;  // empty: there is nothing to send, it was told in place (log)
};

struct NotifierKind {
  std::string_view type;
  bool one_at_a_time;   // each alert its own request
  net::Millis refresh;  // tells again this often however long `repeat` is; 0: no
  std::string_view default_url;
  bool needs_url, needs_routing_key;
  NotifierRequest (*render)(const NotifierConfig& config, const NotificationGroup& group);
};

extern const NotifierKind kWebhookNotifier;
extern const NotifierKind kPagerdutyNotifier;
extern const NotifierKind kSlackNotifier;
extern const NotifierKind kAlertmanagerNotifier;
extern const NotifierKind kLogNotifier;

/// An alert in Alertmanager's JSON (webhook and v2 API use the same names).
[[nodiscard]] bool is_resolved(const Alert& alert) noexcept;
/// Annotation summary, else the alert's name and labels: one line for people.
[[nodiscard]] std::string summary_of(const Alert& alert);
/// Label severity as one of critical, error, warning, info ("page" is critical; anything else
/// error).
[[nodiscard]] std::string_view severity_of(const Alert& alert);
/// Where a person looks: the control room's page of alerts.
[[nodiscard]] std::string generator_url(const NotificationGroup& group);

}  // namespace hms::collector
