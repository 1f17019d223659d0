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

#include "collector/store/signal_store.h"
#include "telemetry/histogram.h"

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
};

struct Series {
  LabelSet labels;
  std::vector<Sample> samples;  // rising in time
  std::vector<HistogramSample>
      histograms;  // rising in time; a series has one or the other, or both after a change of kind
};

struct SelectLimits {
  uint64_t max_samples = 50'000'000;
  uint64_t max_series = 500'000;
  std::function<bool()> cancelled;               // asked now and then; true gives Code::canceled
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
};

struct SeriesStoreOptions {
  uint64_t max_series = 200'000;  // beyond: points are counted in {__name__="hms_overflow"} instead
  uint32_t retention_days =
      30;  // older points are rejected, as are those more than 5 minutes ahead of their arrival
  uint64_t seal_bytes =
      64ULL * 1024 *
      1024;  // of compressed points in memory: then they are stored as chunks and the log is cut
  uint32_t seal_seconds = 1800;  // or after this time
};

class SeriesStore : public SignalStore, public SeriesSource {
 public:
  struct Stats {
    uint64_t series = 0, head_samples = 0, samples_appended = 0, samples_rejected = 0,
             overflowed = 0, head_bytes = 0;
  };
  [[nodiscard]] virtual Stats stats() const = 0;
};
[[nodiscard]] std::unique_ptr<SeriesStore> make_series_store(const SeriesStoreOptions& options);

}  // namespace hms::collector
