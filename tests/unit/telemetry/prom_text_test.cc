#include "telemetry/prom_text.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using namespace hms::telemetry;

TEST_CASE("prometheus names: units become words, counters end in _total") {
  CHECK(prometheus_metric_name("http.server.request.duration", "s", false) ==
        "http_server_request_duration_seconds");
  CHECK(prometheus_metric_name("http.server.requests", "", true) == "http_server_requests_total");
  CHECK(prometheus_metric_name("http.server.requests", "{request}", true) ==
        "http_server_requests_total");
  CHECK(prometheus_metric_name("process.memory.usage", "By", false) ==
        "process_memory_usage_bytes");
  CHECK(prometheus_metric_name("net.io", "By/s", false) == "net_io_bytes_per_second");
  CHECK(prometheus_metric_name("calls", "{call}/s", false) == "calls_per_second");
  CHECK(prometheus_metric_name("cpu.utilization", "1", false) == "cpu_utilization_ratio");
  CHECK(prometheus_metric_name("restarts", "1", true) == "restarts_total");
  CHECK(prometheus_metric_name("fan.speed", "rpm", false) == "fan_speed_rpm");
  CHECK(prometheus_metric_name("disk.used", "%", false) == "disk_used_percent");
}

TEST_CASE("prometheus names: suffixes that are there already are not doubled") {
  CHECK(prometheus_metric_name("hms_proxy_requests_total", "", true) == "hms_proxy_requests_total");
  CHECK(prometheus_metric_name("uptime_seconds", "s", false) == "uptime_seconds");
  CHECK(prometheus_metric_name("sent_bytes_total", "By", true) == "sent_bytes_total");
}

TEST_CASE(
    "prometheus names: other characters become one underscore, a leading digit gets one before "
    "it") {
  CHECK(prometheus_metric_name("a--b..c d", "", false) == "a_b_c_d");
  CHECK(prometheus_metric_name("5xx.rate", "", false) == "_5xx_rate");
  CHECK(prometheus_metric_name("job:rate", "", false) == "job:rate");
  CHECK(prometheus_metric_name("", "", false) == "_");
  CHECK(prometheus_metric_name("caf\xc3\xa9", "", false) == "caf");
  CHECK(prometheus_label_name("http.route") == "http_route");
  CHECK(prometheus_label_name("5xx") == "key_5xx");
  CHECK(prometheus_label_name("job:x") == "job_x");
  CHECK(prometheus_label_name("") == "_");
}

TEST_CASE("prometheus text: families are joined and samples follow their type") {
  PromWriter writer(PromWriter::Format::text);
  writer.counter("hms_proxy_requests_total", "Requests taken", {{"listener", "inbound"}}, 3);
  writer.gauge("hms_proxy_connections", "Open now", {}, 1.5);
  writer.counter("hms_proxy_requests", "Requests taken", {{"listener", "outbound"}}, 4);
  CHECK(writer.finish() ==
        "# HELP hms_proxy_requests_total Requests taken\n"
        "# TYPE hms_proxy_requests_total counter\n"
        "hms_proxy_requests_total{listener=\"inbound\"} 3\n"
        "hms_proxy_requests_total{listener=\"outbound\"} 4\n"
        "# HELP hms_proxy_connections Open now\n"
        "# TYPE hms_proxy_connections gauge\n"
        "hms_proxy_connections 1.5\n");
}

TEST_CASE("openmetrics: a counter's family has no _total, and the text ends in # EOF") {
  PromWriter writer(PromWriter::Format::openmetrics);
  writer.counter("hms_proxy_requests_total", "say \"hi\"", {}, 3);
  CHECK(writer.finish() ==
        "# HELP hms_proxy_requests say \\\"hi\\\"\n"
        "# TYPE hms_proxy_requests counter\n"
        "hms_proxy_requests_total 3\n"
        "# EOF\n");
  CHECK(writer.finish() == "# EOF\n");
}

TEST_CASE("prometheus text: label values and help are escaped, values have their own spelling") {
  PromWriter writer(PromWriter::Format::text);
  writer.gauge("g", "one\ntwo\\three", {{"path", "a\\b\"c\nd"}}, std::nan(""));
  writer.gauge("g", "", {{"path", "\xff"}}, std::numeric_limits<double>::infinity());
  writer.gauge("g", "", {}, -std::numeric_limits<double>::infinity());
  CHECK(writer.finish() ==
        "# HELP g one\\ntwo\\\\three\n"
        "# TYPE g gauge\n"
        "g{path=\"a\\\\b\\\"c\\nd\"} NaN\n"
        "g{path=\"\xEF\xBF\xBD\"} +Inf\n"
        "g -Inf\n");
}

TEST_CASE("prometheus text: an exponential histogram as classic buckets, cumulative and complete") {
  Histogram histogram;
  for (const double value : {0.0, 0.003, 0.2, 0.2, 3.0, 60.0}) histogram.record(value);
  PromWriter writer(PromWriter::Format::text);
  writer.histogram("d_seconds", "Duration", {{"r", "x"}}, histogram);
  const std::string text = writer.finish();
  CHECK(text.find("# TYPE d_seconds histogram\n") != std::string::npos);
  CHECK(text.find("d_seconds_bucket{r=\"x\",le=\"0.005\"} 2\n") != std::string::npos);
  CHECK(text.find("d_seconds_bucket{r=\"x\",le=\"0.25\"} 4\n") != std::string::npos);
  CHECK(text.find("d_seconds_bucket{r=\"x\",le=\"5\"} 5\n") != std::string::npos);
  CHECK(text.find("d_seconds_bucket{r=\"x\",le=\"10\"} 5\n") != std::string::npos);
  CHECK(text.find("d_seconds_bucket{r=\"x\",le=\"+Inf\"} 6\n") != std::string::npos);
  CHECK(text.find("d_seconds_count{r=\"x\"} 6\n") != std::string::npos);
  CHECK(text.find("d_seconds_sum{r=\"x\"} 63.403\n") != std::string::npos);
  PromWriter open(PromWriter::Format::openmetrics);
  open.histogram("d_seconds", "Duration", {}, histogram);
  CHECK(open.finish().find("d_seconds_bucket{le=\"5.0\"} 5\n") != std::string::npos);
}

TEST_CASE("prometheus text: the Accept header chooses the form") {
  using Format = PromWriter::Format;
  CHECK(PromWriter::negotiate("") == Format::text);
  CHECK(PromWriter::negotiate("*/*") == Format::text);
  CHECK(PromWriter::negotiate("text/plain;version=0.0.4") == Format::text);
  CHECK(PromWriter::negotiate("application/openmetrics-text; version=1.0.0") ==
        Format::openmetrics);
  // What Prometheus 2.42 sends.
  CHECK(PromWriter::negotiate(
            "application/"
            "vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,"
            "application/openmetrics-text;version=1.0.0;q=0.8,application/"
            "openmetrics-text;version=0.0.1;q=0.75,"
            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1") == Format::openmetrics);
  CHECK(PromWriter::negotiate("application/openmetrics-text;q=0") == Format::text);
  CHECK(PromWriter::negotiate("application/openmetrics-text;q=0.3, text/plain;q=0.9") ==
        Format::text);
  CHECK(PromWriter::content_type(Format::openmetrics) ==
        "application/openmetrics-text; version=1.0.0; charset=utf-8");
  CHECK(PromWriter::content_type(Format::text) == "text/plain; version=0.0.4; charset=utf-8");
}
