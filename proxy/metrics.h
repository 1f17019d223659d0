// metrics.h: the proxy's own metrics, hms_proxy_*: one table from counters to names, used for
// /metrics and for what is exported. docs/metrics-proxy.md lists them (a test compares). Thread:
// main.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "proxy/counters.h"
#include "telemetry/exporter.h"
#include "telemetry/prom_text.h"
#include "telemetry/recorder.h"

namespace hms::proxy {

struct OwnNumbers {
  Counters counters;
  telemetry::SpoolCounters spool;
  telemetry::ExporterState exporter;
  uint64_t routes_folded = 0;
  uint64_t health_checks_good = 0, health_checks_bad = 0;
  uint64_t spans_dropped = 0, series_folded = 0;
  uint64_t reloads_ok = 0, reloads_refused = 0;
  uint64_t snapshot_generation = 0;
  uint64_t admin_displaced = 0;
  bool config_stream_connected = false;
  bool ready = false;
  uint64_t start_unix_seconds = 0;
};

struct MetricHelp {
  std::string_view name, help;
};
[[nodiscard]] const std::vector<MetricHelp>& metric_helps();

[[nodiscard]] std::vector<telemetry::OwnMetric> own_metrics(const OwnNumbers& numbers);

/// Request durations since start, by series, for /metrics. At most 4,096 series; further ones are
/// folded into the route "other".
class RequestTotals {
 public:
  void add(const telemetry::RecorderDelta& delta);
  void write(telemetry::PromWriter& writer, const std::string& service) const;

 private:
  std::map<std::vector<std::string>, telemetry::Histogram>
      series_;  // direction, method, route, status, upstream, error type
};

/// The whole page of /metrics.
[[nodiscard]] std::string metrics_page(const OwnNumbers& numbers, const RequestTotals& totals,
                                       const std::string& service,
                                       telemetry::PromWriter::Format format);

}  // namespace hms::proxy
