// series_store.cc: the series store: ingest on the commit thread, questions from any.
//
// prepare() turns points into staged ones (adding deltas up, making series), writes them as one log
// entry; committed() puts them into the heads. Every half hour, or when the heads grow large, the
// heads are closed and written as chunks over the following calls of maintain(), and then the log
// entries they cover are removed. An epoch (Unix seconds when it began) numbers what lies between
// two such closings. Locks: `mutex_` for the tables (series, index, days, metadata), changed only
// by the commit thread; 64 stripes for the heads' points.
#include "collector/store/series_store.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <map>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <unordered_map>

#include "collector/store/keys.h"
#include "collector/store/series_classic.h"
#include "collector/store/series_definition.h"
#include "collector/store/series_head.h"
#include "collector/store/series_index.h"
#include "collector/store/series_labels.h"
#include "collector/store/series_log.h"
#include "net/core/clock.h"
#include "net/core/log.h"

namespace hms::collector {
namespace {

constexpr int64_t kDayMillis = 86'400'000;
constexpr int64_t kMaxAheadMillis = 300'000;  // how far a point may be ahead of its arrival
constexpr int64_t kGapMillis =
    500;  // a delta that begins this long after the last point begins with a point of its own
constexpr int64_t kMaxDeltaMillis = 3'600'000;  // a longer interval is not believed
constexpr int64_t kDefaultDeltaMillis = 1000;   // when a delta does not say when it began
constexpr int32_t kMaxScale = 8;                // Prometheus's finest
constexpr size_t kSealSeriesAtOnce = 4000;      // a call of maintain() stays in the milliseconds
constexpr uint64_t kSealBytesAtOnce = 8ULL * 1024 * 1024;
constexpr size_t kStripes = 64;
constexpr size_t kMaxHelpBytes = 512;
constexpr uint32_t kScanGap = 8;  // series numbers this close are read in one scan
constexpr std::string_view kOverflowName = "hms_overflow";

double stale_marker() noexcept { return std::bit_cast<double>(uint64_t{0x7ff0000000000002}); }

/// What points weigh against a limit on samples: a number one, a histogram as much as the numbers
/// it takes the room of.
uint64_t weight_of(const Series& series, size_t first_sample, size_t first_histogram) {
  uint64_t out = series.samples.size() - first_sample;
  for (size_t i = first_histogram; i < series.histograms.size(); ++i) {
    const telemetry::Histogram& value = *series.histograms[i].value;
    out += 5 + value.positive.size() + value.negative.size();
  }
  return out;
}

/// What a series has come to: the base for the next delta.
struct Total {
  double value = 0;
  HistogramPtr histogram;
  int64_t last_millis = INT64_MIN;
  uint32_t logged_epoch = 0;  // the epoch whose log has `histogram`
};

struct StoredSeries {
  uint32_t id = 0;
  LabelSet labels;
  // the commit thread's
  bool defined = false;  // its definition is stored
  bool staged = false;   // it has points in the group being prepared
  Total total, staged_total;
  uint32_t last_day = 0;  // the day marked last
  // under the stripe's lock
  SeriesHead head;
  int64_t sealed_until_millis = INT64_MIN;  // no stored chunk has a later point
};
using SeriesPtr = std::shared_ptr<StoredSeries>;

struct StagedPoint {
  StoredSeries* series;
  SeriesPoint point;
};

class Store final : public SeriesStore {
 public:
  explicit Store(const SeriesStoreOptions& options) : options_(options) {}

  // ---- SignalStore
  // -------------------------------------------------------------------------------------------------
  net::Result<void> recover(const KvReader& reader) override;
  void prepare(std::span<const AcceptedBatch> group, KvWriter& writer) override;
  void committed(std::span<const AcceptedBatch> group) override;
  void failed(std::span<const AcceptedBatch> group) override;
  void maintain(uint64_t now_unix_nanos, KvWriter& writer) override;
  void forget_day(Family day) override;

  // ---- SeriesSource
  // ------------------------------------------------------------------------------------------------
  net::Result<std::vector<Series>> select(const std::vector<LabelMatcher>& matchers,
                                          int64_t start_millis, int64_t end_millis,
                                          const SelectLimits& limits) const override;
  net::Result<std::vector<LabelSet>> series(const std::vector<LabelMatcher>& matchers,
                                            int64_t start_millis, int64_t end_millis,
                                            const SelectLimits& limits) const override;
  std::vector<MetricMetadata> metadata() const override;
  Stats stats() const override;

 private:
  // ingest
  void stage(const AcceptedBatch& batch, const telemetry::MetricPointView& point, KvWriter& writer);
  void stage_number(StoredSeries& series, const telemetry::MetricPointView& point, int64_t t);
  void stage_histogram(StoredSeries& series, const telemetry::MetricPointView& point, int64_t t,
                       telemetry::Histogram value);
  void stage_point(StoredSeries& series, SeriesPoint point);
  Total& staged_total(StoredSeries& series);
  std::optional<int64_t> begin_of_delta(const Total& total, const telemetry::MetricPointView& point,
                                        int64_t t) const;
  StoredSeries* find_or_make(const telemetry::MetricBatch& batch,
                             const telemetry::MetricPointView& point);
  StoredSeries& make_series(LabelSet labels, MetricMetadata metric);
  void define(StoredSeries& series, KvWriter& writer);
  void mark_day(StoredSeries& series, int64_t t_millis, KvWriter& writer);
  void write_log(Family family, KvWriter& writer);
  void count_overflow(int64_t now_millis, KvWriter& writer);
  void reject() { samples_rejected_.fetch_add(1, std::memory_order_relaxed); }

  // sealing
  void begin_sealing(uint64_t now_unix_nanos);
  void finish_written(KvWriter& writer);
  void seal_some(KvWriter& writer);
  void remove_dead(KvWriter& writer);
  uint64_t head_bytes() const;

  // recovery
  net::Result<void> recover_definitions(const KvReader& reader);
  net::Result<void> recover_days(const KvReader& reader);
  net::Result<void> recover_log(const KvReader& reader);

  // questions
  struct Found {
    SeriesPtr series;
    SeriesHead::Snapshot memory;
    bool on_disk = false;
    Series out;
  };
  std::vector<SeriesPtr> find(const std::vector<CompiledMatcher>& matchers) const;
  net::Result<std::vector<Series>> select_series(const std::vector<CompiledMatcher>& matchers,
                                                 int64_t start, int64_t end,
                                                 const SelectLimits& limits) const;
  net::Result<void> read_disk(std::vector<Found>& found, int64_t start, int64_t end,
                              const SelectLimits& limits) const;
  net::Result<void> read_day(Family day, const std::vector<Found*>& wanted, int64_t start,
                             int64_t end, const SelectLimits& limits, uint64_t& samples) const;
  std::mutex& stripe(uint32_t id) const { return stripes_[id % kStripes]; }

  const SeriesStoreOptions options_;
  const KvReader* reader_ = nullptr;

  mutable std::shared_mutex mutex_;
  std::map<uint32_t, SeriesPtr> series_;
  SeriesIndex index_;
  std::map<uint32_t, SeriesSet> days_;
  std::map<std::string, MetricMetadata> metrics_;
  mutable std::array<std::mutex, kStripes> stripes_;

  // the commit thread's
  std::unordered_map<std::string, StoredSeries*> by_raw_key_;
  std::map<LabelSet, StoredSeries*> by_labels_;
  uint32_t next_id_ = 1;
  std::vector<StagedPoint> staged_points_;
  std::vector<StoredSeries*> staged_series_, staged_definitions_;
  std::vector<std::pair<uint32_t, uint32_t>> staged_days_;  // day, series
  uint64_t overflowed_in_group_ = 0;
  std::string raw_key_;
  int64_t arrived_millis_ = 0;
  SeriesLogWriter log_;
  uint32_t epoch_ = 0;
  uint32_t log_sequence_ = 0;
  std::vector<std::pair<Family, std::string>> log_keys_, sealing_log_keys_, staged_log_keys_;
  uint32_t sealing_epoch_ = 0;
  std::vector<SeriesPtr> to_seal_, written_;
  std::vector<uint32_t> dead_;
  int64_t sealed_until_millis_ = INT64_MIN;  // of all stored chunks, kept in meta

  std::atomic<uint64_t> samples_appended_{0}, samples_rejected_{0}, overflowed_{0}, head_bytes_{0},
      head_samples_{0};
};

// ---- ingest
// ----------------------------------------------------------------------------------------------------------

void Store::prepare(std::span<const AcceptedBatch> group, KvWriter& writer) {
  if (epoch_ == 0) epoch_ = static_cast<uint32_t>(net::unix_nanos() / 1'000'000'000);
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
    if (family == Family::meta()) family = Family::of_unix_nanos(batch.arrived_unix_nanos);
    for (const telemetry::MetricPointView& point : batch.metrics->points)
      stage(batch, point, writer);
  }
  if (overflowed_in_group_ > 0) count_overflow(arrived_millis_, writer);
  if (!log_.empty()) write_log(family, writer);
}

void Store::write_log(Family family, KvWriter& writer) {
  std::string key = series_log_key(epoch_, ++log_sequence_);
  writer.put(family, key, log_.finish());
  staged_log_keys_.emplace_back(family, std::move(key));
}

void Store::stage(const AcceptedBatch& batch, const telemetry::MetricPointView& point,
                  KvWriter& writer) {
  const int64_t t = point.time_unix_nanos == 0
                        ? arrived_millis_
                        : static_cast<int64_t>(point.time_unix_nanos / 1'000'000);
  if (t > arrived_millis_ + kMaxAheadMillis ||
      t <= arrived_millis_ - options_.retention_days * kDayMillis)
    return reject();
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
  for (size_t i = before; i < staged_points_.size(); ++i)
    mark_day(*series, staged_points_[i].point.t_millis, writer);
}

Total& Store::staged_total(StoredSeries& series) {
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
std::optional<int64_t> Store::begin_of_delta(const Total& total,
                                             const telemetry::MetricPointView& point,
                                             int64_t t) const {
  int64_t begin = static_cast<int64_t>(point.start_unix_nanos / 1'000'000);
  if (begin >= t || begin < t - kMaxDeltaMillis) begin = t - kDefaultDeltaMillis;
  if (begin < 0) begin = 0;
  if (total.last_millis != INT64_MIN && begin - total.last_millis < kGapMillis) return std::nullopt;
  return begin;
}

void Store::stage_number(StoredSeries& series, const telemetry::MetricPointView& point, int64_t t) {
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

void Store::stage_histogram(StoredSeries& series, const telemetry::MetricPointView& point,
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

void Store::stage_point(StoredSeries& series, SeriesPoint point) {
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

StoredSeries* Store::find_or_make(const telemetry::MetricBatch& batch,
                                  const telemetry::MetricPointView& point) {
  raw_series_key(batch, point, raw_key_);
  if (const auto known = by_raw_key_.find(raw_key_); known != by_raw_key_.end())
    return known->second;
  LabelSet labels = series_labels(batch, point);
  StoredSeries* series = nullptr;
  if (const auto known = by_labels_.find(labels); known != by_labels_.end()) {
    series = known->second;
  } else if (series_.size() < options_.max_series) {
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
  by_raw_key_.emplace(raw_key_, series);
  return series;
}

StoredSeries& Store::make_series(LabelSet labels, MetricMetadata metric) {
  auto series = std::make_shared<StoredSeries>();
  series->id = next_id_++;
  series->labels = std::move(labels);
  StoredSeries& made = *series;
  const std::unique_lock lock(mutex_);
  metrics_.try_emplace(metric.name, metric);
  index_.add(made.id, made.labels);
  by_labels_.emplace(made.labels, &made);
  series_.emplace(made.id, std::move(series));
  return made;
}

void Store::define(StoredSeries& series, KvWriter& writer) {
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

void Store::mark_day(StoredSeries& series, int64_t t_millis, KvWriter& writer) {
  const auto day = static_cast<uint32_t>(t_millis / kDayMillis);
  if (series.last_day == day) return;
  series.last_day = day;
  const auto known = days_.find(day);
  if (known != days_.end() && known->second.contains(series.id)) return;
  staged_days_.emplace_back(day, series.id);
  writer.put(Family{day}, series_definition_key(series.id), "");
}

void Store::count_overflow(int64_t now_millis, KvWriter& writer) {
  LabelSet labels = {{"__name__", std::string(kOverflowName)}};
  const auto known = by_labels_.find(labels);
  StoredSeries& series =
      known != by_labels_.end()
          ? *known->second
          : make_series(std::move(labels),
                        {std::string(kOverflowName), "counter",
                         "Points refused because there are too many series.", ""});
  define(series, writer);
  Total& total = staged_total(series);
  total.value += static_cast<double>(overflowed_in_group_);
  stage_point(series, {std::max(now_millis, total.last_millis), total.value, nullptr});
  mark_day(series, now_millis, writer);
}

void Store::committed(std::span<const AcceptedBatch> /*group*/) {
  for (StoredSeries* series : staged_series_) {
    series->total = std::move(series->staged_total);
    series->staged = false;
  }
  uint64_t refused = 0;
  for (const StagedPoint& staged : staged_points_) {
    const std::lock_guard lock(stripe(staged.series->id));
    if (!staged.series->head.add(staged.point)) ++refused;
  }
  samples_appended_.fetch_add(staged_points_.size() - refused, std::memory_order_relaxed);
  head_samples_.fetch_add(staged_points_.size() - refused, std::memory_order_relaxed);
  samples_rejected_.fetch_add(refused, std::memory_order_relaxed);
  overflowed_.fetch_add(overflowed_in_group_, std::memory_order_relaxed);
  if (!staged_days_.empty()) {
    const std::unique_lock lock(mutex_);
    for (const auto& [day, id] : staged_days_) days_[day].insert(id);
  }
  std::move(staged_log_keys_.begin(), staged_log_keys_.end(), std::back_inserter(log_keys_));
  staged_points_.clear();
  staged_series_.clear();
  staged_log_keys_.clear();
}

void Store::failed(std::span<const AcceptedBatch> /*group*/) {
  for (StoredSeries* series : staged_series_) series->staged = false;
  for (StoredSeries* series : staged_definitions_) series->defined = false;
  for (const auto& [day, id] : staged_days_) {
    if (const auto found = series_.find(id); found != series_.end()) found->second->last_day = 0;
  }
  staged_points_.clear();
  staged_series_.clear();
  staged_log_keys_.clear();
}

// ---- sealing
// ---------------------------------------------------------------------------------------------------------

uint64_t Store::head_bytes() const {
  uint64_t sum = 0;
  for (const auto& [id, series] : series_)
    sum += series->head.bytes();  // only the commit thread changes heads
  return sum;
}

// The engine calls this only when everything that earlier calls wrote is on disk.
void Store::maintain(uint64_t now_unix_nanos, KvWriter& writer) {
  finish_written(writer);
  remove_dead(writer);
  const uint64_t bytes = head_bytes();
  head_bytes_.store(bytes, std::memory_order_relaxed);
  const uint64_t now_seconds = now_unix_nanos / 1'000'000'000;
  const bool due = epoch_ != 0 && now_seconds >= epoch_ + uint64_t{options_.seal_seconds};
  if (to_seal_.empty() && written_.empty() && sealing_log_keys_.empty() && !log_keys_.empty() &&
      (due || bytes > options_.seal_bytes)) {
    begin_sealing(now_unix_nanos);
  }
  seal_some(writer);
}

void Store::begin_sealing(uint64_t now_unix_nanos) {
  for (const auto& [id, series] : series_) {
    if (!series->head.has_unsealed()) continue;
    const std::lock_guard lock(stripe(id));
    series->head.begin_sealing();
    to_seal_.push_back(series);
  }
  head_samples_.store(0, std::memory_order_relaxed);
  sealing_log_keys_ = std::move(log_keys_);
  log_keys_.clear();
  sealing_epoch_ = epoch_;
  epoch_ = std::max(epoch_ + 1, static_cast<uint32_t>(now_unix_nanos / 1'000'000'000));
  log_sequence_ = 0;
}

void Store::seal_some(KvWriter& writer) {
  uint64_t bytes = 0;
  while (!to_seal_.empty() && written_.size() < kSealSeriesAtOnce && bytes < kSealBytesAtOnce) {
    SeriesPtr series = std::move(to_seal_.back());
    to_seal_.pop_back();
    std::map<uint32_t, std::vector<BlockPtr>> by_day;
    for (const BlockPtr& block : series->head.sealing())
      by_day[static_cast<uint32_t>(block->first_millis / kDayMillis)].push_back(block);
    for (const auto& [day, blocks] : by_day) {
      const std::string stored = seal_blocks(blocks);
      bytes += stored.size();
      for (const BlockPtr& block : blocks) {
        sealed_until_millis_ = std::max(sealed_until_millis_, block->last_millis);
      }
      writer.put(Family{day}, series_chunk_key(series->id, sealing_epoch_), stored);
    }
    written_.push_back(std::move(series));
  }
  if (written_.empty()) return;
  std::string until;
  append_be64(until, static_cast<uint64_t>(sealed_until_millis_));
  writer.put(Family::meta(), table_key(Table::series_chunk), until);
}

void Store::finish_written(KvWriter& writer) {
  for (const SeriesPtr& series : written_) {
    const std::lock_guard lock(stripe(series->id));
    for (const BlockPtr& block : series->head.sealing()) {
      series->sealed_until_millis = std::max(series->sealed_until_millis, block->last_millis);
    }
    series->head.drop_sealing();
  }
  written_.clear();
  if (!to_seal_.empty()) return;
  for (const auto& [family, key] : sealing_log_keys_) writer.remove(family, key);
  sealing_log_keys_.clear();
}

void Store::forget_day(Family day) {
  const std::unique_lock lock(mutex_);
  days_.erase(day.day);
  for (const auto& [id, series] : series_) {
    const bool lives = !series->head.empty() || series->staged ||
                       std::any_of(days_.begin(), days_.end(),
                                   [id = id](const auto& one) { return one.second.contains(id); });
    if (!lives) dead_.push_back(id);
  }
}

// Series whose last day is gone.
void Store::remove_dead(KvWriter& writer) {
  if (dead_.empty()) return;
  const std::unique_lock lock(mutex_);
  by_raw_key_.clear();
  for (const uint32_t id : dead_) {
    const auto found = series_.find(id);
    if (found == series_.end() || !found->second->head.empty()) continue;
    writer.remove(Family::meta(), series_definition_key(id));
    by_labels_.erase(found->second->labels);
    index_.remove(id, found->second->labels);
    series_.erase(found);
  }
  dead_.clear();
}

// ---- recovery
// --------------------------------------------------------------------------------------------------------

net::Result<void> Store::recover(const KvReader& reader) {
  reader_ = &reader;
  if (auto done = recover_definitions(reader); !done) return done;
  if (auto done = recover_days(reader); !done) return done;
  if (const auto until = reader.get(Family::meta(), table_key(Table::series_chunk));
      until.ok() && until->size() == 8) {
    sealed_until_millis_ = static_cast<int64_t>(read_be64(*until));
  }
  return recover_log(reader);
}

net::Result<void> Store::recover_definitions(const KvReader& reader) {
  const std::string begin = table_key(Table::series_definition);
  uint64_t broken = 0;
  auto scanned = reader.scan(
      Family::meta(), begin, std::string(1, static_cast<char>(begin[0] + 1)),
      [&](std::string_view key, std::string_view value) {
        auto definition = read_definition(value);
        if (key.size() != 5 || !definition) {
          ++broken;
          return true;
        }
        auto series = std::make_shared<StoredSeries>();
        series->id = read_be32(key.substr(1));
        series->labels = std::move(definition->labels);
        series->defined = true;
        MetricMetadata& metric =
            metrics_.try_emplace(definition->metric.name, definition->metric).first->second;
        if (metric.help.empty()) metric.help = definition->metric.help;
        next_id_ = std::max(next_id_, series->id + 1);
        index_.add(series->id, series->labels);
        by_labels_.emplace(series->labels, series.get());
        series_.emplace(series->id, std::move(series));
        return true;
      });
  if (broken > 0)
    net::log_error("series definitions are corrupt; their series are not shown",
                   {{"count", broken}});
  return scanned;
}

net::Result<void> Store::recover_days(const KvReader& reader) {
  const std::string begin = table_key(Table::series_definition);
  for (const Family day : reader.days()) {
    SeriesSet& set = days_[day.day];
    auto scanned = reader.scan(day, begin, std::string(1, static_cast<char>(begin[0] + 1)),
                               [&](std::string_view key, std::string_view /*value*/) {
                                 if (key.size() == 5) set.insert(read_be32(key.substr(1)));
                                 return true;
                               });
    if (!scanned) return scanned;
  }
  return {};
}

net::Result<void> Store::recover_log(const KvReader& reader) {
  // By epoch, then by number, whatever day an entry arrived on.
  std::map<std::string, std::pair<Family, std::string>> entries;
  const std::string begin = table_key(Table::series_log);
  for (const Family day : reader.days()) {
    auto scanned =
        reader.scan(day, begin, std::string(1, static_cast<char>(begin[0] + 1)),
                    [&](std::string_view key, std::string_view value) {
                      if (key.size() == 9)
                        entries.emplace(std::string(key), std::pair(day, std::string(value)));
                      return true;
                    });
    if (!scanned) return scanned;
  }
  epoch_ = static_cast<uint32_t>(net::unix_nanos() / 1'000'000'000);
  for (const auto& [id, series] : series_) series->sealed_until_millis = sealed_until_millis_;
  uint64_t broken = 0;
  uint64_t points = 0;
  std::vector<StoredSeries*> by_id(next_id_);
  for (const auto& [id, series] : series_) by_id[id] = series.get();
  const auto known = [&by_id](uint32_t id) { return id < by_id.size() ? by_id[id] : nullptr; };
  SeriesLogReader log;
  log.before = [&](uint32_t id) -> HistogramPtr {
    const StoredSeries* series = known(id);
    return series == nullptr ? nullptr : series->total.histogram;
  };
  log.point = [&](uint32_t id, SeriesPoint point) {
    StoredSeries* series = known(id);
    if (series == nullptr) return;
    Total& total = series->total;
    if (point.histogram) {
      total.histogram = point.histogram;
    } else if (std::bit_cast<uint64_t>(point.value) != std::bit_cast<uint64_t>(stale_marker())) {
      total.value = point.value;
    }
    total.last_millis = std::max(total.last_millis, point.t_millis);
    if (series->head.add(point)) ++points;
  };
  for (auto& [key, entry] : entries) {
    epoch_ = std::max(epoch_, read_be32(std::string_view(key).substr(1)) + 1);
    if (auto read = read_series_log(entry.second, log); !read) {
      ++broken;
      net::log_error("an entry of the series log is corrupt; what follows in it is lost",
                     {{"day", entry.first.day}, {"error", read.error().detail}});
    }
    log_keys_.emplace_back(entry.first, key);
  }
  samples_appended_.store(0);
  head_samples_.store(points);
  if (points > 0)
    net::log_info("series recovered from the log",
                  {{"series", series_.size()}, {"points", points}, {"corrupt_entries", broken}});
  return {};
}

// ---- questions
// -------------------------------------------------------------------------------------------------------

std::vector<SeriesPtr> Store::find(const std::vector<CompiledMatcher>& matchers) const {
  const std::shared_lock lock(mutex_);
  std::vector<SeriesPtr> out;
  for (const uint32_t id : index_.find(matchers)) out.push_back(series_.at(id));
  return out;
}

/// For "x_bucket" and its kin: the name, what to ask of the histograms instead, and what `le` must
/// be.
struct ClassicQuestion {
  ClassicName name;
  std::vector<LabelMatcher> matchers;
  std::vector<std::string> bounds;
};

std::optional<ClassicQuestion> classic_question(const std::vector<CompiledMatcher>& matchers) {
  std::optional<ClassicQuestion> out;
  for (const CompiledMatcher& matcher : matchers) {
    if (matcher.name() != "__name__" || matcher.matcher().kind != LabelMatcher::Kind::equal)
      continue;
    const auto name = classic_name(matcher.matcher().value);
    if (!name) return std::nullopt;
    out = ClassicQuestion{*name, {{"__name__", LabelMatcher::Kind::equal, name->histogram}}, {}};
  }
  if (!out) return std::nullopt;
  for (const std::string& bound : classic_bounds()) {
    const bool wanted =
        std::all_of(matchers.begin(), matchers.end(), [&](const CompiledMatcher& matcher) {
          return matcher.name() != "le" ||
                 matcher.matches(out->name.part == ClassicPart::bucket ? bound : std::string());
        });
    if (wanted) out->bounds.push_back(bound);
  }
  for (const CompiledMatcher& matcher : matchers) {
    if (matcher.name() != "__name__" && matcher.name() != "le")
      out->matchers.push_back(matcher.matcher());
  }
  return out;
}

net::Result<std::vector<Series>> Store::select(const std::vector<LabelMatcher>& matchers,
                                               int64_t start_millis, int64_t end_millis,
                                               const SelectLimits& limits) const {
  auto compiled = compile_matchers(matchers);
  if (!compiled) return compiled.error();
  auto found = select_series(*compiled, start_millis, end_millis, limits);
  if (found && found->empty()) {
    const auto question = classic_question(*compiled);
    if (question && !question->bounds.empty()) {
      auto inner = compile_matchers(question->matchers);
      if (!inner) return inner.error();
      auto histograms = select_series(*inner, start_millis, end_millis, limits);
      if (!histograms) return histograms;
      for (const Series& histogram : *histograms) {
        if (histogram.histograms.empty()) continue;
        for (Series& made : classic_series(histogram, question->name, question->bounds))
          found->push_back(std::move(made));
      }
    }
  }
  if (found)
    std::sort(found->begin(), found->end(),
              [](const Series& a, const Series& b) { return a.labels < b.labels; });
  return found;
}

net::Result<std::vector<Series>> Store::select_series(const std::vector<CompiledMatcher>& matchers,
                                                      int64_t start, int64_t end,
                                                      const SelectLimits& limits) const {
  const std::vector<SeriesPtr> series = find(matchers);
  if (series.size() > limits.max_series) {
    return net::Error{net::Code::too_large, net::Side::downstream, false,
                      "the selector matches " + std::to_string(series.size()) +
                          " series, the limit is " + std::to_string(limits.max_series)};
  }
  // Memory before disk: what is sealed in between is then seen twice, not never.
  std::vector<Found> found;
  found.reserve(series.size());
  for (const SeriesPtr& one : series) {
    Found entry;
    entry.series = one;
    {
      const std::lock_guard lock(stripe(one->id));
      one->head.snapshot(start, end, entry.memory);
      entry.on_disk = start < one->sealed_until_millis;
    }
    if (entry.on_disk || !entry.memory.blocks.empty() || !entry.memory.plain.empty())
      found.push_back(std::move(entry));
  }
  if (auto read = read_disk(found, start, end, limits); !read) return read.error();
  std::vector<Series> out;
  uint64_t samples = 0;
  for (Found& entry : found) {
    if (limits.cancelled && limits.cancelled())
      return net::Error{net::Code::canceled, net::Side::downstream, false, "canceled"};
    Series& one = entry.out;
    for (const BlockPtr& block : entry.memory.blocks) {
      if (!read_block(*block, start, end, one.samples, one.histograms)) {
        return net::Error{net::Code::corrupt, net::Side::self, false,
                          "a block in memory is broken"};
      }
    }
    for (const SeriesPoint& point : entry.memory.plain) {
      if (point.histogram) {
        one.histograms.push_back({point.t_millis, point.histogram});
      } else {
        one.samples.push_back({point.t_millis, point.value});
      }
    }
    if (one.samples.empty() && one.histograms.empty()) continue;
    merge_points(one.samples, one.histograms);
    samples += weight_of(one, 0, 0);
    if (samples > limits.max_samples) {
      return net::Error{net::Code::too_large, net::Side::downstream, false,
                        "query processing would load too many samples into memory: the limit is " +
                            std::to_string(limits.max_samples)};
    }
    one.labels = entry.series->labels;
    out.push_back(std::move(one));
  }
  return out;
}

net::Result<void> Store::read_disk(std::vector<Found>& found, int64_t start, int64_t end,
                                   const SelectLimits& limits) const {
  uint64_t samples = 0;
  std::vector<std::pair<uint32_t, std::vector<Found*>>> days;
  {
    const std::shared_lock lock(mutex_);
    const int64_t first_day = std::max<int64_t>(start, 0) / kDayMillis;
    for (auto day = days_.lower_bound(
             static_cast<uint32_t>(std::min<int64_t>(first_day, Family::kMeta - 1)));
         day != days_.end(); ++day) {
      if (static_cast<int64_t>(day->first) * kDayMillis > end) break;
      std::vector<Found*> wanted;
      for (Found& entry : found) {
        if (entry.on_disk && day->second.contains(entry.series->id)) wanted.push_back(&entry);
      }
      if (!wanted.empty()) days.emplace_back(day->first, std::move(wanted));
    }
  }
  for (const auto& [day, wanted] : days) {
    if (auto read = read_day(Family{day}, wanted, start, end, limits, samples); !read) return read;
  }
  return {};
}

// Series numbers rise in `wanted`; those that lie close together are read in one scan.
net::Result<void> Store::read_day(Family day, const std::vector<Found*>& wanted, int64_t start,
                                  int64_t end, const SelectLimits& limits,
                                  uint64_t& samples) const {
  size_t first = 0;
  while (first < wanted.size()) {
    size_t last = first;
    while (last + 1 < wanted.size() &&
           wanted[last + 1]->series->id - wanted[last]->series->id <= kScanGap)
      ++last;
    size_t at = first;
    net::Result<void> failure;
    auto scanned = reader_->scan(
        day, series_chunk_key(wanted[first]->series->id, 0),
        series_chunk_key(wanted[last]->series->id + 1, 0),
        [&](std::string_view key, std::string_view value) {
          if (key.size() != 9) return true;
          const uint32_t id = read_be32(key.substr(1));
          while (at <= last && wanted[at]->series->id < id) ++at;
          if (at > last || wanted[at]->series->id != id) return true;
          Series& out = wanted[at]->out;
          const size_t first_sample = out.samples.size();
          const size_t first_histogram = out.histograms.size();
          auto blocks = open_blocks(value, start, end);
          bool good = blocks.ok();
          for (size_t i = 0; good && i < blocks->size(); ++i)
            good = read_block((*blocks)[i], start, end, out.samples, out.histograms);
          if (!good) {
            failure = net::Error{net::Code::corrupt, net::Side::self, false,
                                 "series chunk of day " + std::to_string(day.day) + ", series " +
                                     std::to_string(id) + " is corrupt"};
            return false;
          }
          samples += weight_of(out, first_sample, first_histogram);
          if (samples > limits.max_samples) {
            failure = net::Error{
                net::Code::too_large, net::Side::downstream, false,
                "query processing would load too many samples into memory: the limit is " +
                    std::to_string(limits.max_samples)};
            return false;
          }
          if (limits.cancelled && limits.cancelled()) {
            failure = net::Error{net::Code::canceled, net::Side::downstream, false, "canceled"};
            return false;
          }
          return true;
        });
    if (!failure) return failure;
    if (!scanned && scanned.error().code != net::Code::not_found)
      return scanned;  // a day dropped meanwhile
    first = last + 1;
  }
  return {};
}

net::Result<std::vector<LabelSet>> Store::series(const std::vector<LabelMatcher>& matchers,
                                                 int64_t start_millis, int64_t end_millis,
                                                 const SelectLimits& limits) const {
  auto compiled = compile_matchers(matchers);
  if (!compiled) return compiled.error();
  const auto present = [&](const StoredSeries& one) {
    {
      const std::lock_guard lock(stripe(one.id));
      const int64_t first = one.head.first_millis();
      if (first <= end_millis && one.head.last_millis() > start_millis) return true;
      if (start_millis >= one.sealed_until_millis) return false;
    }
    // Older points: known to the day.
    for (const auto& [day, set] : days_) {
      const int64_t begin = static_cast<int64_t>(day) * kDayMillis;
      if (begin <= end_millis && begin + kDayMillis > start_millis && set.contains(one.id))
        return true;
    }
    return false;
  };
  const auto listed = [&](const std::vector<CompiledMatcher>& asked) {
    std::vector<LabelSet> out;
    const std::shared_lock lock(mutex_);
    for (const uint32_t id : index_.find(asked)) {
      const StoredSeries& one = *series_.at(id);
      if (present(one)) out.push_back(one.labels);
      if (out.size() > limits.max_series) break;
    }
    return out;
  };
  std::vector<LabelSet> out = listed(*compiled);
  if (out.empty()) {
    const auto question = classic_question(*compiled);
    if (question && !question->bounds.empty()) {
      auto inner = compile_matchers(question->matchers);
      if (!inner) return inner.error();
      const std::shared_lock lock(mutex_);
      const auto metric = metrics_.find(question->name.histogram);
      if (metric != metrics_.end() && metric->second.type == "histogram") {
        for (const uint32_t id : index_.find(*inner)) {
          const StoredSeries& one = *series_.at(id);
          if (!present(one)) continue;
          for (LabelSet& made : classic_labels(one.labels, question->name, question->bounds))
            out.push_back(std::move(made));
        }
      }
    }
  }
  if (out.size() > limits.max_series) {
    return net::Error{
        net::Code::too_large, net::Side::downstream, false,
        "the selector matches more than " + std::to_string(limits.max_series) + " series"};
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<MetricMetadata> Store::metadata() const {
  const std::shared_lock lock(mutex_);
  std::vector<MetricMetadata> out;
  for (const auto& [name, metric] : metrics_) {
    out.push_back(metric);
    out.back().name = name;
  }
  return out;
}

SeriesStore::Stats Store::stats() const {
  Stats out;
  {
    const std::shared_lock lock(mutex_);
    out.series = series_.size();
  }
  out.head_samples = head_samples_.load(std::memory_order_relaxed);
  out.samples_appended = samples_appended_.load(std::memory_order_relaxed);
  out.samples_rejected = samples_rejected_.load(std::memory_order_relaxed);
  out.overflowed = overflowed_.load(std::memory_order_relaxed);
  out.head_bytes = head_bytes_.load(std::memory_order_relaxed);
  return out;
}

}  // namespace

std::unique_ptr<SeriesStore> make_series_store(const SeriesStoreOptions& options) {
  return std::make_unique<Store>(options);
}

}  // namespace hms::collector
