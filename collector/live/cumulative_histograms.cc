#include "collector/live/cumulative_histograms.h"

#include <utility>

namespace hms::collector {
namespace {

constexpr size_t kMaxHistograms = 20'000;
constexpr int64_t kIdleSeconds = 600;
constexpr uint64_t kFreshNanos = 120'000'000'000ULL;

std::string key_of(const telemetry::MetricBatch& batch, const telemetry::MetricPointView& point) {
  std::string key;
  const auto part = [&key](std::string_view text) {
    key += text;
    key.push_back('\0');
  };
  const auto& resource = batch.resources[point.resource];
  part(resource.service_name);
  part(resource.service_instance);
  part(point.name);
  for (uint32_t i = point.attributes.begin; i < point.attributes.end; ++i) {
    part(batch.attributes[i].key);
    part(batch.attributes[i].value.text);
    part(std::to_string(batch.attributes[i].value.integer));
  }
  return key;
}

}  // namespace

bool CumulativeHistograms::difference_of(const telemetry::MetricBatch& batch,
                                         const telemetry::MetricPointView& point,
                                         int64_t now_unix_seconds, telemetry::Histogram& difference,
                                         uint64_t& start) {
  const telemetry::Histogram& reading = batch.histograms[point.histogram];
  std::string key = key_of(batch, point);
  const auto at = last_.find(key);
  if (at == last_.end()) {
    if (last_.size() >= kMaxHistograms) return false;
    last_.emplace(std::move(key), Reading{reading, point.time_unix_nanos, now_unix_seconds});
    difference = reading;
    return point.start_unix_nanos != 0 &&
           point.time_unix_nanos - point.start_unix_nanos < kFreshNanos;
  }
  Reading& last = at->second;
  if (point.time_unix_nanos <= last.time) return false;  // an older reading, late
  difference = reading;
  if (difference.subtract(last.histogram)) {
    start = last.time;
  } else {
    difference = reading;  // a reset: all of it is new
  }
  last = {reading, point.time_unix_nanos, now_unix_seconds};
  return true;
}

void CumulativeHistograms::forget(int64_t now_unix_seconds) {
  std::erase_if(last_, [&](const auto& entry) {
    return entry.second.seen < now_unix_seconds - kIdleSeconds;
  });
}

}  // namespace hms::collector
