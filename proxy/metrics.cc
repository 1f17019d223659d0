#include "proxy/metrics.h"

#include <algorithm>

#include "net/core/log.h"

namespace hms::proxy {

namespace {

using telemetry::OwnMetric;

constexpr size_t kMaxSeries = 4'096;
constexpr const char* kDirections[] = {"inbound", "outbound"};

OwnMetric counter(std::string name, uint64_t value,
                  std::vector<std::pair<std::string, std::string>> labels = {}) {
  return {std::move(name), std::move(labels), static_cast<double>(value), true};
}
OwnMetric gauge(std::string name, double value,
                std::vector<std::pair<std::string, std::string>> labels = {}) {
  return {std::move(name), std::move(labels), value, false};
}

}  // namespace

const std::vector<MetricHelp>& metric_helps() {
  static const std::vector<MetricHelp> helps = {
      {"hms_proxy_connections_accepted_total", "Connections from callers."},
      {"hms_proxy_connections_open", "Connections from callers that are open now."},
      {"hms_proxy_tls_failures_total",
       "Callers whose TLS handshake failed, or who broke TLS later."},
      {"hms_proxy_connections_refused_total",
       "Connections answered 503 because limits.connections was reached."},
      {"hms_proxy_requests_total", "Requests whose head was read."},
      {"hms_proxy_requests_running", "Requests that are being worked on now."},
      {"hms_proxy_local_replies_total", "Replies that the proxy made itself, by x-hms-error."},
      {"hms_proxy_client_disconnects_total",
       "Requests whose caller left before the reply was complete."},
      {"hms_proxy_requests_cut_total", "Request bodies that ended early; passed on as a reset."},
      {"hms_proxy_replies_cut_total", "Replies that ended early; passed on as a reset."},
      {"hms_proxy_retries_total", "Repeated attempts, by reason."},
      {"hms_proxy_retries_denied_total", "Repeats that the budget did not allow."},
      {"hms_proxy_lookups_total",
       "Look-ups of the names of outbound hosts, by what became of them."},
      {"hms_proxy_reading_paused_total",
       "Times one side was not read because the other was slower."},
      {"hms_proxy_tunnels_total", "Upgraded connections (WebSocket)."},
      {"hms_proxy_tunnels_open", "Upgraded connections that are open now."},
      {"hms_proxy_tcp_connections_total", "Connections passed on as raw TCP, or as TLS unopened."},
      {"hms_proxy_tcp_connections_open", "Those that are open now."},
      {"hms_proxy_tcp_closed_total",
       "Those that are over, by how: clean, caller_reset, service_reset, idle, stalled, "
       "connect_failed, drained."},
      {"hms_proxy_tunnel_bytes_total",
       "Bytes through tunnels of every kind; flow `received`: from callers, `sent`: to them."},
      {"hms_proxy_endpoint_ejections_total",
       "Endpoints left out after failures in a row; result `kept`: too many were out already."},
      {"hms_proxy_health_checks_total", "Active health checks of endpoints, by result."},
      {"hms_proxy_early_replies_total", "Replies that were complete before the request was."},
      {"hms_proxy_stalled_total", "Connections ended because nothing moved for too long."},
      {"hms_proxy_request_body_bytes_total", "Body bytes from callers."},
      {"hms_proxy_reply_body_bytes_total", "Body bytes to callers."},
      {"hms_proxy_loops_refused_total", "Raw connections that led back to this proxy: reset."},
      {"hms_proxy_accept_pauses_total", "Times accepting rested because descriptors ran out."},
      {"hms_proxy_out_of_descriptors_total",
       "Connections to services that could not be made because descriptors ran out."},
      {"hms_proxy_routes_folded_total",
       "Requests counted under the route 'other' because no template could be learned."},
      {"hms_proxy_spans_dropped_total",
       "Spans beyond a worker's limit a second, or beyond the seconds that may wait."},
      {"hms_proxy_series_folded_total",
       "Requests counted under 'other' because a worker's series were used up."},
      {"hms_proxy_config_reloads_total", "Configuration reloads, by result."},
      {"hms_proxy_config_generation", "Number of the snapshot in force."},
      {"hms_proxy_config_stream_connected",
       "1 while the collector's configuration stream is open."},
      {"hms_proxy_admin_connections_displaced_total",
       "Connections to the admin interface closed for another while they waited for their caller."},
      {"hms_proxy_ready", "1 while /readyz says so."},
      {"hms_proxy_telemetry_batches_total", "Telemetry batches, by what became of them."},
      {"hms_proxy_telemetry_records_total", "Telemetry records, by what became of them."},
      {"hms_proxy_telemetry_dropped_records_total", "Telemetry records given up, by reason."},
      {"hms_proxy_telemetry_spool_bytes", "Bytes that wait for the collector."},
      {"hms_proxy_telemetry_spool_batches", "Batches that wait for the collector."},
      {"hms_proxy_export_failures_total", "Attempts to reach the collector that failed."},
      {"hms_proxy_log_lines_dropped_total",
       "Lines of the log and the access log that nobody read in time."},
      {"hms_proxy_start_time_seconds", "When the process started, Unix time."},
  };
  return helps;
}

std::vector<OwnMetric> own_metrics(const OwnNumbers& numbers) {
  const Counters& c = numbers.counters;
  std::vector<OwnMetric> all;
  for (size_t i = 0; i < 2; ++i) {
    all.push_back(counter("hms_proxy_connections_accepted_total", c.connections_accepted[i],
                          {{"direction", kDirections[i]}}));
    all.push_back(gauge("hms_proxy_connections_open", static_cast<double>(c.connections_open[i]),
                        {{"direction", kDirections[i]}}));
    all.push_back(
        counter("hms_proxy_requests_total", c.requests[i], {{"direction", kDirections[i]}}));
  }
  all.push_back(gauge("hms_proxy_requests_running", static_cast<double>(c.requests_running[0])));
  all.push_back(counter("hms_proxy_connections_refused_total", c.connections_refused));
  for (size_t i = 1; i < c.local_replies.size(); ++i) {
    if (c.local_replies[i] == 0) continue;
    all.push_back(counter("hms_proxy_local_replies_total", c.local_replies[i],
                          {{"error", std::string(local_error(static_cast<LocalError>(i)).name)}}));
  }
  all.push_back(counter("hms_proxy_client_disconnects_total", c.client_disconnects));
  all.push_back(counter("hms_proxy_requests_cut_total", c.requests_cut));
  all.push_back(counter("hms_proxy_replies_cut_total", c.replies_cut));
  all.push_back(counter("hms_proxy_retries_total", c.retries_connect, {{"reason", "connect"}}));
  all.push_back(counter("hms_proxy_retries_total", c.retries_stale, {{"reason", "stale"}}));
  all.push_back(counter("hms_proxy_retries_total", c.retries_reset, {{"reason", "reset"}}));
  all.push_back(counter("hms_proxy_retries_total", c.retries_status, {{"reason", "status"}}));
  all.push_back(counter("hms_proxy_retries_total", c.retries_address, {{"reason", "address"}}));
  all.push_back(counter("hms_proxy_retries_denied_total", c.retries_denied));
  all.push_back(counter("hms_proxy_lookups_total", c.lookups_answered, {{"result", "answered"}}));
  all.push_back(counter("hms_proxy_lookups_total", c.lookups_failed, {{"result", "failed"}}));
  all.push_back(counter("hms_proxy_lookups_total", c.lookups_timed_out, {{"result", "timeout"}}));
  all.push_back(counter("hms_proxy_lookups_total", c.lookups_refused, {{"result", "refused"}}));
  all.push_back(
      counter("hms_proxy_reading_paused_total", c.pauses_downstream, {{"side", "downstream"}}));
  all.push_back(
      counter("hms_proxy_reading_paused_total", c.pauses_upstream, {{"side", "upstream"}}));
  all.push_back(counter("hms_proxy_tunnels_total", c.tunnels));
  all.push_back(gauge("hms_proxy_tunnels_open", static_cast<double>(c.tunnels_open)));
  for (size_t i = 0; i < 2; ++i) {
    all.push_back(counter("hms_proxy_tcp_connections_total", c.tcp_opened[i][0],
                          {{"direction", kDirections[i]}, {"protocol", "tcp"}}));
    all.push_back(counter("hms_proxy_tcp_connections_total", c.tcp_opened[i][1],
                          {{"direction", kDirections[i]}, {"protocol", "tls"}}));
    all.push_back(gauge("hms_proxy_tcp_connections_open", static_cast<double>(c.tcp_open[i]),
                        {{"direction", kDirections[i]}}));
  }
  for (size_t i = 0; i < c.tcp_ends.size(); ++i) {
    if (c.tcp_ends[i] == 0) continue;
    all.push_back(counter("hms_proxy_tcp_closed_total", c.tcp_ends[i],
                          {{"end", std::string(tunnel_end_name(static_cast<TunnelEnd>(i)))}}));
  }
  all.push_back(
      counter("hms_proxy_tunnel_bytes_total", c.tunnel_bytes_received, {{"flow", "received"}}));
  all.push_back(counter("hms_proxy_tunnel_bytes_total", c.tunnel_bytes_sent, {{"flow", "sent"}}));
  all.push_back(
      counter("hms_proxy_endpoint_ejections_total", c.ejections, {{"result", "ejected"}}));
  all.push_back(
      counter("hms_proxy_endpoint_ejections_total", c.ejections_not_made, {{"result", "kept"}}));
  all.push_back(
      counter("hms_proxy_health_checks_total", numbers.health_checks_good, {{"result", "good"}}));
  all.push_back(
      counter("hms_proxy_health_checks_total", numbers.health_checks_bad, {{"result", "bad"}}));
  all.push_back(counter("hms_proxy_early_replies_total", c.early_replies));
  all.push_back(counter("hms_proxy_tls_failures_total", c.tls_failures));
  all.push_back(counter("hms_proxy_stalled_total", c.stalled_readers, {{"kind", "reader"}}));
  all.push_back(counter("hms_proxy_stalled_total", c.stalled_bodies, {{"kind", "body"}}));
  all.push_back(counter("hms_proxy_request_body_bytes_total", c.request_bytes));
  all.push_back(counter("hms_proxy_reply_body_bytes_total", c.reply_bytes));
  all.push_back(counter("hms_proxy_loops_refused_total", c.loops_refused));
  all.push_back(counter("hms_proxy_accept_pauses_total", c.accept_pauses));
  all.push_back(counter("hms_proxy_out_of_descriptors_total", c.out_of_descriptors));
  all.push_back(counter("hms_proxy_routes_folded_total", numbers.routes_folded));
  all.push_back(counter("hms_proxy_spans_dropped_total", numbers.spans_dropped));
  all.push_back(counter("hms_proxy_series_folded_total", numbers.series_folded));
  all.push_back(
      counter("hms_proxy_config_reloads_total", numbers.reloads_ok, {{"result", "taken"}}));
  all.push_back(
      counter("hms_proxy_config_reloads_total", numbers.reloads_refused, {{"result", "refused"}}));
  all.push_back(
      gauge("hms_proxy_config_generation", static_cast<double>(numbers.snapshot_generation)));
  all.push_back(
      gauge("hms_proxy_config_stream_connected", numbers.config_stream_connected ? 1 : 0));
  all.push_back(counter("hms_proxy_admin_connections_displaced_total", numbers.admin_displaced));
  all.push_back(gauge("hms_proxy_ready", numbers.ready ? 1 : 0));
  const telemetry::SpoolCounters& s = numbers.spool;
  all.push_back(
      counter("hms_proxy_telemetry_batches_total", s.batches_added, {{"state", "added"}}));
  all.push_back(counter("hms_proxy_telemetry_batches_total", s.batches_acknowledged,
                        {{"state", "acknowledged"}}));
  all.push_back(
      counter("hms_proxy_telemetry_records_total", s.records_added, {{"state", "added"}}));
  all.push_back(counter("hms_proxy_telemetry_records_total", s.records_acknowledged,
                        {{"state", "acknowledged"}}));
  for (const auto& [reason, records] : s.dropped_records)
    all.push_back(
        counter("hms_proxy_telemetry_dropped_records_total", records, {{"reason", reason}}));
  all.push_back(gauge("hms_proxy_telemetry_spool_bytes", static_cast<double>(s.bytes)));
  all.push_back(gauge("hms_proxy_telemetry_spool_batches", static_cast<double>(s.batches)));
  all.push_back(counter("hms_proxy_export_failures_total", numbers.exporter.failures));
  all.push_back(counter("hms_proxy_log_lines_dropped_total", net::log_lines_dropped()));
  all.push_back(
      gauge("hms_proxy_start_time_seconds", static_cast<double>(numbers.start_unix_seconds)));
  return all;
}

void RequestTotals::add(const telemetry::RecorderDelta& delta) {
  const auto name = [&delta](uint32_t index) { return std::string(delta.name(index)); };
  for (const telemetry::SeriesDelta& series : delta.series) {
    const telemetry::SeriesKey& key = series.key;
    std::vector<std::string> labels = {
        key.direction == telemetry::Direction::inbound ? "server" : "client",
        std::string(telemetry::method_name(key.method)),
        name(key.route),
        key.status != 0 ? std::to_string(key.status) : "",
        name(key.upstream),
        std::string(telemetry::error_type_name(key.error_type))};
    if (series_.size() >= kMaxSeries && series_.find(labels) == series_.end()) labels[2] = "other";
    series_[std::move(labels)].merge(series.duration);
  }
}

void RequestTotals::write(telemetry::PromWriter& writer, const std::string& service) const {
  for (const auto& [key, histogram] : series_) {
    telemetry::Labels labels = {
        {"service_name", service}, {"http_request_method", key[1]}, {"http_route", key[2]}};
    if (!key[3].empty()) labels.emplace_back("http_response_status_code", key[3]);
    if (!key[4].empty()) labels.emplace_back("hms_upstream", key[4]);
    if (!key[5].empty())
      labels.emplace_back("error_type", key[5]);
    else if (key[3].size() == 3 && (key[3][0] == '5' || (key[3][0] == '4' && key[0] == "client")))
      labels.emplace_back("error_type", key[3]);
    labels.emplace_back("url_scheme", "http");
    writer.histogram("http_" + key[0] + "_request_duration_seconds",
                     key[0] == "server" ? "Duration of requests to the service."
                                        : "Duration of the service's own calls.",
                     labels, histogram);
  }
}

std::string metrics_page(const OwnNumbers& numbers, const RequestTotals& totals,
                         const std::string& service, telemetry::PromWriter::Format format) {
  telemetry::PromWriter writer(format);
  totals.write(writer, service);
  for (const OwnMetric& metric : own_metrics(numbers)) {
    const auto found =
        std::find_if(metric_helps().begin(), metric_helps().end(),
                     [&metric](const MetricHelp& h) { return h.name == metric.name; });
    const std::string_view help = found != metric_helps().end() ? found->help : std::string_view{};
    if (metric.counter)
      writer.counter(metric.name, help, metric.labels, metric.value);
    else
      writer.gauge(metric.name, help, metric.labels, metric.value);
  }
  return writer.finish();
}

}  // namespace hms::proxy
