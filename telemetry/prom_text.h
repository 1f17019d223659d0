// prom_text.h: own metrics as Prometheus text (0.0.4) and OpenMetrics 1.0; metric-name and label
// conversion from OpenTelemetry.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "telemetry/histogram.h"

namespace hms::telemetry {

using Labels = std::vector<std::pair<std::string, std::string>>;

/// "http.server.request.duration" with unit "s" -> "http_server_request_duration_seconds"; counters
/// get "_total" (OpenTelemetry compatibility/prometheus_and_openmetrics.md). `counter` false for
/// gauges and histograms.
[[nodiscard]] std::string prometheus_metric_name(std::string_view name, std::string_view unit,
                                                 bool counter);
/// "http.route" -> "http_route"; a leading digit gets "key_".
[[nodiscard]] std::string prometheus_label_name(std::string_view key);

/// Collects families and writes them in one of the two text formats. Values are escaped; duplicate
/// families are joined.
class PromWriter {
 public:
  enum class Format { text, openmetrics };
  explicit PromWriter(Format format) : format_(format) {}
  void counter(std::string_view name, std::string_view help, const Labels& labels, double value);
  void gauge(std::string_view name, std::string_view help, const Labels& labels, double value);
  /// As classic cumulative buckets at the semantic conventions' bounds, plus _sum and _count.
  void histogram(std::string_view name, std::string_view help, const Labels& labels,
                 const Histogram& value);
  [[nodiscard]] std::string finish();
  /// By the Accept header: OpenMetrics if asked for, else text.
  [[nodiscard]] static Format negotiate(std::string_view accept) noexcept;
  [[nodiscard]] static std::string_view content_type(Format format) noexcept;

 private:
  struct Family {
    std::string name, help, type, lines;
  };
  Family& family(std::string_view name, std::string_view help, std::string_view type);
  Format format_;
  std::vector<Family> families_;
};

}  // namespace hms::telemetry
