#include "collector/live/sender_clock.h"

#include <algorithm>

#include "collector/live/http_points.h"

namespace hms::collector {
namespace {

constexpr size_t kMaxSenders = 10'000;
constexpr int64_t kActiveSeconds = 5;
constexpr int64_t kForgetSeconds = 60;
constexpr uint64_t kLongestIntervalNanos = 1'500'000'000ULL;
constexpr uint64_t kHalfSecondNanos = 500'000'000ULL;

}  // namespace

void SenderClock::note(const telemetry::MetricBatch& batch, const telemetry::MetricPointView& point,
                       int64_t now) {
  const auto& resource = batch.resources[point.resource];
  if (resource.service_instance.empty() || point.time_unix_nanos < kHalfSecondNanos) return;
  const PointFamily family = family_of(point);
  const bool by_the_second =
      (family == PointFamily::server || family == PointFamily::client) &&
      point.temporality == telemetry::Temporality::delta && point.start_unix_nanos != 0 &&
      point.time_unix_nanos - std::min(point.start_unix_nanos, point.time_unix_nanos) <=
          kLongestIntervalNanos;
  auto at = senders_.find(resource.service_instance);
  if (at == senders_.end()) {
    if (!by_the_second || senders_.size() >= kMaxSenders) return;
    at = senders_.emplace(std::string(resource.service_instance), Sender{}).first;
  }
  const auto finished =
      static_cast<int64_t>((point.time_unix_nanos - kHalfSecondNanos) / 1'000'000'000ULL);
  at->second.newest = std::max(at->second.newest, finished);
  at->second.seen = now;
}

LiveWindow::Completeness SenderClock::completeness(int64_t second, int64_t now) const {
  bool any = false;
  for (const auto& [name, sender] : senders_) {
    if (sender.newest < now - kActiveSeconds) continue;
    if (sender.newest < second) return LiveWindow::Completeness::waiting;
    any = true;
  }
  return any ? LiveWindow::Completeness::complete : LiveWindow::Completeness::no_sender;
}

void SenderClock::forget(int64_t now) {
  std::erase_if(senders_,
                [now](const auto& entry) { return entry.second.seen < now - kForgetSeconds; });
}

}  // namespace hms::collector
