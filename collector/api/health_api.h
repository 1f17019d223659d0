// health_api.h: GET /healthz (the process turns), /readyz (it takes telemetry), /metrics (its own,
// as Prometheus text or OpenMetrics).
#pragma once

#include <functional>
#include <vector>

#include "collector/store/engine.h"
#include "net/http/server.h"
#include "telemetry/prom_text.h"

namespace hms::collector {

/// Each adds the metrics of one part. Called on the loop's thread.
using MetricSource = std::function<void(telemetry::PromWriter&)>;

struct HealthState {
  bool draining = false;
  std::vector<MetricSource> metrics;
};

/// 503 on /readyz while draining and while the disk refuses writes. Both must outlive the server.
/// Thread: the loop's.
void register_health_api(net::HttpServer& server, const HealthState& state,
                         const StorageEngine& engine);

/// hms_collector_storage_* of the engine, and the process's own numbers.
void write_engine_metrics(telemetry::PromWriter& writer, const StorageEngine& engine);
void write_server_metrics(telemetry::PromWriter& writer, const std::string& listener,
                          const net::ServerCounters& counters);

}  // namespace hms::collector
