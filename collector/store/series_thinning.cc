// series_thinning.cc: see series_thinning.h.
#include "collector/store/series_thinning.h"

#include <utility>

namespace hms::collector {
namespace {

bool any_fell(const std::vector<telemetry::Histogram::Bucket>& now,
              const std::vector<telemetry::Histogram::Bucket>& before) noexcept {
  size_t n = 0;
  for (const auto& bucket : before) {
    while (n < now.size() && now[n].index < bucket.index) ++n;
    const bool there = n < now.size() && now[n].index == bucket.index;
    if ((there ? now[n].count : 0) < bucket.count) return true;
  }
  return false;
}

}  // namespace

bool IntervalCursor::enters(int64_t t_millis) noexcept {
  if (t_millis <= end_) return false;
  const int64_t length = thinning_.length_millis;
  // Wraps for times at the end of the world, which are no times of points that are kept.
  const auto distance = static_cast<int64_t>(static_cast<uint64_t>(t_millis) -
                                             static_cast<uint64_t>(thinning_.origin_millis));
  const int64_t over = ((distance % length) + length) % length;
  end_ = static_cast<int64_t>(static_cast<uint64_t>(t_millis) +
                              static_cast<uint64_t>(over == 0 ? 0 : length - over));
  return true;
}

bool histogram_fell(const telemetry::Histogram& now, const telemetry::Histogram& before) noexcept {
  return now.count < before.count || now.zero_count < before.zero_count ||
         now.scale != before.scale || any_fell(now.positive, before.positive) ||
         any_fell(now.negative, before.negative);
}

void thin_histograms(std::vector<HistogramSample>& points, size_t first, const Thinning& thinning) {
  if (thinning.length_millis <= 0) return;
  IntervalCursor interval(thinning);
  size_t kept = first;
  uint32_t left_out = 0;
  HistogramSample pending;  // the point before, not kept yet
  const auto keep = [&](HistogramSample&& point) {
    point.left_out += std::exchange(left_out, 0);
    points[kept++] = std::move(point);
  };
  std::shared_ptr<const telemetry::Histogram> before;
  for (size_t i = first; i < points.size(); ++i) {
    HistogramSample point = std::move(points[i]);
    std::shared_ptr<const telemetry::Histogram> value = point.value;
    const bool enters = interval.enters(point.t_millis);
    if (i == first || enters || histogram_fell(*value, *before)) {
      if (pending.value) keep(std::exchange(pending, {}));
      keep(std::move(point));
    } else {
      if (pending.value) left_out += pending.left_out + 1;
      pending = std::move(point);
    }
    before = std::move(value);
  }
  if (pending.value) keep(std::move(pending));
  points.resize(kept);
}

}  // namespace hms::collector
