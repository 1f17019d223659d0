// notifier_alertmanager.cc: hands alerts to an Alertmanager (POST /api/v2/alerts), which routes,
// groups and silences them itself.
//
// An Alertmanager forgets an alert at its endsAt, so that what fires is told again every minute
// with an end four minutes ahead, as Prometheus does (rules/alerting.go). `url` is the
// Alertmanager's root, or the whole path.
#include <nlohmann/json.hpp>

#include "collector/alerts/alertmanager_json.h"
#include "collector/alerts/notifier.h"

namespace hms::collector {
namespace {

using nlohmann::ordered_json;
constexpr int64_t kValidMillis = 4 * 60'000;
constexpr std::string_view kPath = "/api/v2/alerts";

NotifierRequest render(const NotifierConfig& config, const NotificationGroup& group) {
  ordered_json body = ordered_json::array();
  for (const Alert& alert : group.alerts) {
    ordered_json one;
    one["labels"] = alert.labels;
    one["annotations"] = alert.annotations;
    one["startsAt"] = starts_at_text(alert);
    one["endsAt"] = is_resolved(alert) ? ends_at_text(alert)
                                       : telemetry::rfc3339(group.now_millis + kValidMillis);
    one["generatorURL"] = generator_url(group);
    body.push_back(std::move(one));
  }
  std::string url = config.url;
  while (url.ends_with("/")) url.pop_back();
  if (!url.ends_with(kPath)) url += kPath;
  return {url, {{"Content-Type", "application/json"}}, dump_json(body)};
}

}  // namespace

const NotifierKind kAlertmanagerNotifier = {"alertmanager", false, net::Millis(60'000), "", true,
                                            false,          render};

}  // namespace hms::collector
