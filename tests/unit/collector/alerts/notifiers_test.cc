#include "collector/alerts/notifier.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "collector/alerts/registry.h"

using namespace hms;
using namespace hms::collector;
using nlohmann::json;

namespace {

Alert alert_of(const std::string& service, bool resolved = false) {
  Alert alert;
  alert.labels = {
      {"alertname", "HighErrorRate"}, {"service_name", service}, {"severity", "critical"}};
  alert.annotations = {{"summary", service + " fails"}};
  alert.state = resolved ? AlertState::inactive : AlertState::firing;
  alert.active_at = 1'700'000'000'000;
  alert.fired_at = 1'700'000'001'000;
  if (resolved) alert.resolved_at = 1'700'000'060'000;
  alert.value = 0.17;
  return alert;
}

NotificationGroup group_of(std::vector<Alert> alerts) {
  return {std::move(alerts), 1'700'000'002'000, "http://ops:9090"};
}

json rendered(const char* type, const NotificationGroup& group, NotifierConfig config = {}) {
  config.type = type;
  if (config.name.empty()) config.name = "n";
  if (config.url.empty()) config.url = "http://there/";
  config.routing_key = "0123456789abcdef0123456789abcdef";
  return json::parse(find_notifier_kind(type)->render(config, group).body);
}

std::vector<NotifierConfig> read(std::string_view yaml, std::string& faults) {
  net::YamlErrors errors;
  const net::YamlNode root = net::parse_yaml(yaml, "collector.yaml", errors);
  auto configs = read_notifiers(root.get("notifiers"));
  faults = errors.text();
  return configs;
}

}  // namespace

TEST_CASE("webhook: Alertmanager's JSON, version 4") {
  const json body = rendered("webhook", group_of({alert_of("claims"), alert_of("ui", true)}));
  CHECK(body["version"] == "4");
  CHECK(body["receiver"] == "n");
  CHECK(body["status"] == "firing");
  CHECK(body["groupKey"] == "{}:{alertname=\"HighErrorRate\"}");
  CHECK(body["groupLabels"] == json({{"alertname", "HighErrorRate"}}));
  CHECK(body["commonLabels"] == json({{"alertname", "HighErrorRate"}, {"severity", "critical"}}));
  CHECK(body["commonAnnotations"] == json::object());
  CHECK(body["externalURL"] == "http://ops:9090");
  CHECK(body["truncatedAlerts"] == 0);
  REQUIRE(body["alerts"].size() == 2);
  CHECK(body["alerts"][0]["status"] == "firing");
  CHECK(body["alerts"][0]["startsAt"] == "2023-11-14T22:13:21.000Z");
  CHECK(body["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z");
  CHECK(body["alerts"][0]["fingerprint"] == fingerprint(alert_of("claims").labels));
  CHECK(body["alerts"][1]["status"] == "resolved");
  CHECK(body["alerts"][1]["endsAt"] == "2023-11-14T22:14:20.000Z");
  CHECK(rendered("webhook", group_of({alert_of("ui", true)}))["status"] == "resolved");
}

TEST_CASE("pagerduty: trigger and resolve share a dedup_key, within the API's limits") {
  const json trigger = rendered("pagerduty", group_of({alert_of("claims")}));
  CHECK(trigger["event_action"] == "trigger");
  CHECK(trigger["routing_key"] == "0123456789abcdef0123456789abcdef");
  CHECK(trigger["payload"]["summary"] == "claims fails");
  CHECK(trigger["payload"]["source"] == "claims");
  CHECK(trigger["payload"]["severity"] == "critical");
  CHECK(trigger["client_url"] == "http://ops:9090/#/alerts");
  CHECK(trigger["links"][0]["href"] == "http://ops:9090/#/alerts");
  const json resolve = rendered("pagerduty", group_of({alert_of("claims", true)}));
  CHECK(resolve["event_action"] == "resolve");
  CHECK(resolve["dedup_key"] == trigger["dedup_key"]);
  CHECK(rendered("pagerduty", group_of({alert_of("ui")}))["dedup_key"] != trigger["dedup_key"]);
  Alert long_one = alert_of("claims");
  long_one.annotations["summary"] = std::string(5000, 'x');
  CHECK(
      rendered("pagerduty", group_of({long_one}))["payload"]["summary"].get<std::string>().size() ==
      1024);
  NotifierConfig config;
  config.type = "pagerduty";
  CHECK(kPagerdutyNotifier.render(config, group_of({alert_of("claims")})).url ==
        "https://events.pagerduty.com/v2/enqueue");
}

TEST_CASE("slack: an attachment with colour, and no label can page everybody") {
  Alert alert = alert_of("<!channel>");
  const json body = rendered("slack", group_of({alert}));
  CHECK(body["attachments"][0]["color"] == "danger");
  CHECK(body["attachments"][0]["title"] == "[FIRING:1] HighErrorRate");
  CHECK(body["attachments"][0]["text"].get<std::string>().find("&lt;!channel&gt;") !=
        std::string::npos);
  CHECK(rendered("slack", group_of({alert_of("ui", true)}))["attachments"][0]["color"] == "good");
}

TEST_CASE("alertmanager: its v2 alerts, ending four minutes ahead while they fire") {
  NotifierConfig config;
  config.url = "http://am:9093/";
  config.type = "alertmanager";
  const NotifierRequest request =
      kAlertmanagerNotifier.render(config, group_of({alert_of("claims"), alert_of("ui", true)}));
  CHECK(request.url == "http://am:9093/api/v2/alerts");
  const json body = json::parse(request.body);
  CHECK(body[0]["endsAt"] == "2023-11-14T22:17:22.000Z");
  CHECK(body[1]["endsAt"] == "2023-11-14T22:14:20.000Z");
  CHECK(body[0]["generatorURL"] == "http://ops:9090/#/alerts");
}

TEST_CASE("notifiers: bytes that are no UTF-8 do not stop a page") {
  Alert alert = alert_of("cla\xffims");
  for (const char* type : {"webhook", "pagerduty", "slack", "alertmanager"})
    CHECK_FALSE(rendered(type, group_of({alert})).empty());
}

TEST_CASE("registry: the page's list is read") {
  std::string faults;
  const auto configs = read(R"(notifiers:
  - {name: oncall, type: pagerduty, routing_key: "k", url: "http://127.0.0.1:1/v2"}
  - {name: hook, type: webhook, url: "http://127.0.0.1:1/", soc: true, repeat: 1h, send_resolved: false, headers: {Authorization: "Bearer x"}}
  - {name: chat, type: slack, url: "https://hooks.slack.com/x", channel: "#storm"}
  - {name: log, type: log})",
                            faults);
  CHECK(faults.empty());
  REQUIRE(configs.size() == 4);
  CHECK(configs[1].soc);
  CHECK_FALSE(configs[0].soc);
  CHECK(configs[1].repeat == net::Millis(3'600'000));
  CHECK_FALSE(configs[1].send_resolved);
  CHECK(configs[1].headers.size() == 1);
  CHECK(read("notifiers:", faults).empty());
  CHECK(faults.empty());
}

TEST_CASE("registry: every fault is told with its place and what is allowed") {
  std::string faults;
  (void)read(R"(notifiers:
  - {name: a, type: carrier-pigeon}
  - {name: a, type: webhook}
  - {name: b, type: pagerduty, url: "ftp://x"}
  - {name: c, type: log, routing_key: k, repeat: 5s}
  - {name: d, type: webhook, url: "http://x/", colour: red, headers: {"X Y": "z"}})",
             faults);
  for (const char* part :
       {"unknown type \"carrier-pigeon\"; allowed: webhook, pagerduty, slack, alertmanager, log",
        "\"a\" is there twice", "needs url", "not an http:// or https:// URL", "needs routing_key",
        "routing_key is for pagerduty", "at least 1m", "unknown key 'colour'", "not a header",
        "collector.yaml:2:"}) {
    CHECK_MESSAGE(faults.find(part) != std::string::npos, part << " not in\n" << faults);
  }
}

TEST_CASE("registry: every kind is found by its name") {
  for (const NotifierKind* kind : notifier_kinds()) CHECK(find_notifier_kind(kind->type) == kind);
  CHECK(find_notifier_kind("none") == nullptr);
}
