// notifier_webhook.cc: Alertmanager's webhook JSON, version 4 (alertmanager/template/template.go,
// notify/webhook/webhook.go), so that what people have behind an Alertmanager works behind us.
#include <nlohmann/json.hpp>

#include "collector/alerts/alertmanager_json.h"
#include "collector/alerts/notifier.h"
#include "telemetry/text.h"

namespace hms::collector {
namespace {

using nlohmann::ordered_json;

NotifierRequest render(const NotifierConfig& config, const NotificationGroup& group) {
  bool firing = false;
  for (const Alert& alert : group.alerts) firing = firing || !is_resolved(alert);
  const std::string name = group.alerts.front().name();
  std::string quoted;
  telemetry::append_json_text(quoted, name);
  ordered_json body;
  body["receiver"] = config.name;
  body["status"] = firing ? "firing" : "resolved";
  body["alerts"] = ordered_json::array();
  for (const Alert& alert : group.alerts) {
    ordered_json one;
    one["status"] = is_resolved(alert) ? "resolved" : "firing";
    one["labels"] = alert.labels;
    one["annotations"] = alert.annotations;
    one["startsAt"] = starts_at_text(alert);
    one["endsAt"] = is_resolved(alert) ? ends_at_text(alert) : "0001-01-01T00:00:00Z";
    one["generatorURL"] = generator_url(group);
    one["fingerprint"] = fingerprint(alert.labels);
    body["alerts"].push_back(std::move(one));
  }
  body["groupLabels"] = {{"alertname", name}};
  body["commonLabels"] = common_texts(group.alerts, &Alert::labels);
  body["commonAnnotations"] = common_texts(group.alerts, &Alert::annotations);
  body["externalURL"] = group.external_url;
  body["version"] = "4";
  body["groupKey"] = "{}:{alertname=" + quoted + "}";
  body["truncatedAlerts"] = 0;
  return {config.url, {{"Content-Type", "application/json"}}, dump_json(body)};
}

}  // namespace

const NotifierKind kWebhookNotifier = {"webhook", false, net::Millis(0), "", true, false, render};

}  // namespace hms::collector
