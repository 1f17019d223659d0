// alerts_api.cc: envelopes around what the alerts room says.
#include "collector/api/alerts_api.h"

#include <nlohmann/json.hpp>

namespace hms::collector {
namespace {

void answer(const net::ReplyPtr& reply, nlohmann::json data) {
  const nlohmann::json body = {{"status", "success"}, {"data", std::move(data)}};
  reply->send(200, "application/json",
              body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace

void register_alerts_api(net::HttpServer& server, Alerts& alerts) {
  server.route("GET", "/api/v1/alerts", [&alerts](net::Request&, const net::ReplyPtr& reply) {
    answer(reply, alerts.alerts_json());
  });
  server.route(
      "GET", "/api/v1/rules", [&alerts](net::Request& request, const net::ReplyPtr& reply) {
        const std::string* type = request.query_value("type");
        if (type != nullptr && !type->empty() && *type != "alert" && *type != "record") {
          net::send_error(*reply, 400, "bad_data",
                          "type is \"" + type->substr(0, 60) + "\", expected alert or record");
          return;
        }
        answer(reply,
               alerts.rules_json(type == nullptr ? std::string_view() : std::string_view(*type)));
      });
}

void write_alert_metrics(telemetry::PromWriter& writer, const Alerts& alerts) {
  const AlertsStats stats = alerts.stats();
  const auto number = [](uint64_t value) { return static_cast<double>(value); };
  writer.gauge("hms_collector_rules", "rules in force", {}, number(stats.rules));
  writer.counter("hms_collector_rule_evaluations_total", "rules evaluated", {},
                 number(stats.evaluations));
  writer.counter("hms_collector_rule_evaluation_failures_total",
                 "rules that could not be evaluated", {}, number(stats.evaluation_failures));
  writer.counter("hms_collector_rule_evaluations_missed_total",
                 "groups left out because the last evaluation was not done", {},
                 number(stats.evaluations_missed));
  writer.gauge("hms_collector_rule_evaluation_seconds",
               "time the last evaluation of all due rules took", {},
               number(stats.last_evaluation_micros) / 1e6);
  writer.gauge("hms_collector_alerts", "alerts by state", {{"state", "pending"}},
               number(stats.pending));
  writer.gauge("hms_collector_alerts", "alerts by state", {{"state", "firing"}},
               number(stats.firing));
  writer.counter("hms_collector_alerts_refused_total", "alerts beyond the bound of 10,000", {},
                 number(stats.refused));
  writer.counter("hms_collector_security_logs_total", "logs with severity security", {},
                 number(stats.security_logs));
  writer.counter("hms_collector_security_logs_folded_total",
                 "those folded into one alert because there were too many different ones", {},
                 number(stats.security_folded));
  writer.gauge("hms_collector_live_series", "series that rules are evaluated on in memory", {},
               number(stats.live_series));
  for (const NotifierStats& notifier : stats.notifiers) {
    const telemetry::Labels labels = {{"notifier", notifier.name}, {"type", notifier.type}};
    writer.counter("hms_collector_notifications_sent_total", "requests a notifier took", labels,
                   number(notifier.sent));
    writer.counter("hms_collector_notification_retries_total",
                   "requests that failed and are tried again", labels, number(notifier.retries));
    writer.counter("hms_collector_notifications_refused_total",
                   "requests answered with a status that is final", labels,
                   number(notifier.refused));
    writer.counter("hms_collector_notifications_given_up_total",
                   "ends of alerts that nobody took in time", labels, number(notifier.given_up));
  }
}

}  // namespace hms::collector
