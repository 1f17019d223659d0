// series_recovery.cc: start-up: definitions, who has points on which day, and the heads from the
// log. See series_store_impl.h.
#include <algorithm>
#include <condition_variable>
#include <deque>
#include <thread>

#include "collector/store/keys.h"
#include "collector/store/series_definition.h"
#include "collector/store/series_store_impl.h"
#include "net/core/clock.h"
#include "net/core/log.h"

namespace hms::collector {
namespace {

/// One entry of the log as points, up to the fault if there is one.
struct LoggedPoints {
  std::vector<StagedPoint> points;
  std::optional<net::Error> fault;
};

/// Reads the entries one after the other on a thread of its own, a few ahead of who asks for them:
/// unpacking one goes on beside filling the heads from the one before.
class LogReader {
 public:
  /// `by_id`: the series there are; points of others are left out. Both must outlive it.
  LogReader(const std::vector<std::string_view>& entries, const std::vector<StoredSeries*>& by_id)
      : entries_(entries), by_id_(by_id), histograms_(by_id.size()), thread_([this] { run(); }) {}
  ~LogReader() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  LogReader(const LogReader&) = delete;
  LogReader& operator=(const LogReader&) = delete;

  /// The next entry's; not more often than there are entries.
  LoggedPoints next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !read_.empty(); });
    LoggedPoints out = std::move(read_.front());
    read_.pop_front();
    changed_.notify_all();
    return out;
  }

 private:
  static constexpr size_t kAhead = 4;

  void run() {
    for (const std::string_view entry : entries_) {
      LoggedPoints out = read(entry);
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopped_ || read_.size() < kAhead; });
      if (stopped_) return;
      read_.push_back(std::move(out));
      changed_.notify_all();
    }
  }

  LoggedPoints read(std::string_view entry) {
    LoggedPoints out;
    SeriesLogReader reader;
    const auto known = [this](uint32_t id) { return id < by_id_.size() ? by_id_[id] : nullptr; };
    reader.before = [this](uint32_t id) {
      return id < histograms_.size() ? histograms_[id] : nullptr;
    };
    reader.point = [&](uint32_t id, SeriesPoint point) {
      StoredSeries* const series = known(id);
      if (series == nullptr) return;
      if (point.histogram) histograms_[id] = point.histogram;
      out.points.push_back({series, std::move(point)});
    };
    if (auto done = read_series_log(entry, reader); !done) out.fault = done.error();
    return out;
  }

  const std::vector<std::string_view>& entries_;
  const std::vector<StoredSeries*>& by_id_;
  std::vector<HistogramPtr> histograms_;  // the thread's: each series' last one
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<LoggedPoints> read_;  // mutex_
  bool stopped_ = false;           // mutex_
  std::thread thread_;
};

/// How many points the heads took. Points go from series to series, and each is away from the
/// caches: what the next ones need is fetched ahead.
uint64_t into_heads(const std::vector<StagedPoint>& points) {
  uint64_t taken = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    if (i + 16 < points.size()) prefetch_series(points[i + 16].series);
    if (i + 8 < points.size()) points[i + 8].series->head.prefetch();
    StoredSeries& series = *points[i].series;
    const SeriesPoint& point = points[i].point;
    Total& total = series.total;
    if (point.histogram) {
      total.histogram = point.histogram;
    } else if (std::bit_cast<uint64_t>(point.value) != std::bit_cast<uint64_t>(stale_marker())) {
      total.value = point.value;
    }
    total.last_millis = std::max(total.last_millis, point.t_millis);
    if (series.head.add(point)) ++taken;
  }
  return taken;
}

}  // namespace

net::Result<void> SeriesStoreImpl::recover(const KvReader& reader) {
  reader_ = &reader;
  if (auto done = recover_definitions(reader); !done) return done;
  if (auto done = recover_days(reader); !done) return done;
  if (const auto until = reader.get(Family::meta(), table_key(Table::series_chunk));
      until.ok() && until->size() == 8) {
    sealed_until_millis_ = static_cast<int64_t>(read_be64(*until));
  }
  return recover_log(reader);
}

net::Result<void> SeriesStoreImpl::recover_definitions(const KvReader& reader) {
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
        keep_series(std::move(series));
        return true;
      });
  if (broken > 0)
    net::log_error("series definitions are corrupt; their series are not shown",
                   {{"count", broken}});
  return scanned;
}

net::Result<void> SeriesStoreImpl::recover_days(const KvReader& reader) {
  const std::string begin = table_key(Table::series_definition);
  for (const Family day : reader.days()) {
    SeriesSet& set = days_[day.day];
    auto scanned = reader.scan(day, begin, std::string(1, static_cast<char>(begin[0] + 1)),
                               [&](std::string_view key, std::string_view /*value*/) {
                                 if (key.size() == 5) set.insert(read_be32(key.substr(1)));
                                 return true;
                               });
    if (!scanned) return scanned;
    if (const auto mark = reader.get(day, table_key(Table::series_compacted)); mark.ok()) {
      compacted_.insert(day.day);
      if (*mark != kCompactedMark) unsummed_.insert(day.day);
    }
  }
  return {};
}

net::Result<void> SeriesStoreImpl::recover_log(const KvReader& reader) {
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
  epoch_ = static_cast<uint32_t>(options_.clock() / 1'000'000'000);
  for (const auto& [id, series] : series_) series->sealed_until_millis = sealed_until_millis_;
  uint64_t broken = 0;
  uint64_t points = 0;
  std::vector<StoredSeries*> by_id(next_id_);
  for (const auto& [id, series] : series_) by_id[id] = series.get();
  std::vector<std::string_view> stored;
  for (const auto& [key, entry] : entries) stored.emplace_back(entry.second);
  LogReader log(stored, by_id);
  for (auto& [key, entry] : entries) {
    epoch_ = std::max(epoch_, read_be32(std::string_view(key).substr(1)) + 1);
    const LoggedPoints read = log.next();
    points += into_heads(read.points);
    if (read.fault) {
      ++broken;
      net::log_error("an entry of the series log is corrupt; what follows in it is lost",
                     {{"day", entry.first.day}, {"error", read.fault->detail}});
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

}  // namespace hms::collector
