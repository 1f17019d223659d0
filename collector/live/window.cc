// window.cc: interned series, one slot of cells a second, and the rules about whose numbers count.
#include "collector/live/window.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <unordered_map>

#include "collector/live/cumulative_histograms.h"
#include "collector/live/histogram_parts.h"
#include "collector/live/http_points.h"
#include "collector/live/packed_histogram.h"
#include "collector/live/pending_requests.h"
#include "collector/live/sender_clock.h"
#include "collector/live/series_key.h"
#include "collector/live/trace_examples.h"

namespace hms::collector {
namespace {

using telemetry::Histogram;

constexpr int64_t kMeasuredHoldsSeconds =
    60;  // how long HTTP metrics keep a service's spans and timings out
constexpr int64_t kFutureSeconds = 60;  // a clock further ahead than this is not believed
constexpr int64_t kMaxSpreadSeconds = 60;
constexpr uint64_t kSpreadAfterNanos = 1'500'000'000ULL;
constexpr size_t kMaxServices = 2'000;
constexpr std::string_view kOther = "other";

struct Series {
  std::string service, route, upstream;
  bool outbound = false;
  bool derived = false;  // from spans or timings: silent while the service has HTTP metrics
  int64_t last_second = 0;
};

struct Cell {
  uint32_t series = 0;
  uint64_t requests = 0, errors = 0;
  double sum = 0;
  std::string packed;
};

struct Slot {
  int64_t second = -1;
  std::vector<Cell> cells;  // by series
};

constexpr uint32_t kNoSeries = UINT32_MAX;

/// What spans of one batch with the same sender and attributes have in common.
struct KnownSpan {
  uint64_t batch = 0;
  uint32_t resource = 0, attributes = 0;
  HttpLabels labels;
  uint32_t series = kNoSeries;
};

struct Measured {
  int64_t first = 0, last = 0;  // seconds with HTTP metrics of this service
};

double millis_or_zero(double seconds) { return std::isfinite(seconds) ? seconds * 1000 : 0; }

class Window final : public LiveWindow {
 public:
  explicit Window(LiveWindowOptions options)
      : options_(std::move(options)), slots_(static_cast<size_t>(options_.seconds)) {
    if (!options_.clock) options_.clock = net::unix_nanos;
  }

  void add(const AcceptedBatch& batch) override {
    now_ = static_cast<int64_t>(options_.clock() / 1'000'000'000ULL);
    if (batch.metrics) add_metrics(*batch.metrics);
    if (batch.traces) add_traces(*batch.traces);
    shed();
    if (now_ - last_tidy_ >= 60) tidy();
  }

  WindowTotals totals(const WindowFilter& filter, int64_t begin, int64_t end) const override {
    settle();
    WindowTotals totals;
    HistogramSum sum;
    double seconds = 0;
    begin = std::max(begin, oldest_allowed());
    end = std::min(end, newest_ + 1);
    for (int64_t second = begin; second < end; ++second) {
      const Slot& slot = slot_of(second);
      if (slot.second != second) continue;
      for (const Cell& cell : slot.cells) {
        const Series& series = series_[cell.series];
        if (series.outbound != filter.outbound || hidden(series, second)) continue;
        if (!filter.service.empty() && series.service != filter.service) continue;
        if (!filter.route.empty() && series.route != filter.route) continue;
        if (!filter.upstream.empty() && series.upstream != filter.upstream) continue;
        totals.requests += cell.requests;
        totals.errors += cell.errors;
        seconds += cell.sum;
        sum.add(cell.packed);
      }
    }
    totals.duration = sum.result();
    totals.duration.sum = seconds;
    return totals;
  }

  std::vector<LivePoint> points(int64_t second) const override {
    struct Sum {
      uint64_t requests = 0, errors = 0;
      std::vector<const Cell*> cells;
    };
    settle();
    std::map<std::pair<std::string_view, std::string_view>, Sum> by_route;
    const Slot& slot = slot_of(second);
    if (slot.second != second) return {};
    for (const Cell& cell : slot.cells) {
      const Series& series = series_[cell.series];
      if (series.outbound || hidden(series, second)) continue;
      Sum& sum = by_route[{series.service, series.route}];
      sum.requests += cell.requests;
      sum.errors += cell.errors;
      sum.cells.push_back(&cell);
    }
    std::vector<LivePoint> points;
    for (const auto& [key, sum] : by_route) {
      if (sum.requests == 0) continue;
      HistogramSum duration;
      for (const Cell* cell : sum.cells) duration.add(cell->packed);
      const Histogram all = duration.result();
      LivePoint point;
      point.ts_millis = second * 1000;
      point.service = key.first;
      point.route = key.second;
      point.count = sum.requests;
      point.rps = static_cast<double>(sum.requests);
      point.error_rate = static_cast<double>(sum.errors) / static_cast<double>(sum.requests);
      point.p50 = millis_or_zero(all.quantile(0.5));
      point.p95 = millis_or_zero(all.quantile(0.95));
      point.p99 = millis_or_zero(all.quantile(0.99));
      points.push_back(std::move(point));
    }
    return points;
  }

  std::vector<std::string> services() const override {
    std::set<std::string> names;
    for (const Series& series : series_) {
      if (!series.outbound && series.last_second >= oldest_allowed() && series.last_second > 0)
        names.insert(series.service);
    }
    return {names.begin(), names.end()};
  }

  std::vector<int64_t> take_changed_seconds() override {
    settle();  // what comes next for a cell tells its second again
    std::vector<int64_t> changed(changed_.begin(), changed_.end());
    changed_.clear();
    return changed;
  }

  Completeness completeness(int64_t second) const override {
    return senders_.completeness(second, static_cast<int64_t>(options_.clock() / 1'000'000'000ULL));
  }

  std::vector<TraceExample> examples(const std::string& service, int64_t since,
                                     size_t limit) const override {
    return examples_.of(service, since, limit);
  }

  WindowStats stats() const override {
    settle();
    WindowStats stats = stats_;
    stats.series = series_index_.size();
    return stats;
  }

 private:
  using SeriesIndex =
      std::unordered_map<SeriesKey<std::string>, uint32_t, SeriesKeyHash, SeriesKeyEqual>;

  [[nodiscard]] int64_t oldest_allowed() const { return newest_ - options_.seconds + 1; }
  [[nodiscard]] Slot& slot_of(int64_t second) const {
    return slots_[static_cast<size_t>(((second % options_.seconds) + options_.seconds) %
                                      options_.seconds)];
  }
  [[nodiscard]] bool hidden(const Series& series, int64_t second) const {
    if (!series.derived) return false;
    const auto at = measured_.find(series.service);
    return at != measured_.end() && second >= at->second.first - kMeasuredHoldsSeconds &&
           second <= at->second.last + kMeasuredHoldsSeconds;
  }

  // --- metrics

  void add_metrics(const telemetry::MetricBatch& batch) {
    // Batches of ten thousand counters pass here too, on the loop: their points need no look.
    for (size_t i = 0; !batch.histograms.empty() && i < batch.points.size(); ++i) {
      const PointFamily family = family_of(batch.points[i]);
      if (family != PointFamily::none) add_point(batch, batch.points[i], family);
    }
    const bool any_instance =
        std::any_of(batch.resources.begin(), batch.resources.end(),
                    [](const auto& resource) { return !resource.service_instance.empty(); });
    for (size_t i = 0; any_instance && i < batch.points.size(); ++i)
      senders_.note(batch, batch.points[i], now_);
  }

  void add_point(const telemetry::MetricBatch& batch, const telemetry::MetricPointView& point,
                 PointFamily family) {
    if (point.histogram >= batch.histograms.size()) return;
    const auto& resource = batch.resources[point.resource];
    if (family == PointFamily::server)
      note_measured(std::string(resource.service_name),
                    middle_second(point.start_unix_nanos, point.time_unix_nanos));
    const Histogram* delta = &batch.histograms[point.histogram];
    Histogram difference;
    uint64_t start = point.start_unix_nanos;
    if (point.temporality == telemetry::Temporality::cumulative) {
      if (!cumulative_.difference_of(batch, point, now_, difference, start)) return;
      delta = &difference;
    }
    if (delta->count == 0) return;
    if (family == PointFamily::timing) {
      if (point.unit == "ms") {
        difference = in_seconds(*delta);
        delta = &difference;
      }
      add_interval(resource.service_name, timing_labels(batch, point), false, true, *delta, start,
                   point.time_unix_nanos);
      return;
    }
    add_interval(resource.service_name, http_labels(batch, point), family == PointFamily::client,
                 false, *delta, start, point.time_unix_nanos);
  }

  void add_interval(std::string_view service, const HttpLabels& labels, bool outbound, bool derived,
                    const Histogram& delta, uint64_t start, uint64_t end) {
    const uint64_t length = start != 0 && start < end ? end - start : 0;
    if (length <= kSpreadAfterNanos) {
      add_second(middle_second(start, end), service, labels, outbound, derived, delta);
      return;
    }
    const auto last = static_cast<int64_t>((end - 1) / 1'000'000'000ULL);
    const auto parts = std::min<int64_t>(
        kMaxSpreadSeconds, static_cast<int64_t>((length + 500'000'000ULL) / 1'000'000'000ULL));
    for (int64_t i = 0; i < parts; ++i) {
      const Histogram part = part_of(delta, static_cast<uint64_t>(i), static_cast<uint64_t>(parts));
      if (part.count > 0)
        add_second(last - parts + 1 + i, service, labels, outbound, derived, part);
    }
  }

  void add_second(int64_t second, std::string_view service, const HttpLabels& labels, bool outbound,
                  bool derived, const Histogram& delta) {
    Cell* const cell = cell_of(second, service, labels, outbound, derived);
    if (cell == nullptr) return;
    stats_.bytes -= cell->packed.capacity();
    cell->requests += delta.count;
    if (labels.error) cell->errors += delta.count;
    cell->sum += delta.sum;
    if (cell->packed.empty()) {
      cell->packed = pack_histogram(delta);
    } else {
      HistogramSum sum;
      sum.add(cell->packed);
      sum.add(pack_histogram(delta));
      cell->packed = pack_histogram(sum.result());
    }
    cell->packed.shrink_to_fit();
    stats_.bytes += cell->packed.capacity();
    shed();
  }

  [[nodiscard]] bool in_reach(int64_t second) {
    const bool in =
        second <= now_ + kFutureSeconds && second > std::max(newest_, now_) - options_.seconds;
    if (!in) ++stats_.records_out_of_range;
    return in;
  }

  /// There are requests of a second in reach.
  void note_second(int64_t second) {
    newest_ = std::max(newest_, second);
    Slot& slot = slot_of(second);
    if (slot.second != second) clear(slot, second);
    changed_.insert(second);
    if (changed_.size() > static_cast<size_t>(options_.seconds)) changed_.erase(changed_.begin());
  }

  /// Where a second of a series is counted; null when it is out of reach.
  Cell* cell_of(int64_t second, std::string_view service, const HttpLabels& labels, bool outbound,
                bool derived) {
    if (!in_reach(second)) return nullptr;
    // A sender's clock that runs ahead: its seconds count when they come, or its alert would wait.
    second = std::min(second, now_);
    note_second(second);
    return &cell_in(slot_of(second),
                    series_id(service, labels.route, labels.upstream, outbound, derived, second));
  }

  Cell& cell_in(Slot& slot, uint32_t series) const {
    const auto cell =
        std::lower_bound(slot.cells.begin(), slot.cells.end(), series,
                         [](const Cell& c, uint32_t wanted) { return c.series < wanted; });
    if (cell != slot.cells.end() && cell->series == series) return *cell;
    const auto added = slot.cells.insert(cell, Cell{});
    added->series = series;
    ++stats_.cells;
    stats_.bytes += sizeof(Cell) + added->packed.capacity();
    return *added;
  }

  void note_measured(const std::string& service, int64_t second) {
    const auto at = measured_.find(service);
    if (at != measured_.end()) {
      // A pause longer than the hold begins a new stretch: spans counted in between stay.
      if (second > at->second.last + 2 * kMeasuredHoldsSeconds) at->second.first = second;
      at->second.first = std::min(at->second.first, second);
      at->second.last = std::max(at->second.last, second);
    } else if (measured_.size() < kMaxServices) {
      measured_[service] = {second, second};
    }
  }

  // --- traces

  void add_traces(const telemetry::TraceBatch& batch) {
    ++batches_;
    std::vector<bool> measured;
    for (const auto& resource : batch.resources) {
      const auto at = measured_.find(std::string(resource.service_name));
      measured.push_back(at != measured_.end() && now_ <= at->second.last + kMeasuredHoldsSeconds);
    }
    for (const auto& span : batch.spans) {
      if (!is_request_span(span)) continue;
      const std::string_view service = batch.resources[span.resource].service_name;
      KnownSpan& known = known_span(batch, span);
      HttpLabels labels = known.labels;
      labels.error = labels.error || span.status == telemetry::SpanStatus::error;
      examples_.note(service, span, labels, now_);
      if (!measured[span.resource]) add_span(span, service, labels, known);
    }
  }

  /// Senders repeat the attributes of a route, and then those spans name one range of the batch.
  KnownSpan& known_span(const telemetry::TraceBatch& batch, const telemetry::SpanView& span) {
    const uint32_t attributes = span.attributes.begin;
    KnownSpan& known = known_spans_[(attributes * 0x9E3779B1U >> 8) % known_spans_.size()];
    if (known.batch != batches_ || known.resource != span.resource ||
        known.attributes != attributes || span.attributes.begin == span.attributes.end) {
      known = {batches_, span.resource, attributes, span_labels(batch, span), kNoSeries};
      // What is the span's own must not be another one's.
      if (known.labels.error || known.labels.route.data() == span.name.data()) known.batch = 0;
    }
    return known;
  }

  void add_span(const telemetry::SpanView& span, std::string_view service, const HttpLabels& labels,
                KnownSpan& known) {
    auto second = static_cast<int64_t>(span.end_unix_nanos / 1'000'000'000ULL);
    if (!in_reach(second)) return;
    second = std::min(second, now_);  // as in cell_of
    uint32_t series = known.series;
    if (series == kNoSeries) {
      const uint64_t folded = stats_.routes_folded;
      series = series_id(service, labels.route, labels.upstream, false, true, second);
      if (stats_.routes_folded == folded) known.series = series;  // each folded one is counted
    }
    const uint64_t nanos = span.end_unix_nanos > span.start_unix_nanos
                               ? span.end_unix_nanos - span.start_unix_nanos
                               : 0;
    PendingRequests::Entry& entry = pending_.entry_of(
        second, series,
        [this](PendingRequests::Entry& other) {
          count_pending(other);
          shed();
        },
        [&] {
          note_second(second);
          note_series(series, second);
        });
    entry.slots[entry.count++] = packed_slot(nanos);
    entry.errors = static_cast<uint16_t>(entry.errors + (labels.error ? 1 : 0));
    entry.sum += static_cast<double>(nanos) / 1e9;
  }

  /// Puts it into its cell, unless its second was dropped meanwhile.
  void count_pending(PendingRequests::Entry& entry) const {
    Slot& slot = slot_of(entry.second);
    if (slot.second != entry.second) return;
    Cell& cell = cell_in(slot, entry.series);
    cell.requests += entry.count;
    cell.errors += entry.errors;
    cell.sum += entry.sum;
    stats_.bytes -= cell.packed.capacity();
    pack_more(cell.packed, entry.filled());
    stats_.bytes += cell.packed.capacity();
  }

  /// Before cells are looked at.
  void settle() const {
    pending_.take_all([this](PendingRequests::Entry& entry) { count_pending(entry); });
  }

  // --- series and bounds

  uint32_t series_id(std::string_view service, std::string_view route, std::string_view upstream,
                     bool outbound, bool derived, int64_t second) {
    SeriesKey<std::string_view> key{service, route, upstream, outbound, derived};
    auto at = series_index_.find(key);
    if (at == series_index_.end()) {
      if (!room_for_one_more()) {
        ++stats_.routes_folded;
        // Services beyond the bound fall together too: their number is what grew then.
        key.route = kOther;
        key.upstream = {};
        at = series_index_.find(key);
        if (at == series_index_.end() && series_index_.size() >= 2 * options_.max_routes) {
          key.service = kOther;
          at = series_index_.find(key);
        }
      }
      if (at == series_index_.end()) at = add_series(key);
    }
    note_series(at->second, second);
    return at->second;
  }

  void note_series(uint32_t id, int64_t second) {
    series_[id].last_second = std::max(series_[id].last_second, second);
  }

  SeriesIndex::iterator add_series(const SeriesKey<std::string_view>& key) {
    const SeriesKey<std::string> owned{std::string(key.service), std::string(key.route),
                                       std::string(key.upstream), key.outbound, key.derived};
    return series_index_.emplace(owned, new_series(owned)).first;
  }

  [[nodiscard]] bool room_for_one_more() {
    if (series_index_.size() < options_.max_routes) return true;
    if (now_ - last_tidy_ >= 10) tidy();
    return series_index_.size() < options_.max_routes;
  }

  uint32_t new_series(const SeriesIndex::key_type& key) {
    Series series{key.service, key.route, key.upstream, key.outbound, key.derived, 0};
    if (free_.empty()) {
      series_.push_back(std::move(series));
      return static_cast<uint32_t>(series_.size() - 1);
    }
    const uint32_t id = free_.back();
    free_.pop_back();
    series_[id] = std::move(series);
    return id;
  }

  /// Forgets what has not been heard of for as long as the window reaches. Also clears slots that
  /// time has passed by.
  void tidy() {
    last_tidy_ = now_;
    settle();  // numbers of series may be given to others
    const int64_t oldest = std::max(newest_, now_) - options_.seconds;
    for (Slot& slot : slots_) {
      if (slot.second >= 0 && slot.second <= oldest) clear(slot, -1);
    }
    for (auto it = series_index_.begin(); it != series_index_.end();) {
      if (series_[it->second].last_second <= oldest) {
        free_.push_back(it->second);
        series_[it->second] = Series{};
        it = series_index_.erase(it);
      } else {
        ++it;
      }
    }
    cumulative_.forget(now_);
    senders_.forget(now_);
    std::erase_if(measured_, [&](const auto& entry) {
      return entry.second.last < oldest - kMeasuredHoldsSeconds;
    });
    examples_.forget(now_);
  }

  void clear(Slot& slot, int64_t second) {
    for (const Cell& cell : slot.cells) stats_.bytes -= sizeof(Cell) + cell.packed.capacity();
    stats_.cells -= slot.cells.size();
    slot.cells = {};
    slot.second = second;
  }

  /// Over the memory bound: the oldest seconds that hold anything go.
  void shed() {
    while (stats_.bytes > options_.max_bytes) {
      Slot* oldest = nullptr;
      for (Slot& slot : slots_) {
        if (slot.second >= 0 && slot.second < newest_ && !slot.cells.empty() &&
            (oldest == nullptr || slot.second < oldest->second))
          oldest = &slot;
      }
      if (oldest == nullptr) return;
      clear(*oldest, -1);
      ++stats_.seconds_shed;
    }
  }

  LiveWindowOptions options_;
  mutable std::vector<Slot> slots_;  // mutable: settle()
  mutable PendingRequests pending_;
  int64_t now_ = 0;
  int64_t newest_ = 0;
  int64_t last_tidy_ = 0;
  std::vector<Series> series_;
  std::vector<uint32_t> free_;
  SeriesIndex series_index_;
  uint64_t batches_ = 0;
  std::vector<KnownSpan> known_spans_ = std::vector<KnownSpan>(1'024);
  std::unordered_map<std::string, Measured> measured_;
  SenderClock senders_;
  CumulativeHistograms cumulative_;
  TraceExamples examples_;
  std::set<int64_t> changed_;
  mutable WindowStats stats_;
};

}  // namespace

std::unique_ptr<LiveWindow> make_live_window(LiveWindowOptions options) {
  return std::make_unique<Window>(std::move(options));
}

}  // namespace hms::collector
