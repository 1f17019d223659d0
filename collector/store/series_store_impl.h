// series_store_impl.h: the series store's inside. Users include series_store.h.
//
// prepare() turns points into staged ones (adding deltas up, making series), writes them as one log
// entry; committed() puts them into the heads (series_store.cc). Every half hour, or when the heads
// grow large, the heads are closed and written as chunks over the following calls of maintain(),
// and then the log entries they cover are removed (series_sealing.cc). An epoch (Unix seconds when
// it began) numbers what lies between two such closings. series_recovery.cc reads back,
// series_select.cc answers. Locks: `mutex_` for the tables (series, index, days, metadata), changed
// only by the commit thread; 64 stripes for the heads' points.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>

#include "collector/store/keys.h"
#include "collector/store/series_by_key.h"
#include "collector/store/series_head.h"
#include "collector/store/series_index.h"
#include "collector/store/series_log.h"
#include "collector/store/series_packed.h"
#include "collector/store/series_regex.h"
#include "collector/store/series_rollup.h"
#include "collector/store/series_store.h"
#include "net/core/time_units.h"

namespace hms::collector {

inline constexpr size_t kStripes = 64;

/// Prometheus's "the series ends here".
inline double stale_marker() noexcept {
  return std::bit_cast<double>(uint64_t{0x7ff0000000000002});
}

[[nodiscard]] inline bool is_stale(double value) noexcept {
  return std::bit_cast<uint64_t>(value) == std::bit_cast<uint64_t>(stale_marker());
}
/// As PromQL's changes() sees two points that follow each other.
[[nodiscard]] inline bool value_changes(double before, double now) noexcept {
  return now != before && !(std::isnan(now) && std::isnan(before));
}

/// A day's mark: 1 packed and thinned, 2 its sums are stored too.
inline constexpr std::string_view kCompactedMark = "\2";

/// What a series has come to: the base for the next delta.
struct Total {
  double value = 0;
  HistogramPtr histogram;
  int64_t last_millis = INT64_MIN;
  uint32_t logged_epoch = 0;  // the epoch whose log has `histogram`
};

struct StoredSeries {
  // What every point touches stands first (prefetch_series). The commit thread's:
  uint32_t id = 0;
  bool defined = false;   // its definition is stored
  bool staged = false;    // it has points in the group being prepared
  uint32_t last_day = 0;  // the day marked last
  uint32_t exemplar_slot = 0;
  Total total, staged_total;
  // under the stripe's lock
  SeriesHead head;
  int64_t sealed_until_millis = INT64_MIN;  // no stored chunk has a later point
  LabelSet labels;                          // never changes
  double exemplar_value = 0;                // the commit thread's: the greatest of that slot
};
using SeriesPtr = std::shared_ptr<StoredSeries>;

/// Points go from series to series, and each is away from the caches: this brings near what a point
/// touches of one.
inline void prefetch_series(const StoredSeries* series) noexcept {
  constexpr size_t kTouched = 192;
  const auto* bytes = reinterpret_cast<const char*>(series);
  for (size_t line = 0; line < kTouched; line += 64) __builtin_prefetch(bytes + line, 1);
}

struct StagedPoint {
  StoredSeries* series;
  SeriesPoint point;
};

/// A series' day packed: what to write in place of what. Keys are of the day's family.
struct CompactedSeries {
  uint32_t id = 0;
  std::vector<std::pair<std::string, std::string>> puts;
  std::vector<std::string> removes;
  uint64_t samples = 0, bytes = 0, rollup_bytes = 0;
};

/// Adds the points in the range of a stored chunk of either version; a chunk that is not packed is
/// not thinned. False: it is corrupt.
[[nodiscard]] bool read_series_chunk(std::string_view stored, const PointRange& range,
                                     std::vector<Sample>& samples,
                                     std::vector<HistogramSample>& histograms);
/// Key of a part of what a past day keeps of a series beside its points: thinned ones or sums.
[[nodiscard]] std::string series_rollup_key(Table table, uint8_t level, uint32_t series,
                                            uint32_t part);

/// What a series takes in memory besides its points: measured at 100,000 of them, rounded up.
[[nodiscard]] uint64_t series_memory(const LabelSet& labels) noexcept;

class SeriesStoreImpl final : public SeriesStore {
 public:
  explicit SeriesStoreImpl(const SeriesStoreOptions& options) : options_(options) {}

  // ---- SignalStore
  // -------------------------------------------------------------------------------------------------
  net::Result<void> recover(const KvReader& reader) override;
  void prepare(std::span<const AcceptedBatch> group, KvWriter& writer) override;
  void committed(std::span<const AcceptedBatch> group) override;
  void failed(std::span<const AcceptedBatch> group) override;
  void maintain(uint64_t now_unix_nanos, KvWriter& writer) override;
  void seal_day(Family day) override { sealed_days_.insert(day.day); }
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
  Cardinality cardinality(size_t limit) const override;
  net::Result<std::vector<ExemplarSeries>> exemplars(const std::vector<LabelMatcher>& matchers,
                                                     int64_t start_millis, int64_t end_millis,
                                                     const SelectLimits& limits) const override;

 private:
  // ingest
  void stage(const AcceptedBatch& batch, const telemetry::MetricPointView& point, KvWriter& writer);
  void stage_number(StoredSeries& series, const telemetry::MetricPointView& point, int64_t t);
  void stage_histogram(StoredSeries& series, const telemetry::MetricPointView& point, int64_t t,
                       telemetry::Histogram value);
  void stage_point(StoredSeries& series, SeriesPoint point);
  void stage_exemplars(StoredSeries& series, const telemetry::MetricBatch& batch,
                       const telemetry::MetricPointView& point, int64_t t, KvWriter& writer);
  Total& staged_total(StoredSeries& series);
  std::optional<int64_t> begin_of_delta(const Total& total, const telemetry::MetricPointView& point,
                                        int64_t t) const;
  StoredSeries* find_or_make(const telemetry::MetricBatch& batch,
                             const telemetry::MetricPointView& point);
  StoredSeries& make_series(LabelSet labels, MetricMetadata metric);
  /// Into all tables; takes the lock.
  StoredSeries& keep_series(std::shared_ptr<StoredSeries> series);
  StoredSeries* find_labels(const LabelSet& labels);
  SeriesByKey::Hash raw_hash(const telemetry::MetricBatch& batch,
                             const telemetry::MetricPointView& point);
  SeriesByKey::Hash label_hash(const LabelSet& labels);
  bool has_room() const {
    return series_.size() < options_.max_series &&
           series_bytes_.load(std::memory_order_relaxed) < options_.max_series_bytes;
  }
  void define(StoredSeries& series, KvWriter& writer);
  void mark_day(StoredSeries& series, int64_t t_millis, KvWriter& writer);
  void write_log(Family family, KvWriter& writer);
  void count_overflow(int64_t now_millis, KvWriter& writer);
  void reject() { samples_rejected_.fetch_add(1, std::memory_order_relaxed); }

  // sealing
  void begin_sealing(uint64_t now_unix_nanos);
  void finish_written(KvWriter& writer);
  void seal_some(uint64_t now_seconds, KvWriter& writer);
  void remove_dead(KvWriter& writer);
  uint64_t head_bytes() const;

  // compaction
  struct Slice {
    Family day;
    std::vector<uint32_t> ids;
    size_t next = 0;  // of ids: the first not done
    std::vector<CompactedSeries> done;
    std::atomic<bool> finished{false};
  };
  std::optional<Family> day_to_compact(uint64_t now_seconds) const;
  void drop_expired(uint64_t now_seconds, KvWriter& writer);
  void compact_some(uint64_t now_unix_nanos, KvWriter& writer);
  void take_slice(KvWriter& writer);
  void finish_compaction(KvWriter& writer);
  void note_sealed(uint32_t day, uint64_t now_seconds, KvWriter& writer);
  void run_slice(Slice& slice) const;
  std::optional<CompactedSeries> compact_series(Family day, uint32_t id) const;
  bool has_sums(Family day, uint32_t id) const;
  struct DayRollups;
  net::Result<void> add_rollups(Family day, DayRollups& rollups, CompactedSeries& out) const;

  // recovery
  net::Result<void> recover_definitions(const KvReader& reader);
  net::Result<void> recover_days(const KvReader& reader);
  net::Result<void> recover_log(const KvReader& reader);

  // questions
  struct Found {
    SeriesPtr series;
    SeriesHead::Snapshot memory;
    bool on_disk = false;
    bool seen = false;  // by the scan that reads now
    Series out;
  };
  std::vector<SeriesPtr> find(const std::vector<CompiledMatcher>& matchers) const;
  net::Result<std::vector<Series>> select_series(const std::vector<CompiledMatcher>& matchers,
                                                 int64_t start, int64_t end,
                                                 const SelectLimits& limits) const;
  /// The histograms that some classic series each are to be made of.
  net::Result<std::vector<Series>> select_for_classic(const std::vector<CompiledMatcher>& matchers,
                                                      int64_t start, int64_t end,
                                                      const SelectLimits& limits,
                                                      size_t made_of_each) const;
  /// One question's bounds, and what all threads that read for it have read.
  struct Reading {
    const int64_t start, end;
    const SelectLimits& limits;
    std::atomic<uint64_t> samples{0}, from_disk{0};
  };
  /// The points of these series, from disk and memory. Several threads may each read some.
  net::Result<void> read_series(std::span<Found> found, Reading& reading) const;
  net::Result<void> read_disk(std::span<Found> found, Reading& reading) const;
  using Wanted = std::vector<Found*>;
  /// All chunks of a day. The range thins only where the day is packed and nothing came late.
  net::Result<void> read_day(Family day, const Wanted& wanted, const PointRange& range,
                             Reading& reading) const;
  /// Of a packed day: from thinned points where there are some; leaves in `wanted` the series of
  /// which late points are in memory.
  net::Result<void> read_packed_day(Family day, Wanted& wanted, Reading& reading) const;
  /// In which form a day's points are read: chunks, roll-ups (thinned) or sums.
  struct Shelf {
    Table table = Table::series_chunk;
    RollupLevel level{};  // of the latter two
    [[nodiscard]] std::string first_key(uint32_t series) const;
    /// Where in a key the series' number stands.
    [[nodiscard]] size_t id_at() const { return table == Table::series_chunk ? 1 : 2; }
  };
  /// The roll-ups and sums that this question can be answered from, the coarsest first.
  static std::vector<Shelf> shelves_for(const Reading& reading);
  /// Reads roll-ups where there are some, and leaves in `wanted` the series that have none.
  net::Result<void> read_rolled(Family day, const Shelf& shelf, Wanted& wanted,
                                Reading& reading) const;
  net::Result<void> read_chunks(Family day, const Wanted& wanted, const PointRange& range,
                                Reading& reading, const Shelf& shelf) const;
  /// What was read of a day whose chunks may overlap, put in order and thinned.
  void thin_day(Family day, Found& found, size_t first_histogram, Reading& reading) const;
  /// What was read of a day becomes sums, so that a long question holds one day's points only.
  void sum_day(Family day, Found& found, size_t first_sample, Reading& reading) const;
  net::Result<void> read_chunk(Family day, Found& found, std::string_view value,
                               const PointRange& range, Reading& reading, const Shelf& shelf) const;
  net::Result<std::vector<Exemplar>> read_exemplars(uint32_t series, int64_t start,
                                                    int64_t end) const;
  int64_t oldest_kept() const;
  // Neighbours share a stripe: the points of a batch come mostly in the order of their series.
  std::mutex& stripe(uint32_t id) const { return stripes_[id / 64 % kStripes]; }

  const SeriesStoreOptions options_;
  const KvReader* reader_ = nullptr;

  mutable std::shared_mutex mutex_;
  std::map<uint32_t, SeriesPtr> series_;
  SeriesIndex index_;
  std::map<uint32_t, SeriesSet> days_;
  std::map<std::string, MetricMetadata> metrics_;
  mutable std::array<std::mutex, kStripes> stripes_;

  // the commit thread's
  SeriesByKey by_raw_key_;
  // The metric of the point before, within one batch: most points have their neighbour's.
  struct MetricKey {
    std::pair<const char*, size_t> name{}, unit{};  // where they stand
    uint32_t resource = 0;
    bool counter = false;
    bool operator==(const MetricKey&) const = default;
  };
  MetricKey last_metric_;
  SeriesByKey::Hash last_metric_hash_;
  SeriesByKey by_labels_;  // by label_bytes()
  std::atomic<uint64_t> series_bytes_{0};
  uint32_t next_id_ = 1;
  std::vector<StagedPoint> staged_points_;
  std::vector<StoredSeries*> staged_series_, staged_definitions_;
  std::vector<std::pair<uint32_t, uint32_t>> staged_days_;  // day, series
  uint64_t overflowed_in_group_ = 0;
  std::set<uint32_t> sealed_days_;  // points of these are too late
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
  std::shared_ptr<Slice> slice_;             // handed to another thread until `finished`
  std::optional<Family> compacting_;
  uint32_t compact_from_ = 0;
  bool sealed_while_compacting_ = false;
  std::vector<uint32_t> marks_pending_;       // written, not yet known to be durable
  std::map<uint32_t, uint64_t> sealed_into_;  // day -> Unix seconds of the last chunk
  std::set<uint32_t> compacted_;              // mutex_
  std::set<uint32_t> unsummed_;               // of these: done by a version that stored no sums
  std::atomic<int64_t> now_millis_{0};        // the engine's clock, for exact expiry
  std::atomic<uint64_t> expired_days_{0};
  std::atomic<uint64_t> compacted_samples_{0}, compacted_bytes_{0}, rollup_bytes_{0};

  std::atomic<uint64_t> samples_appended_{0}, samples_rejected_{0}, overflowed_{0}, head_bytes_{0},
      head_samples_{0};
  mutable std::atomic<uint64_t> corrupt_chunks_{0};  // met by questions since the start
};

}  // namespace hms::collector
