// series_store.h: every metric's points by label set: recent ones in memory heads backed by the
// log, older ones in compressed chunks per day.
//
// Names and labels are in Prometheus form
// (http_server_request_duration_seconds{service_name="claims"}). Delta points are added up per
// series, so that what is read is cumulative, as PromQL wants it; a histogram sample is a
// cumulative exponential histogram. Thread: prepare/committed/maintain on the commit thread, select
// from any.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "collector/parallel.h"
#include "collector/store/signal_store.h"
#include "net/core/clock.h"
#include "telemetry/histogram.h"
#include "telemetry/ids.h"

namespace hms::collector {

/// Sorted by name; `__name__` among them.
using LabelSet = std::vector<std::pair<std::string, std::string>>;

struct LabelMatcher {
  enum class Kind : uint8_t { equal, not_equal, matches, not_matches };
  std::string name;
  Kind kind = Kind::equal;
  std::string value;  // anchored RE2 for the last two
};

struct Sample {
  int64_t t_millis = 0;
  double value = 0;
};
struct HistogramSample {
  int64_t t_millis = 0;
  std::shared_ptr<const telemetry::Histogram> value;  // cumulative
  uint32_t left_out = 0;  // points between the one before and this one that were not asked for
};

/// Of each interval (origin + k * length, origin + (k + 1) * length] only a series' first and last
/// histogram and both sides of its resets are wanted (series_thinning.h); length 0: all of them.
struct Thinning {
  int64_t origin_millis = 0, length_millis = 0;
};

/// What some numbers of a series come to that follow each other (series_sums.h).
struct PointSums {
  int64_t t_millis = 0;  // of the last
  uint64_t count = 0;
  uint64_t changes = 0;  // from one to the next, as PromQL's changes() counts
  double sum = 0, first = 0, last = 0;
  double squares = 0;  // of the distances to their mean
};
/// Room that a row of sums takes, in samples.
inline constexpr uint64_t kSumsWeight = 4;

struct Series {
  LabelSet labels;
  std::vector<Sample> samples;  // rising in time
  std::vector<HistogramSample>
      histograms;  // rising in time; a series has one or the other, or both after a change of kind
  std::vector<PointSums>
      sums;  // in place of samples, where SelectLimits::sums asks; rising in time
};

struct Exemplar {
  int64_t t_millis = 0;
  double value = 0;
  telemetry::TraceId trace_id;
  telemetry::SpanId span_id;  // zero when not known
};
struct ExemplarSeries {
  LabelSet labels;
  std::vector<Exemplar> exemplars;  // rising in time
};

struct SelectLimits {
  uint64_t max_samples = 50'000'000;
  uint64_t max_series = 500'000;
  /// Asked now and then, from any thread that reads; true gives Code::canceled.
  std::function<bool()> cancelled;
  ParallelFor parallel;  // empty: this thread reads alone
  /// Not 0: of each interval of this length (left-open, counted from 1970) that lies within the
  /// range only the first, last, least and greatest point and counter resets matter, so that
  /// thinned points will do. Of those that the range's ends cut, all points are given.
  int64_t interval_millis = 0;
  Thinning histograms;
  /// With a length: of each of these intervals it is enough to know what its numbers come to
  /// (Series::sums). A source may still give samples. Then interval_millis is 0.
  Thinning sums;
  /// Points past the retention are not seen, though their day is still there (the lake reads it).
  bool hide_expired = false;
  std::function<void(const std::string&)> warn;  // told what is missing from the answer
};

struct MetricMetadata {
  std::string name, type, help, unit;  // type: counter | gauge | histogram
};

/// What PromQL reads from. Several stores can stand behind it (memory, disk, lake).
class SeriesSource {
 public:
  virtual ~SeriesSource() = default;
  /// Series that match, with points in (start, end] (left-open, as Prometheus 3), sorted by labels.
  /// Errors: bad_message (a matcher's regular expression), too_large (a limit, named), canceled.
  [[nodiscard]] virtual net::Result<std::vector<Series>> select(
      const std::vector<LabelMatcher>& matchers, int64_t start_millis, int64_t end_millis,
      const SelectLimits& limits) const = 0;
  /// Label sets only, of series with a point in the range.
  [[nodiscard]] virtual net::Result<std::vector<LabelSet>> series(
      const std::vector<LabelMatcher>& matchers, int64_t start_millis, int64_t end_millis,
      const SelectLimits& limits) const = 0;
  [[nodiscard]] virtual std::vector<MetricMetadata> metadata() const = 0;
  /// Exemplars of matching series in [start, end]; series without one are left out. Sources that
  /// keep none have none.
  [[nodiscard]] virtual net::Result<std::vector<ExemplarSeries>> exemplars(
      const std::vector<LabelMatcher>& /*matchers*/, int64_t /*start_millis*/,
      int64_t /*end_millis*/, const SelectLimits& /*limits*/) const {
    return std::vector<ExemplarSeries>();
  }
};

/// What makes series many: counts by metric, by label, by pair, the largest first.
struct Cardinality {
  struct Row {
    std::string name;
    uint64_t value = 0;
  };
  uint64_t series = 0, label_pairs = 0;
  std::vector<Row> series_by_metric, values_by_label, bytes_by_label, series_by_pair;
};

struct SeriesStoreOptions {
  uint64_t max_series = 200'000;  // beyond: points are counted in {__name__="hms_overflow"} instead
  uint64_t max_series_bytes = UINT64_MAX;  // the same, by the memory that all series take
  uint32_t retention_days =
      30;  // older points are rejected, as are those more than 5 minutes ahead of their arrival
  uint64_t seal_bytes =
      64ULL * 1024 *
      1024;  // of compressed points in memory: then they are stored as chunks and the log is cut
  uint32_t seal_seconds = 1800;  // or after this time
  bool drop_expired = false;     // their days are kept longer for other signals: taken out of them
  bool keep_expired = false;  // days past the retention wait for the lake, and are seen until then
  /// Runs the packing of past days on another thread; false: not now. Null: on the commit thread.
  /// What it was given must have run, or never run, before the store goes.
  std::function<bool(std::function<void()>)> run_beside;
  net::Clock clock = net::unix_nanos;  // says when the log's present part began; commit thread
};

class SeriesStore : public SignalStore, public SeriesSource {
 public:
  struct Stats {
    uint64_t series = 0, head_samples = 0, samples_appended = 0, samples_rejected = 0,
             overflowed = 0, head_bytes = 0;
    uint64_t head_blocks = 0, corrupt_chunks = 0;
    uint64_t series_bytes = 0;  // of labels, index and what a series holds besides its points
    uint64_t expired_days = 0;  // since the start
    uint64_t compacted_samples = 0, compacted_bytes = 0, rollup_bytes = 0;  // since the start
    int64_t head_first_millis = 0, head_last_millis = 0;                    // 0: nothing in memory
  };
  [[nodiscard]] virtual Stats stats() const = 0;
  /// The first `limit` rows of each table. Cost: a walk through all label values.
  [[nodiscard]] virtual Cardinality cardinality(size_t limit) const = 0;
};
[[nodiscard]] std::unique_ptr<SeriesStore> make_series_store(const SeriesStoreOptions& options);

}  // namespace hms::collector
