// publisher.h: tells when a second is complete: publishes its points on the live stream and lets
// the alerts and canaries look at it.
//
// A second is complete once every sidecar heard of lately has reported it, at the earliest 0.25 s
// after its end, or 1.2 s after its end when no sidecar reports at all, or 2 s after its end in any
// case. A second that changes afterwards (a late batch) is published again under the same `ts`: the
// later event holds. At most 60 changed seconds a turn, and none older than 10 minutes. Seconds
// without any request give no points. Thread: the main loop.
//
// Wiring:  LivePublisher publisher(loop, *window, hub, [&](int64_t second) {
// alerts.on_second(second); canaries.on_second(second); });
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "collector/live/hub.h"
#include "collector/live/window.h"
#include "net/io/loop.h"

namespace hms::collector {

/// One point as the stream's JSON.
[[nodiscard]] std::string live_point_json(const LivePoint& point);

class LivePublisher {
 public:
  /// `on_second` hears of each complete second once, rising, after its points were published.
  LivePublisher(net::Loop& loop, LiveWindow& window, LiveHub& hub,
                std::function<void(int64_t unix_second)> on_second, net::Clock clock = {});
  ~LivePublisher();
  /// Looks now; the timer does so every 50 ms. For tests, and after a batch was added.
  void look();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hms::collector
