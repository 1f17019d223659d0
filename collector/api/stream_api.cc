// stream_api.cc: the request's side of the live stream; the hub does the rest.
#include "collector/api/stream_api.h"

namespace hms::collector {
namespace {

constexpr size_t kMaxFilterBytes = 1024;

std::string parameter(const net::Request& request, std::string_view name) {
  const std::string* value = request.query_value(name);
  return value == nullptr ? std::string() : *value;
}

void answer(LiveHub& hub, const net::Request& request, const net::ReplyPtr& reply) {
  HubFilter filter{parameter(request, "service"), parameter(request, "route")};
  if (filter.service.size() > kMaxFilterBytes || filter.route.size() > kMaxFilterBytes) {
    net::send_error(*reply, 400, "bad_data", "service and route may have at most 1024 bytes");
    return;
  }
  std::string last(request.header("last-event-id"));
  if (last.empty()) last = parameter(request, "lastEventId");
  if (!hub.subscribe(reply, std::move(filter), last)) {
    net::send_error(*reply, 503, "unavailable",
                    "the live stream has as many subscribers as it may have; try again later",
                    {{"Retry-After", "5"}});
  }
}

}  // namespace

void register_stream_api(net::HttpServer& server, LiveHub& hub) {
  server.route("GET", "/ops/stream", [&hub](net::Request& request, const net::ReplyPtr& reply) {
    answer(hub, request, reply);
  });
}

void write_stream_metrics(telemetry::PromWriter& writer, const LiveHub& hub,
                          const LiveWindow& window) {
  const auto number = [](uint64_t value) { return static_cast<double>(value); };
  const HubStats stream = hub.stats();
  writer.gauge("hms_collector_stream_subscribers", "readers of the live stream", {},
               number(stream.subscribers));
  writer.counter("hms_collector_stream_events_total", "events made", {}, number(stream.events));
  writer.gauge("hms_collector_stream_kept_bytes", "events kept for those who resume", {},
               number(stream.bytes_kept));
  writer.counter("hms_collector_stream_gaps_total", "times a reader was told that it missed events",
                 {}, number(stream.gaps));
  writer.counter("hms_collector_stream_refused_total", "readers beyond the bound of 512", {},
                 number(stream.refused));
  const WindowStats live = window.stats();
  writer.gauge("hms_collector_window_series", "services, routes and upstreams of the last hour", {},
               number(live.series));
  writer.gauge("hms_collector_window_bytes", "memory of the last hour", {}, number(live.bytes));
  writer.counter("hms_collector_window_folded_total", "records counted under the route other", {},
                 number(live.routes_folded));
  writer.counter("hms_collector_window_seconds_shed_total", "seconds dropped early for memory", {},
                 number(live.seconds_shed));
  writer.counter("hms_collector_window_out_of_range_total",
                 "records older than the window, or more than a minute ahead", {},
                 number(live.records_out_of_range));
}

}  // namespace hms::collector
