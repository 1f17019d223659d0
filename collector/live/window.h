// window.h: the last hour in memory: per second and series (service, route, method, status, upstream, ...) request counts, failures and durations.
//
// Fed with each stored metric batch (http.server.request.duration and, for callers, http.client.request.duration), and for services without a proxy from
// their spans and `timing` metrics. What a sidecar measured in second s counts for second s (its own timestamps), also when it came late.
// Limits: 3,600 s, 2,000 (service, route) pairs (beyond: route `other`, counted). Thread: the main loop.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/signal_store.h"
#include "telemetry/histogram.h"

namespace hms::collector {

struct WindowTotals {
  uint64_t requests = 0;
  uint64_t errors = 0;  // status >= 500 or error_type set, but not client_disconnect
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
};

class LiveWindow {
 public:
  virtual ~LiveWindow() = default;
  virtual void add(const AcceptedBatch& batch) = 0;
  /// Totals of inbound requests over seconds [begin, end).
  [[nodiscard]] virtual WindowTotals totals(const WindowFilter& filter, int64_t begin_unix_seconds, int64_t end_unix_seconds) const = 0;
  /// One point per (service, route) that saw a request in that second.
  [[nodiscard]] virtual std::vector<LivePoint> points(int64_t unix_second) const = 0;
  [[nodiscard]] virtual std::vector<std::string> services() const = 0;
};

}  // namespace hms::collector
