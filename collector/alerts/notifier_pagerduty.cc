// notifier_pagerduty.cc: PagerDuty Events API v2: trigger and resolve, one incident per alert,
// joined by a dedup_key that is the same for ever.
//
// Limits of the API: summary 1,024 characters, dedup_key 255, 512 KB an event. 202 is success, 400
// must not be sent again, 429 and 5xx may.
#include <nlohmann/json.hpp>

#include "collector/alerts/alertmanager_json.h"
#include "collector/alerts/notifier.h"
#include "telemetry/text.h"

namespace hms::collector {
namespace {

using nlohmann::ordered_json;
constexpr std::string_view kEnqueue = "https://events.pagerduty.com/v2/enqueue";

NotifierRequest render(const NotifierConfig& config, const NotificationGroup& group) {
  const Alert& alert = group.alerts.front();
  ordered_json body;
  body["routing_key"] = config.routing_key;
  body["event_action"] = is_resolved(alert) ? "resolve" : "trigger";
  body["dedup_key"] = "hms-" + fingerprint(alert.labels);
  const std::string service = alert.service();
  ordered_json payload;
  payload["summary"] = telemetry::cut_utf8(summary_of(alert), 1024);
  payload["source"] = service.empty() ? "hms-collector" : service;
  payload["severity"] = severity_of(alert);
  payload["timestamp"] = starts_at_text(alert);
  if (!service.empty()) payload["component"] = service;
  payload["class"] = alert.name();
  payload["custom_details"] = {{"labels", alert.labels},
                               {"annotations", alert.annotations},
                               {"value", api_number(alert.value)}};
  body["payload"] = std::move(payload);
  body["client"] = "HMS-OPS";
  if (!group.external_url.empty()) {
    body["client_url"] = generator_url(group);
    body["links"] = ordered_json::array(
        {{{"href", generator_url(group)}, {"text", "Alerts in the control room"}}});
  }
  return {config.url.empty() ? std::string(kEnqueue) : config.url,
          {{"Content-Type", "application/json"}},
          dump_json(body)};
}

}  // namespace

const NotifierKind kPagerdutyNotifier = {"pagerduty", true, net::Millis(0), kEnqueue,
                                         true,        true, render};

}  // namespace hms::collector
