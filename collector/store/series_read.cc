// series_read.cc: points of series that a question has found, from memory and disk.
//
// A day is one of two kinds. A packed one, into which nothing came since, is read from its thinned
// points as far as they will do, and its chunks do not overlap, so that histograms can be thinned
// while they are unpacked. Of any other day all points of a series are read and put in order first,
// and thinned then: a late point may stand between two others. Where a question needs sums only, a
// day's stored sums stand for its points, and points that had to be read become sums at the end of
// their day. See series_store_impl.h.
#include <algorithm>

#include "collector/store/keys.h"
#include "collector/store/series_definition.h"
#include "collector/store/series_store_impl.h"
#include "collector/store/series_sums.h"
#include "collector/store/series_thinning.h"
#include "net/core/time_units.h"

namespace hms::collector {
namespace {

constexpr uint32_t kScanGap = 8;  // series numbers this close are read in one scan

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
uint64_t weight_of(const Series& series) {
  return weight_of(series, 0, 0) + kSumsWeight * series.sums.size();
}

int64_t round_down(int64_t t, int64_t interval) {
  return t >= 0 ? t / interval * interval : -((-t + interval - 1) / interval * interval);
}
int64_t round_up(int64_t t, int64_t interval) { return -round_down(-t, interval); }

net::Error too_many_samples(const SelectLimits& limits) {
  return {net::Code::too_large, net::Side::downstream, false,
          "query processing would load too many samples into memory: the limit is " +
              std::to_string(limits.max_samples)};
}

net::Result<void> not_cancelled(const SelectLimits& limits) {
  if (limits.cancelled && limits.cancelled())
    return net::Error{net::Code::canceled, net::Side::downstream, false, "canceled"};
  return {};
}

}  // namespace

net::Result<void> SeriesStoreImpl::read_series(std::span<Found> found, Reading& reading) const {
  const SelectLimits& limits = reading.limits;
  if (auto read = read_disk(found, reading); !read) return read;
  for (Found& entry : found) {
    if (auto going_on = not_cancelled(limits); !going_on) return going_on;
    Series& one = entry.out;
    for (const BlockPtr& block : entry.memory.blocks) {
      if (!read_block(*block, reading.start, reading.end, one.samples, one.histograms)) {
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
    if (one.samples.empty() && one.histograms.empty() && one.sums.empty()) continue;
    merge_points(one.samples, one.histograms);
    if (limits.sums.length_millis > 0) sum_up(one, limits.sums);
    // What comes from the disk alone is thinned already.
    if (!entry.memory.blocks.empty() || !entry.memory.plain.empty())
      thin_histograms(one.histograms, 0, limits.histograms);
    const uint64_t weight = weight_of(one);
    if (reading.samples.fetch_add(weight, std::memory_order_relaxed) + weight > limits.max_samples)
      return too_many_samples(limits);
    one.labels = entry.series->labels;
  }
  return {};
}

net::Result<void> SeriesStoreImpl::read_disk(std::span<Found> found, Reading& reading) const {
  std::vector<std::pair<uint32_t, Wanted>> days;
  std::set<uint32_t> packed;
  {
    const std::shared_lock lock(mutex_);
    packed = compacted_;
    const int64_t first_day = std::max<int64_t>(reading.start, 0) / net::kMillisPerDay;
    for (auto day = days_.lower_bound(
             static_cast<uint32_t>(std::min<int64_t>(first_day, Family::kMeta - 1)));
         day != days_.end(); ++day) {
      if (static_cast<int64_t>(day->first) * net::kMillisPerDay > reading.end) break;
      Wanted wanted;
      for (Found& entry : found) {
        if (entry.on_disk && day->second.contains(entry.series->id)) wanted.push_back(&entry);
      }
      if (!wanted.empty()) days.emplace_back(day->first, std::move(wanted));
    }
  }
  for (auto& [number, wanted] : days) {
    const Family day{number};
    if (packed.contains(number)) {
      if (auto read = read_packed_day(day, wanted, reading); !read) return read;
    }
    if (auto read = read_day(day, wanted, {reading.start, reading.end, {}}, reading); !read)
      return read;
  }
  return {};
}

net::Result<void> SeriesStoreImpl::read_day(Family day, const Wanted& wanted,
                                            const PointRange& range, Reading& reading) const {
  return read_chunks(day, wanted, range, reading, Shelf{});
}

std::string SeriesStoreImpl::Shelf::first_key(uint32_t series) const {
  return table == Table::series_chunk ? series_chunk_key(series, 0)
                                      : series_rollup_key(table, level.number, series, 0);
}

std::vector<SeriesStoreImpl::Shelf> SeriesStoreImpl::shelves_for(const Reading& reading) {
  const SelectLimits& limits = reading.limits;
  const Thinning& sums = limits.sums;
  std::vector<Shelf> out;
  for (const RollupLevel& level : kRollupLevels) {
    if (sums.length_millis > 0) {
      // No stored interval may reach over the border of one that is asked for.
      const bool on_borders =
          sums.origin_millis % level.millis == 0 && sums.length_millis % level.millis == 0;
      if (on_borders || is_one_interval(sums, reading.start, reading.end))
        out.push_back({Table::series_sums, level});
    } else if (limits.interval_millis > 0 && limits.interval_millis % level.millis == 0) {
      out.push_back({Table::series_rollup, level});
    }
  }
  return out;
}

net::Result<void> SeriesStoreImpl::read_packed_day(Family day, Wanted& wanted,
                                                   Reading& reading) const {
  const int64_t begin = static_cast<int64_t>(day.day) * net::kMillisPerDay;
  // Late points that are still in memory belong between all points of their day.
  const auto middle = std::stable_partition(wanted.begin(), wanted.end(), [&](const Found* one) {
    return one->memory.reaches(begin, begin + net::kMillisPerDay);
  });
  Wanted rest(middle, wanted.end());
  wanted.erase(middle, wanted.end());
  for (const Shelf& shelf : shelves_for(reading)) {
    if (auto read = read_rolled(day, shelf, rest, reading); !read) return read;
  }
  return read_day(day, rest, {reading.start, reading.end, reading.limits.histograms}, reading);
}

net::Result<void> SeriesStoreImpl::read_rolled(Family day, const Shelf& shelf, Wanted& wanted,
                                               Reading& reading) const {
  const int64_t begin = static_cast<int64_t>(day.day) * net::kMillisPerDay;
  const int64_t interval = shelf.level.millis;
  PointRange within{round_up(reading.start, interval), 0, reading.limits.histograms};
  within.end_millis = std::max(within.start_millis, round_down(reading.end, interval));
  // The day's first millisecond ends the interval before: of that one the day has no other point.
  if (within.start_millis == begin && reading.start < begin) within.start_millis = begin - 1;
  for (Found* one : wanted) one->seen = false;
  if (auto read = read_chunks(day, wanted, within, reading, shelf); !read) return read;
  const auto middle = std::stable_partition(wanted.begin(), wanted.end(),
                                            [](const Found* one) { return !one->seen; });
  const Wanted rolled(middle, wanted.end());
  wanted.erase(middle, wanted.end());
  // Of the intervals that the range's ends cut, every point.
  for (const auto& [after, until] :
       {std::pair(reading.start, std::min(within.start_millis, reading.end)),
        std::pair(within.end_millis, reading.end)}) {
    if (after >= until || after >= begin + net::kMillisPerDay - 1 || until < begin) continue;
    const PointRange cut{after, until, reading.limits.histograms};
    if (auto all = read_day(day, rolled, cut, reading); !all) return all;
  }
  return {};
}

// Series numbers rise in `wanted`; those that lie close together are read in one scan.
net::Result<void> SeriesStoreImpl::read_chunks(Family day, const Wanted& wanted,
                                               const PointRange& range, Reading& reading,
                                               const Shelf& shelf) const {
  const size_t id_at = shelf.id_at();
  size_t first = 0;
  while (first < wanted.size()) {
    size_t last = first;
    while (last + 1 < wanted.size() &&
           wanted[last + 1]->series->id - wanted[last]->series->id <= kScanGap)
      ++last;
    size_t at = first;
    size_t first_histogram = wanted[at]->out.histograms.size();
    size_t first_sample = wanted[at]->out.samples.size();
    net::Result<void> failure;
    // Series by series, so that a long question holds one series' day of all points and no more.
    const auto finish_series = [&] {
      if (range.thinning.length_millis == 0) thin_day(day, *wanted[at], first_histogram, reading);
      sum_day(day, *wanted[at], first_sample, reading);
    };
    auto scanned = reader_->scan(day, shelf.first_key(wanted[first]->series->id),
                                 shelf.first_key(wanted[last]->series->id + 1),
                                 [&](std::string_view key, std::string_view value) {
                                   if (key.size() != id_at + 8) return true;
                                   const uint32_t id = read_be32(key.substr(id_at));
                                   while (wanted[at]->series->id < id && at < last) {
                                     finish_series();
                                     first_histogram = wanted[++at]->out.histograms.size();
                                     first_sample = wanted[at]->out.samples.size();
                                   }
                                   if (wanted[at]->series->id != id) return true;
                                   failure =
                                       read_chunk(day, *wanted[at], value, range, reading, shelf);
                                   return failure.ok();
                                 });
    if (!failure) return failure;
    if (!scanned && scanned.error().code != net::Code::not_found)
      return scanned;  // a day dropped meanwhile
    finish_series();
    first = last + 1;
  }
  return {};
}

void SeriesStoreImpl::thin_day(Family day, Found& found, size_t first_histogram,
                               Reading& reading) const {
  const Thinning& thinning = reading.limits.histograms;
  const int64_t begin = static_cast<int64_t>(day.day) * net::kMillisPerDay;
  if (thinning.length_millis == 0 || found.out.histograms.size() == first_histogram ||
      found.memory.reaches(begin, begin + net::kMillisPerDay))
    return;
  const auto weight = [&] {
    return weight_of(found.out, found.out.samples.size(), first_histogram);
  };
  const uint64_t before = weight();
  std::vector<Sample> no_numbers;
  merge_points(no_numbers, found.out.histograms);
  thin_histograms(found.out.histograms, first_histogram, thinning);
  reading.from_disk.fetch_sub(before - weight(), std::memory_order_relaxed);
}

void SeriesStoreImpl::sum_day(Family day, Found& found, size_t first_sample,
                              Reading& reading) const {
  const Thinning& sums = reading.limits.sums;
  const int64_t begin = static_cast<int64_t>(day.day) * net::kMillisPerDay;
  std::vector<Sample>& samples = found.out.samples;
  if (sums.length_millis == 0 || samples.size() == first_sample ||
      found.memory.reaches(begin, begin + net::kMillisPerDay))
    return;
  Series of_day;
  of_day.samples.assign(samples.begin() + static_cast<std::ptrdiff_t>(first_sample), samples.end());
  samples.resize(first_sample);
  const uint64_t before = of_day.samples.size();
  merge_points(of_day.samples, of_day.histograms);
  sum_up(of_day, sums);
  found.out.sums.insert(found.out.sums.end(), of_day.sums.begin(), of_day.sums.end());
  reading.from_disk.fetch_add(weight_of(of_day) - before, std::memory_order_relaxed);
}

net::Result<void> SeriesStoreImpl::read_chunk(Family day, Found& found, std::string_view value,
                                              const PointRange& range, Reading& reading,
                                              const Shelf& shelf) const {
  const bool is_sums = shelf.table == Table::series_sums;
  if (is_sums && value.empty()) return {};  // none are kept of this series
  found.seen = true;
  const size_t first_sample = found.out.samples.size();
  const size_t first_histogram = found.out.histograms.size();
  const size_t first_sums = found.out.sums.size();
  const bool good =
      is_sums ? unpack_sums(value, range.start_millis, range.end_millis, found.out.sums).ok()
              : read_series_chunk(value, range, found.out.samples, found.out.histograms);
  if (!good) {
    corrupt_chunks_.fetch_add(1, std::memory_order_relaxed);
    return net::Error{net::Code::corrupt, net::Side::self, false,
                      "series chunk of day " + std::to_string(day.day) + ", series " +
                          std::to_string(found.series->id) + " is corrupt"};
  }
  const uint64_t weight = weight_of(found.out, first_sample, first_histogram) +
                          kSumsWeight * (found.out.sums.size() - first_sums);
  if (reading.from_disk.fetch_add(weight, std::memory_order_relaxed) + weight >
      reading.limits.max_samples)
    return too_many_samples(reading.limits);
  return not_cancelled(reading.limits);
}

}  // namespace hms::collector
