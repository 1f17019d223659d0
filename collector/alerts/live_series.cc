// live_series.cc: readings per second, filled forward when asked for.
#include "collector/alerts/live_series.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <vector>

#include "collector/live/http_points.h"
#include "collector/store/series_labels.h"
#include "collector/store/series_regex.h"

namespace hms::collector {
namespace {

using telemetry::Histogram;

constexpr int64_t kKeepSeconds = 130;
constexpr int64_t kReachMillis = 120'000;  // how far back a question may begin
// Differences over a range need its ends; every sample in between only costs.
constexpr int64_t kMostSamples = 12;
constexpr size_t kMaxSeries = 10'000;
// Every series starts here instead of at 0. PromQL does not extrapolate a counter below 0, and a
// status code seen for the first time would weigh less than those that have been there for long;
// differences, the only thing asked of these series, are the same.
constexpr uint64_t kBase = 1ULL << 40;
constexpr std::string_view kServerName = "http_server_request_duration_seconds";
constexpr std::string_view kClientName = "http_client_request_duration_seconds";

struct Reading {
  int64_t second = 0;
  std::shared_ptr<const Histogram> value;  // cumulative at the end of that second
};

struct LiveOne {
  LabelSet labels;
  std::vector<Reading> readings;            // rising, only where something was added
  std::shared_ptr<const Histogram> before;  // the value before the first reading
};

std::shared_ptr<const Histogram> base_value() {
  static const auto base = [] {
    auto made = std::make_shared<Histogram>();
    made->zero_count = kBase;
    made->count = kBase;
    return std::shared_ptr<const Histogram>(std::move(made));
  }();
  return base;
}

std::shared_ptr<const Histogram> sum_of(const Histogram& one, const Histogram& other) {
  auto sum = std::make_shared<Histogram>(one);
  sum->merge(other);
  return sum;
}

class Live final : public LiveSeries {
 public:
  Live(const SeriesSource* store, net::Clock clock)
      : store_(store), clock_(clock ? std::move(clock) : net::Clock(net::unix_nanos)) {
    begin_second_ = now_second();
  }

  void add(const AcceptedBatch& batch) override {
    if (!batch.metrics) return;
    const std::lock_guard lock(mutex_);
    const int64_t now = now_second();
    for (const auto& point : batch.metrics->points) {
      const PointFamily family = family_of(point);
      if (family != PointFamily::server && family != PointFamily::client) continue;
      if (point.temporality != telemetry::Temporality::delta) {
        foreign_seen_ = now;  // a cumulative sender: the store knows its series
        continue;
      }
      add_point(*batch.metrics, point, now);
    }
    if (now - last_tidy_ >= 10) tidy(now);
  }

  size_t series_count() const override {
    const std::lock_guard lock(mutex_);
    return series_.size();
  }

  net::Result<std::vector<Series>> select(const std::vector<LabelMatcher>& matchers, int64_t start,
                                          int64_t end, const SelectLimits& limits) const override {
    if (!answers(matchers, start)) return from_store(matchers, start, end, limits);
    auto compiled = compile_matchers(matchers);
    if (!compiled) return compiled.error();
    std::vector<Series> found;
    bool foreign = false;
    bool overflowed = false;
    {
      const std::lock_guard lock(mutex_);
      overflowed = overflowed_;
      foreign = foreign_seen_ >= now_second() - kKeepSeconds;
      for (const auto& [labels, one] : series_) {
        if (fits(*compiled, labels)) add_series(one, start, end, found);
      }
    }
    if (overflowed) return from_store(matchers, start, end, limits);
    if (foreign) {
      auto stored = from_store(matchers, start, end, limits);
      if (!stored) return stored;
      for (Series& series : *stored) {
        if (!knows(series.labels)) found.push_back(std::move(series));
      }
      std::sort(found.begin(), found.end(),
                [](const Series& a, const Series& b) { return a.labels < b.labels; });
    }
    return found;
  }

  net::Result<std::vector<LabelSet>> series(const std::vector<LabelMatcher>& matchers,
                                            int64_t start, int64_t end,
                                            const SelectLimits& limits) const override {
    if (store_ != nullptr) return store_->series(matchers, start, end, limits);
    return std::vector<LabelSet>();
  }

  std::vector<MetricMetadata> metadata() const override {
    return store_ != nullptr ? store_->metadata() : std::vector<MetricMetadata>();
  }

 private:
  [[nodiscard]] int64_t now_second() const {
    return static_cast<int64_t>(clock_() / 1'000'000'000ULL);
  }

  [[nodiscard]] bool answers(const std::vector<LabelMatcher>& matchers, int64_t start) const {
    const int64_t now = now_second() * 1000;
    if (start < now - kReachMillis || start < begin_second_ * 1000) return false;
    return std::any_of(matchers.begin(), matchers.end(), [](const LabelMatcher& matcher) {
      return matcher.name == "__name__" && matcher.kind == LabelMatcher::Kind::equal &&
             (matcher.value == kServerName || matcher.value == kClientName);
    });
  }

  [[nodiscard]] net::Result<std::vector<Series>> from_store(
      const std::vector<LabelMatcher>& matchers, int64_t start, int64_t end,
      const SelectLimits& limits) const {
    if (store_ == nullptr) return std::vector<Series>();
    return store_->select(matchers, start, end, limits);
  }

  [[nodiscard]] bool knows(const LabelSet& labels) const {
    const std::lock_guard lock(mutex_);
    return series_.contains(labels);
  }

  [[nodiscard]] static bool fits(const std::vector<CompiledMatcher>& matchers,
                                 const LabelSet& labels) {
    return std::all_of(matchers.begin(), matchers.end(), [&](const CompiledMatcher& matcher) {
      return matcher.matches(label_value(labels, matcher.name()));
    });
  }

  /// One sample at the end of each second within (start, end]; of a longer range every few seconds,
  /// its first and its last always.
  static void add_series(const LiveOne& one, int64_t start, int64_t end,
                         std::vector<Series>& found) {
    const int64_t first = start / 1000 + 1;  // in end-of-second numbers
    const int64_t last = end / 1000;
    if (one.readings.empty() || one.readings.back().second + 1 < first)
      return;  // nothing happened in there
    Series series;
    series.labels = one.labels;
    size_t at = 0;
    std::shared_ptr<const Histogram> value = one.before;
    const int64_t step = std::max<int64_t>(1, (last - first) / kMostSamples);
    for (int64_t mark = first; mark <= last; ++mark) {
      while (at < one.readings.size() && one.readings[at].second + 1 <= mark)
        value = one.readings[at++].value;
      if ((last - mark) % step == 0 || mark == first)
        series.histograms.push_back({mark * 1000, value});
    }
    found.push_back(std::move(series));
  }

  void add_point(const telemetry::MetricBatch& batch, const telemetry::MetricPointView& point,
                 int64_t now) {
    if (point.histogram >= batch.histograms.size()) return;
    const Histogram& delta = batch.histograms[point.histogram];
    const int64_t second = middle_second(point.start_unix_nanos, point.time_unix_nanos);
    if (delta.count == 0 || second < now - kKeepSeconds || second > now + 60) return;
    LabelSet labels = series_labels(batch, point);
    auto at = series_.find(labels);
    if (at == series_.end()) {
      if (series_.size() >= kMaxSeries) {
        overflowed_ = true;
        return;
      }
      LiveOne one;
      one.labels = labels;
      one.before = base_value();
      at = series_.emplace(std::move(labels), std::move(one)).first;
    }
    add_delta(at->second, second, delta);
  }

  /// Adds to the reading of that second and to all later ones (a late batch).
  static void add_delta(LiveOne& one, int64_t second, const Histogram& delta) {
    auto place = std::lower_bound(
        one.readings.begin(), one.readings.end(), second,
        [](const Reading& reading, int64_t wanted) { return reading.second < wanted; });
    if (place == one.readings.end() || place->second != second) {
      std::shared_ptr<const Histogram> previous =
          place == one.readings.begin() ? one.before : std::prev(place)->value;
      place = one.readings.insert(place, Reading{second, std::move(previous)});
    }
    for (; place != one.readings.end(); ++place) place->value = sum_of(*place->value, delta);
  }

  /// Readings older than anyone may ask for become the value before; silent series go.
  void tidy(int64_t now) {
    last_tidy_ = now;
    const int64_t oldest = now - kKeepSeconds;
    for (auto it = series_.begin(); it != series_.end();) {
      auto& readings = it->second.readings;
      const auto keep = std::find_if(readings.begin(), readings.end(), [&](const Reading& reading) {
        return reading.second >= oldest;
      });
      if (keep != readings.begin()) {
        it->second.before = std::prev(keep)->value;
        readings.erase(readings.begin(), keep);
      }
      it = readings.empty() ? series_.erase(it) : std::next(it);
    }
    if (series_.size() < kMaxSeries) overflowed_ = false;
  }

  const SeriesSource* store_;
  net::Clock clock_;
  mutable std::mutex mutex_;
  std::map<LabelSet, LiveOne> series_;
  int64_t begin_second_ = 0;
  int64_t last_tidy_ = 0;
  int64_t foreign_seen_ = -1'000'000;
  bool overflowed_ = false;
};

}  // namespace

std::unique_ptr<LiveSeries> make_live_series(const SeriesSource* store, net::Clock clock) {
  return std::make_unique<Live>(store, std::move(clock));
}

}  // namespace hms::collector
