#include "collector/ingest/metric_bounds.h"

#include <cmath>
#include <utility>

#include "collector/store/series_bounds.h"
#include "collector/store/series_chunk.h"
#include "net/core/time_units.h"
#include "telemetry/time_text.h"

namespace hms::collector {
namespace {

constexpr int kFinestScale = 8, kCoarsestScale = -4;  // those the store keeps

std::string utc_day(int64_t millis) { return telemetry::rfc3339(millis).substr(0, 10); }

size_t buckets_kept(const telemetry::Histogram& histogram) {
  if (histogram.scale <= kFinestScale) return histogram.positive.size() + histogram.negative.size();
  telemetry::Histogram coarser = histogram;
  coarser.lower_scale_to(kFinestScale);
  return coarser.positive.size() + coarser.negative.size();
}

bool histogram_fits(const telemetry::Histogram& histogram, bool delta) {
  return histogram.scale >= kCoarsestScale && (!delta || std::isfinite(histogram.sum)) &&
         (histogram.positive.size() + histogram.negative.size() <= kMaxHistogramBuckets ||
          buckets_kept(histogram) <= kMaxHistogramBuckets);
}

}  // namespace

MetricBounds::MetricBounds(uint64_t now_unix_nanos, uint32_t retention_days, ClosedDays closed_days)
    : now_millis_(static_cast<int64_t>(now_unix_nanos / 1'000'000)),
      retention_days_(retention_days),
      closed_days_(std::move(closed_days)) {}

PointFault MetricBounds::time_fault(uint64_t unix_nanos) {
  const auto t = static_cast<int64_t>(unix_nanos / 1'000'000);
  if (t > now_millis_ + kMaxPointAheadMillis) return PointFault::ahead;
  if (t < oldest_kept_millis(now_millis_, retention_days_)) return PointFault::old;
  if (closed_days_ && t / net::kMillisPerDay < now_millis_ / net::kMillisPerDay) {
    if (!closed_) closed_ = closed_days_();
    if (closed_->contains(static_cast<uint32_t>(t / net::kMillisPerDay)))
      return PointFault::closed_day;
  }
  return PointFault::none;
}

PointFault MetricBounds::value_fault(const telemetry::MetricBatch& batch,
                                     const telemetry::MetricPointView& point) {
  const bool delta = point.temporality == telemetry::Temporality::delta;
  if (point.kind == telemetry::PointKind::counter)
    return delta && (!std::isfinite(point.value) || (point.monotonic && point.value < 0))
               ? PointFault::delta
               : PointFault::none;
  if (point.kind == telemetry::PointKind::histogram && !point.stale &&
      !histogram_fits(batch.histograms[point.histogram], delta))
    return PointFault::histogram;
  return PointFault::none;
}

std::string MetricBounds::describe(PointFault fault) const {
  switch (fault) {
    case PointFault::none:
      break;
    case PointFault::old:
      return "of a day before " + utc_day(oldest_kept_millis(now_millis_, retention_days_)) +
             ", the oldest that metrics are kept of";
    case PointFault::ahead:
      return "more than 5 minutes ahead of the collector's clock";
    case PointFault::closed_day:
      return "of a day that is in the lake, which takes no more points";
    case PointFault::delta:
      return "a delta that is negative or not finite";
    case PointFault::histogram:
      return "a histogram with a sum that is not finite, a scale below -4, or more than " +
             std::to_string(kMaxHistogramBuckets) + " buckets";
  }
  return {};
}

}  // namespace hms::collector
