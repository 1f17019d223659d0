// series_recovery.cc: start-up: definitions, who has points on which day, and the heads from the
// log. See series_store_impl.h.
#include <algorithm>
#include <array>

#include "collector/store/keys.h"
#include "collector/store/series_definition.h"
#include "collector/store/series_store_impl.h"
#include "net/core/clock.h"
#include "net/core/log.h"

namespace hms::collector {

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
    if (reader.get(day, table_key(Table::series_compacted)).ok()) compacted_.insert(day.day);
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
  const auto known = [&by_id](uint32_t id) { return id < by_id.size() ? by_id[id] : nullptr; };
  SeriesLogReader log;
  log.before = [&](uint32_t id) -> HistogramPtr {
    const StoredSeries* series = known(id);
    return series == nullptr ? nullptr : series->total.histogram;
  };
  const auto apply = [&](StoredSeries* series, const SeriesPoint& point) {
    Total& total = series->total;
    if (point.histogram) {
      total.histogram = point.histogram;
    } else if (std::bit_cast<uint64_t>(point.value) != std::bit_cast<uint64_t>(stale_marker())) {
      total.value = point.value;
    }
    total.last_millis = std::max(total.last_millis, point.t_millis);
    if (series->head.add(point)) ++points;
  };
  // The log goes from series to series, and each is away from the caches: a point waits for a few
  // others while its series comes near. A histogram waits for nothing, it is what the next one of
  // its series is told from.
  struct Coming {
    StoredSeries* series = nullptr;
    SeriesPoint point;
  };
  std::array<Coming, 32> coming;
  size_t next = 0;
  const auto settle = [&](Coming& one) {
    if (one.series != nullptr) apply(one.series, one.point);
    one.series = nullptr;
  };
  const auto settle_all = [&] {
    for (size_t i = 0; i < coming.size(); ++i) settle(coming[(next + i) % coming.size()]);
  };
  log.point = [&](uint32_t id, SeriesPoint point) {
    StoredSeries* series = known(id);
    if (series == nullptr) return;
    if (point.histogram) {
      settle_all();
      apply(series, point);
      return;
    }
    prefetch_series(series);
    if (const Coming& half = coming[(next + coming.size() / 2) % coming.size()];
        half.series != nullptr)
      half.series->head.prefetch();
    settle(coming[next]);
    coming[next] = {series, std::move(point)};
    next = (next + 1) % coming.size();
  };
  for (auto& [key, entry] : entries) {
    epoch_ = std::max(epoch_, read_be32(std::string_view(key).substr(1)) + 1);
    auto read = read_series_log(entry.second, log);
    settle_all();
    if (!read) {
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

}  // namespace hms::collector
