// alerts_api.h: GET /api/v1/rules (?type=alert|record) and /api/v1/alerts, in Prometheus' form.
// Thread: the loop's.
//
// Beside Prometheus' fields an alert has `silencedBy` (ids) while its notifications are held back.
#pragma once

#include "collector/alerts/alerts.h"
#include "net/http/server.h"
#include "telemetry/prom_text.h"

namespace hms::collector {

void register_alerts_api(net::HttpServer& server, Alerts& alerts);
/// hms_collector_rule*, hms_collector_alerts*, hms_collector_notifications*,
/// hms_collector_security_logs*.
void write_alert_metrics(telemetry::PromWriter& writer, const Alerts& alerts);

}  // namespace hms::collector
