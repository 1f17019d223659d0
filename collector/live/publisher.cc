// publisher.cc: waits for seconds to be complete, and makes points into JSON.
#include "collector/live/publisher.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "net/io/timer_wheel.h"

namespace hms::collector {
namespace {

constexpr net::Millis kLookEvery{50};
constexpr int64_t kEarliestMillis =
    250;  // after a second's end: what is under way arrives in that time
constexpr int64_t kQuietMillis =
    1200;  // no sidecar reports: spans and timings of that second have come by then
constexpr int64_t kLatestMillis = 2000;
constexpr int64_t kRepublishSeconds = 600;  // as long as the hub keeps events
constexpr size_t kRepublishesPerTurn = 60;
constexpr int64_t kCatchUpSeconds = 5;  // after the machine slept: older seconds are skipped

double rounded(double value) { return std::round(value * 1000) / 1000; }

}  // namespace

std::string live_point_json(const LivePoint& point) {
  nlohmann::ordered_json json;
  json["ts"] = point.ts_millis;
  json["service"] = point.service;
  json["route"] = point.route;
  json["rps"] = rounded(point.rps);
  json["error_rate"] = std::round(point.error_rate * 1e6) / 1e6;
  json["p50"] = rounded(point.p50);
  json["p95"] = rounded(point.p95);
  json["p99"] = rounded(point.p99);
  json["count"] = point.count;
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

struct LivePublisher::Impl {
  Impl(net::Loop& loop, LiveWindow& live_window, LiveHub& live_hub,
       std::function<void(int64_t)> callback, net::Clock given)
      : window(live_window),
        hub(live_hub),
        on_second(std::move(callback)),
        clock(given ? std::move(given) : net::Clock(net::unix_nanos)),
        timer(loop, [this] {
          look();
          timer.arm(kLookEvery);
        }) {
    next = now_millis() / 1000;
    timer.arm(kLookEvery);
  }

  [[nodiscard]] int64_t now_millis() const { return static_cast<int64_t>(clock() / 1'000'000); }

  [[nodiscard]] bool is_complete(int64_t second, int64_t now) const {
    const int64_t age = now - (second + 1) * 1000;
    if (age < kEarliestMillis) return false;
    if (age >= kLatestMillis) return true;
    switch (window.completeness(second)) {
      case LiveWindow::Completeness::complete:
        return true;
      case LiveWindow::Completeness::waiting:
        return false;
      case LiveWindow::Completeness::no_sender:
        return age >= kQuietMillis;
    }
    return true;
  }

  void look() {
    const int64_t now = now_millis();
    if (next < now / 1000 - kCatchUpSeconds || next > now / 1000 + 1) next = now / 1000 - 1;
    while (is_complete(next, now)) {
      const int64_t second = next++;
      publish_changes(second);
      if (on_second) on_second(second);
    }
  }

  /// Points of this second, and again those of earlier seconds that a late batch changed.
  void publish_changes(int64_t second) {
    for (const int64_t changed : window.take_changed_seconds()) waiting.push_back(changed);
    std::sort(waiting.begin(), waiting.end());
    waiting.erase(std::unique(waiting.begin(), waiting.end()), waiting.end());
    std::vector<int64_t> later;
    size_t published = 0;
    for (const int64_t changed : waiting) {
      if (changed <= second - kRepublishSeconds) continue;
      if (changed > second || (changed < second && published >= kRepublishesPerTurn)) {
        later.push_back(changed);
        continue;
      }
      ++published;
      for (const LivePoint& point : window.points(changed))
        hub.publish({}, point.service, point.route, live_point_json(point));
    }
    waiting = std::move(later);
  }

  LiveWindow& window;
  LiveHub& hub;
  std::function<void(int64_t)> on_second;
  net::Clock clock;
  int64_t next = 0;
  std::vector<int64_t> waiting;  // changed seconds not yet published
  net::Timer timer;
};

LivePublisher::LivePublisher(net::Loop& loop, LiveWindow& window, LiveHub& hub,
                             std::function<void(int64_t)> on_second, net::Clock clock)
    : impl_(std::make_unique<Impl>(loop, window, hub, std::move(on_second), std::move(clock))) {}
LivePublisher::~LivePublisher() = default;
void LivePublisher::look() { impl_->look(); }

}  // namespace hms::collector
