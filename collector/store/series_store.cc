// series_store.cc: points in: from batches to staged points, the log and the heads. See
// series_store_impl.h.
#include "collector/store/series_store.h"

#include <algorithm>
#include <cmath>

#include "collector/store/keys.h"
#include "collector/store/series_bounds.h"
#include "collector/store/series_definition.h"
#include "collector/store/series_labels.h"
#include "collector/store/series_store_impl.h"
#include "net/core/clock.h"
#include "net/core/time_units.h"

namespace hms::collector {
namespace {

constexpr int64_t kGapMillis =
    500;  // a delta that begins this long after the last point begins with a point of its own
constexpr int64_t kMaxDeltaMillis = 3'600'000;  // a longer interval is not believed
constexpr int64_t kDefaultDeltaMillis = 1000;   // when a delta does not say when it began
constexpr int32_t kMaxScale = 8;                // Prometheus's finest
constexpr size_t kMaxHelpBytes = 512;
constexpr std::string_view kOverflowName = "hms_overflow";

}  // namespace

void SeriesStoreImpl::prepare(std::span<const AcceptedBatch> group, KvWriter& writer) {
  if (epoch_ == 0) epoch_ = static_cast<uint32_t>(options_.clock() / 1'000'000'000);
  staged_points_.clear();
  staged_series_.clear();
  staged_definitions_.clear();
  staged_days_.clear();
  staged_log_keys_.clear();
  overflowed_in_group_ = 0;
  Family family = Family::meta();
  for (const AcceptedBatch& batch : group) {
    if (!batch.metrics) continue;
    arrived_millis_ = static_cast<int64_t>(batch.arrived_unix_nanos / 1'000'000);
    last_metric_ = {};
    if (family == Family::meta()) family = Family::of_unix_nanos(batch.arrived_unix_nanos);
    for (const telemetry::MetricPointView& point : batch.metrics->points)
      stage(batch, point, writer);
  }
  if (overflowed_in_group_ > 0) count_overflow(arrived_millis_, writer);
  if (!log_.empty()) write_log(family, writer);
}

void SeriesStoreImpl::write_log(Family family, KvWriter& writer) {
  std::string key = series_log_key(epoch_, ++log_sequence_);
  writer.put(family, key, log_.finish());
  staged_log_keys_.emplace_back(family, std::move(key));
}

void SeriesStoreImpl::stage(const AcceptedBatch& batch, const telemetry::MetricPointView& point,
                            KvWriter& writer) {
  const int64_t t = point.time_unix_nanos == 0
                        ? arrived_millis_
                        : static_cast<int64_t>(point.time_unix_nanos / 1'000'000);
  if (t > arrived_millis_ + kMaxPointAheadMillis ||
      t < oldest_kept_millis(arrived_millis_, options_.retention_days))
    return reject();
  if (sealed_days_.contains(static_cast<uint32_t>(t / net::kMillisPerDay))) return reject();
  const bool delta = point.temporality == telemetry::Temporality::delta;
  if (point.kind == telemetry::PointKind::counter && delta &&
      (!std::isfinite(point.value) || (point.monotonic && point.value < 0))) {
    return reject();
  }
  StoredSeries* series = find_or_make(*batch.metrics, point);
  if (series == nullptr) {
    ++overflowed_in_group_;
    return;
  }
  define(*series, writer);
  const size_t before = staged_points_.size();
  if (point.stale) {
    stage_point(*series, {t, stale_marker(), nullptr});
  } else if (point.kind == telemetry::PointKind::histogram) {
    stage_histogram(*series, point, t, batch.metrics->histograms[point.histogram]);
  } else {
    stage_number(*series, point, t);
  }
  stage_exemplars(*series, *batch.metrics, point, t, writer);
  for (size_t i = before; i < staged_points_.size(); ++i)
    mark_day(*series, staged_points_[i].point.t_millis, writer);
}

Total& SeriesStoreImpl::staged_total(StoredSeries& series) {
  if (!series.staged) {
    series.staged = true;
    series.staged_total = series.total;
    staged_series_.push_back(&series);
  }
  return series.staged_total;
}

// When a delta's own first moment deserves a point: it is new, or nothing was heard of it for a
// while. Then what it adds is neither lost (a window with one point has no rate) nor spread over
// the silence.
std::optional<int64_t> SeriesStoreImpl::begin_of_delta(const Total& total,
                                                       const telemetry::MetricPointView& point,
                                                       int64_t t) const {
  int64_t begin = static_cast<int64_t>(point.start_unix_nanos / 1'000'000);
  if (begin >= t || begin < t - kMaxDeltaMillis) begin = t - kDefaultDeltaMillis;
  if (begin < 0) begin = 0;
  if (total.last_millis != INT64_MIN && begin - total.last_millis < kGapMillis) return std::nullopt;
  return begin;
}

void SeriesStoreImpl::stage_number(StoredSeries& series, const telemetry::MetricPointView& point,
                                   int64_t t) {
  Total& total = staged_total(series);
  const double value = std::isnan(point.value) ? std::nan("") : point.value;
  const bool counter = point.kind == telemetry::PointKind::counter;
  if (counter && point.temporality == telemetry::Temporality::delta) {
    if (const auto begin = begin_of_delta(total, point, t))
      stage_point(series, {*begin, total.value, nullptr});
    total.value += value;
    // A late delta is counted at the time of the newest point: a cumulative series has no other
    // place for it.
    stage_point(series, {std::max(t, total.last_millis), total.value, nullptr});
    return;
  }
  if (counter && point.monotonic && total.last_millis == INT64_MIN) {
    const auto begin = static_cast<int64_t>(point.start_unix_nanos / 1'000'000);
    if (begin < t && begin > t - 60'000)
      stage_point(series,
                  {begin, 0, nullptr});  // it began at 0 just now: that is part of its increase
  }
  total.value = value;
  stage_point(series, {t, value, nullptr});
}

void SeriesStoreImpl::stage_histogram(StoredSeries& series, const telemetry::MetricPointView& point,
                                      int64_t t, telemetry::Histogram value) {
  value.has_min_max = false;  // of one interval: nothing that adds up
  value.min = value.max = 0;
  if (value.scale > kMaxScale) value.lower_scale_to(kMaxScale);
  if (value.scale < -4 || value.positive.size() + value.negative.size() > kMaxHistogramBuckets)
    return reject();
  Total& total = staged_total(series);
  if (point.temporality == telemetry::Temporality::cumulative) {
    stage_point(series, {t, 0, std::make_shared<const telemetry::Histogram>(std::move(value))});
    return;
  }
  if (!std::isfinite(value.sum)) return reject();
  auto next = std::make_shared<telemetry::Histogram>();
  next->scale = value.scale;
  if (total.histogram) *next = *total.histogram;
  if (const auto begin = begin_of_delta(total, point, t)) {
    stage_point(series, {*begin, 0, std::make_shared<const telemetry::Histogram>(*next)});
  }
  next->merge(value);
  next->has_min_max = false;
  next->min = next->max = 0;
  stage_point(series, {std::max(t, total.last_millis), 0, std::move(next)});
}

void SeriesStoreImpl::stage_point(StoredSeries& series, SeriesPoint point) {
  Total& total = staged_total(series);
  if (point.histogram) {
    const bool known = total.histogram != nullptr && total.logged_epoch == epoch_;
    log_.add(series.id, point.t_millis, *point.histogram, known ? total.histogram.get() : nullptr);
    total.histogram = point.histogram;
    total.logged_epoch = epoch_;
  } else {
    log_.add(series.id, point.t_millis, point.value);
  }
  total.last_millis = std::max(total.last_millis, point.t_millis);
  staged_points_.push_back({&series, std::move(point)});
}

SeriesByKey::Hash SeriesStoreImpl::raw_hash(const telemetry::MetricBatch& batch,
                                            const telemetry::MetricPointView& point) {
  const MetricKey metric{{point.name.data(), point.name.size()},
                         {point.unit.data(), point.unit.size()},
                         point.resource,
                         point.kind == telemetry::PointKind::counter && point.monotonic};
  if (metric != last_metric_) {
    raw_metric_key(batch, point, raw_key_);
    last_metric_ = metric;
    last_metric_hash_ = by_raw_key_.hash(raw_key_);
  }
  if ((point.attributes_hash[0] | point.attributes_hash[1]) != 0)
    return by_raw_key_.hash(last_metric_hash_,
                            {point.attributes_hash[0], point.attributes_hash[1]});
  raw_attributes_key(batch, point, raw_key_);
  return by_raw_key_.hash(last_metric_hash_, by_raw_key_.hash(raw_key_));
}

StoredSeries* SeriesStoreImpl::find_or_make(const telemetry::MetricBatch& batch,
                                            const telemetry::MetricPointView& point) {
  const SeriesByKey::Hash key = raw_hash(batch, point);
  if (StoredSeries* known = by_raw_key_.find(key); known != nullptr) {
    constexpr size_t kAhead = 8;
    if (const StoredSeries* soon = by_raw_key_.upcoming(kAhead)) prefetch_series(soon);
    return known;
  }
  LabelSet labels = series_labels(batch, point);
  StoredSeries* series = find_labels(labels);
  if (series != nullptr) {
    // Known under another form of the same labels.
  } else if (has_room()) {
    MetricMetadata metric;
    metric.name = labels.front().second;
    for (const auto& [name, value] : labels) {
      if (name == "__name__") metric.name = value;
    }
    metric.type = point.kind == telemetry::PointKind::histogram                    ? "histogram"
                  : point.kind == telemetry::PointKind::counter && point.monotonic ? "counter"
                                                                                   : "gauge";
    metric.unit = std::string(point.unit.substr(0, kMaxHelpBytes));
    metric.help = std::string(point.description.substr(0, kMaxHelpBytes));
    series = &make_series(std::move(labels), std::move(metric));
  } else {
    return nullptr;
  }
  if (by_raw_key_.size() > 4 * options_.max_series) by_raw_key_.clear();
  by_raw_key_.insert(key, series);
  return series;
}

StoredSeries& SeriesStoreImpl::make_series(LabelSet labels, MetricMetadata metric) {
  auto series = std::make_shared<StoredSeries>();
  series->id = next_id_++;
  series->labels = std::move(labels);
  {
    const std::unique_lock lock(mutex_);
    metrics_.try_emplace(metric.name, metric);
  }
  return keep_series(std::move(series));
}

StoredSeries& SeriesStoreImpl::keep_series(std::shared_ptr<StoredSeries> series) {
  StoredSeries& kept = *series;
  by_labels_.insert(label_hash(kept.labels), &kept);
  series_bytes_.fetch_add(series_memory(kept.labels), std::memory_order_relaxed);
  const std::unique_lock lock(mutex_);
  index_.add(kept.id, kept.labels);
  series_.emplace_hint(series_.end(), kept.id, std::move(series));
  return kept;
}

SeriesByKey::Hash SeriesStoreImpl::label_hash(const LabelSet& labels) {
  std::string bytes;
  for (const auto& [name, value] : labels) {
    for (const std::string* text : {&name, &value}) {
      const auto size = static_cast<uint32_t>(text->size());
      for (int shift = 0; shift < 32; shift += 8)
        bytes.push_back(static_cast<char>((size >> shift) & 0xFF));
      bytes += *text;
    }
  }
  return by_labels_.hash(bytes);
}

StoredSeries* SeriesStoreImpl::find_labels(const LabelSet& labels) {
  return by_labels_.find(label_hash(labels));
}

uint64_t series_memory(const LabelSet& labels) noexcept {
  constexpr uint64_t kSeries = sizeof(StoredSeries) + sizeof(BlockWriter) + 300;
  constexpr uint64_t kLabel = sizeof(LabelSet::value_type) + 40;
  constexpr size_t kInside = 15;  // bytes of a text that need no memory of their own
  uint64_t out = kSeries;
  for (const auto& [name, value] : labels) {
    out += kLabel;
    if (name.size() > kInside) out += name.size() + 17;
    // Once here, and once in the index if no other series has it.
    out += (value.size() > kInside ? 2 * value.size() + 34 : 0) + 48;
  }
  return out;
}

void SeriesStoreImpl::define(StoredSeries& series, KvWriter& writer) {
  if (series.defined) return;
  series.defined = true;  // until failed() says otherwise
  staged_definitions_.push_back(&series);
  SeriesDefinition definition{series.labels, {}};
  for (const auto& [name, value] : series.labels) {
    if (name != "__name__") continue;
    if (const auto metric = metrics_.find(value); metric != metrics_.end())
      definition.metric = metric->second;
  }
  writer.put(Family::meta(), series_definition_key(series.id), write_definition(definition));
}

void SeriesStoreImpl::mark_day(StoredSeries& series, int64_t t_millis, KvWriter& writer) {
  const auto day = static_cast<uint32_t>(t_millis / net::kMillisPerDay);
  if (series.last_day == day) return;
  series.last_day = day;
  const auto known = days_.find(day);
  if (known != days_.end() && known->second.contains(series.id)) return;
  staged_days_.emplace_back(day, series.id);
  writer.put(Family{day}, series_definition_key(series.id), "");
}

void SeriesStoreImpl::count_overflow(int64_t now_millis, KvWriter& writer) {
  LabelSet labels = {{"__name__", std::string(kOverflowName)}};
  StoredSeries* const known = find_labels(labels);
  StoredSeries& series =
      known != nullptr ? *known
                       : make_series(std::move(labels),
                                     {std::string(kOverflowName), "counter",
                                      "Points refused because there are too many series.", ""});
  define(series, writer);
  Total& total = staged_total(series);
  total.value += static_cast<double>(overflowed_in_group_);
  stage_point(series, {std::max(now_millis, total.last_millis), total.value, nullptr});
  mark_day(series, now_millis, writer);
}

void SeriesStoreImpl::committed(std::span<const AcceptedBatch> /*group*/) {
  for (size_t i = 0; i < staged_series_.size(); ++i) {
    if (i + 8 < staged_series_.size()) prefetch_series(staged_series_[i + 8]);
    staged_series_[i]->total = std::move(staged_series_[i]->staged_total);
    staged_series_[i]->staged = false;
  }
  uint64_t refused = 0;
  std::unique_lock<std::mutex> lock;
  for (size_t i = 0; i < staged_points_.size(); ++i) {
    const StagedPoint& staged = staged_points_[i];
    if (i + 16 < staged_points_.size()) prefetch_series(staged_points_[i + 16].series);
    if (i + 8 < staged_points_.size()) staged_points_[i + 8].series->head.prefetch();
    std::mutex& wanted = stripe(staged.series->id);
    if (lock.mutex() != &wanted) {
      lock = {};
      lock = std::unique_lock(wanted);
    }
    if (!staged.series->head.add(staged.point)) ++refused;
  }
  lock = {};
  samples_appended_.fetch_add(staged_points_.size() - refused, std::memory_order_relaxed);
  head_samples_.fetch_add(staged_points_.size() - refused, std::memory_order_relaxed);
  samples_rejected_.fetch_add(refused, std::memory_order_relaxed);
  overflowed_.fetch_add(overflowed_in_group_, std::memory_order_relaxed);
  if (!staged_days_.empty()) {
    const std::unique_lock tables(mutex_);
    for (const auto& [day, id] : staged_days_) days_[day].insert(id);
  }
  std::move(staged_log_keys_.begin(), staged_log_keys_.end(), std::back_inserter(log_keys_));
  staged_points_.clear();
  staged_series_.clear();
  staged_log_keys_.clear();
}

void SeriesStoreImpl::failed(std::span<const AcceptedBatch> /*group*/) {
  for (StoredSeries* series : staged_series_) series->staged = false;
  for (StoredSeries* series : staged_definitions_) series->defined = false;
  for (const auto& [day, id] : staged_days_) {
    if (const auto found = series_.find(id); found != series_.end()) found->second->last_day = 0;
  }
  staged_points_.clear();
  staged_series_.clear();
  staged_log_keys_.clear();
}

SeriesStore::Stats SeriesStoreImpl::stats() const {
  Stats out;
  {
    const std::shared_lock lock(mutex_);
    out.series = series_.size();
    for (const auto& [id, series] : series_) {
      const std::lock_guard stripe_lock(stripe(id));
      if (series->head.empty()) continue;
      out.head_blocks += series->head.blocks();
      const int64_t first = series->head.first_millis(), last = series->head.last_millis();
      out.head_first_millis =
          out.head_first_millis == 0 ? first : std::min(out.head_first_millis, first);
      out.head_last_millis = std::max(out.head_last_millis, last);
    }
  }
  out.expired_days = expired_days_.load(std::memory_order_relaxed);
  out.compacted_samples = compacted_samples_.load(std::memory_order_relaxed);
  out.compacted_bytes = compacted_bytes_.load(std::memory_order_relaxed);
  out.rollup_bytes = rollup_bytes_.load(std::memory_order_relaxed);
  out.series_bytes = series_bytes_.load(std::memory_order_relaxed);
  out.corrupt_chunks = corrupt_chunks_.load(std::memory_order_relaxed);
  out.head_samples = head_samples_.load(std::memory_order_relaxed);
  out.samples_appended = samples_appended_.load(std::memory_order_relaxed);
  out.samples_rejected = samples_rejected_.load(std::memory_order_relaxed);
  out.overflowed = overflowed_.load(std::memory_order_relaxed);
  out.head_bytes = head_bytes_.load(std::memory_order_relaxed);
  return out;
}

std::unique_ptr<SeriesStore> make_series_store(const SeriesStoreOptions& options) {
  return std::make_unique<SeriesStoreImpl>(options);
}

}  // namespace hms::collector
