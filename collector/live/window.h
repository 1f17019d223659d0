// window.h: the last hour in memory: per second and series (service, route, method, status,
// upstream, ...) request counts, failures and durations.
//
// Fed with each stored metric batch (http.server.request.duration and, for callers,
// http.client.request.duration), and for services without a proxy from their spans and `timing`
// metrics. What a sidecar measured in second s counts for second s (its own timestamps), also when
// it came late.
//
// A second is told by the middle of a point's interval; an interval longer than 1.5 s is spread
// evenly over its seconds (60 at most). Cumulative histograms are made into differences. Services
// without such metrics within a minute are counted from their spans (SERVER and CONSUMER, roots,
// and items of /ingest, which have no kind) and from `timing` metrics: the route is the attribute
// `http.route`, then `route`, else the span's or metric's name. Limits: 3,600 s, 2,000 (service,
// route) pairs (beyond: route `other`, counted), 256 MiB (beyond: the oldest seconds go, counted).
// Thread: the main loop.
//
// Wiring:  auto window = make_live_window();
//          engine->observe([&](const AcceptedBatch& batch) { loop.post([&, batch] {
//          window->add(batch); ... }); });
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/signal_store.h"
#include "net/core/clock.h"
#include "telemetry/histogram.h"

namespace hms::collector {

struct WindowTotals {
  uint64_t requests = 0;
  uint64_t errors = 0;            // status >= 500 or error_type set, but not client_disconnect
  telemetry::Histogram duration;  // seconds
};

struct LivePoint {
  int64_t ts_millis = 0;  // begin of the second
  std::string service, route;
  double rps = 0, error_rate = 0, p50 = 0, p95 = 0, p99 = 0;  // milliseconds
  uint64_t count = 0;
};

/// What to add up; empty text: any.
struct WindowFilter {
  std::string service, route, upstream;
  bool outbound = false;  // what callers measured of their own calls (http.client.request.duration)
                          // instead; `service` is then the caller
};

/// A trace worth looking at, for an alert's evidence.
struct TraceExample {
  std::string service;
  std::string trace;  // 32 hexadecimal digits
  std::string route;
  bool error = false;
  double seconds = 0;
  int64_t unix_second = 0;
};

struct WindowStats {
  uint64_t series = 0, cells = 0, bytes = 0;
  uint64_t routes_folded = 0;  // records counted under `other`
  uint64_t seconds_shed = 0;   // dropped early for memory
  uint64_t records_out_of_range =
      0;  // older than the window, or more than a minute ahead of our clock
};

class LiveWindow {
 public:
  virtual ~LiveWindow() = default;
  virtual void add(const AcceptedBatch& batch) = 0;
  /// Totals of inbound requests over seconds [begin, end).
  [[nodiscard]] virtual WindowTotals totals(const WindowFilter& filter, int64_t begin_unix_seconds,
                                            int64_t end_unix_seconds) const = 0;
  /// One point per (service, route) that saw a request in that second.
  [[nodiscard]] virtual std::vector<LivePoint> points(int64_t unix_second) const = 0;
  [[nodiscard]] virtual std::vector<std::string> services() const = 0;

  /// Seconds whose points changed since the last call, rising.
  [[nodiscard]] virtual std::vector<int64_t> take_changed_seconds() = 0;
  /// Whether every sender heard of within 5 s has reported that second or a later one.
  enum class Completeness : uint8_t { no_sender, waiting, complete };
  [[nodiscard]] virtual Completeness completeness(int64_t unix_second) const = 0;
  /// At most `limit` failed or slow traces of a service since that second: failed ones first, then
  /// the slowest.
  [[nodiscard]] virtual std::vector<TraceExample> examples(const std::string& service,
                                                           int64_t since_unix_second,
                                                           size_t limit) const = 0;
  [[nodiscard]] virtual WindowStats stats() const = 0;
};

struct LiveWindowOptions {
  net::Clock clock;  // Unix nanoseconds; default the wall clock
  int64_t seconds = 3600;
  size_t max_routes = 2000;
  uint64_t max_bytes = 256ULL * 1024 * 1024;
};
[[nodiscard]] std::unique_ptr<LiveWindow> make_live_window(LiveWindowOptions options = {});

}  // namespace hms::collector
