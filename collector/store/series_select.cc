// series_select.cc: questions: points of matching series from memory and disk, label sets, classic
// series. See series_store_impl.h.
#include <algorithm>

#include "collector/store/keys.h"
#include "collector/store/series_classic.h"
#include "collector/store/series_definition.h"
#include "collector/store/series_rollup.h"
#include "collector/store/series_store_impl.h"

namespace hms::collector {
namespace {

constexpr uint32_t kScanGap = 8;     // series numbers this close are read in one scan
constexpr size_t kSliceSeries = 64;  // read by one thread at a time

/// Of what was added to a series from these two places on, only the points in (start, end] stay.
void keep_range(Series& series, size_t first_sample, size_t first_histogram, int64_t start,
                int64_t end) {
  const auto trim = [start, end](auto& points, size_t first) {
    const auto outside = [&](const auto& point) {
      return point.t_millis <= start || point.t_millis > end;
    };
    const auto from = points.begin() + static_cast<std::ptrdiff_t>(first);
    points.erase(std::remove_if(from, points.end(), outside), points.end());
  };
  trim(series.samples, first_sample);
  trim(series.histograms, first_histogram);
}

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

int64_t round_down(int64_t t, int64_t interval) {
  return t >= 0 ? t / interval * interval : -((-t + interval - 1) / interval * interval);
}
int64_t round_up(int64_t t, int64_t interval) { return -round_down(-t, interval); }

net::Error too_many_samples(const SelectLimits& limits) {
  return {net::Code::too_large, net::Side::downstream, false,
          "query processing would load too many samples into memory: the limit is " +
              std::to_string(limits.max_samples)};
}

}  // namespace

int64_t SeriesStoreImpl::oldest_kept() const {
  const int64_t now = now_millis_.load(std::memory_order_relaxed);
  return now == 0 || options_.keep_expired ? INT64_MIN : now - options_.retention_days * kDayMillis;
}

std::vector<SeriesPtr> SeriesStoreImpl::find(const std::vector<CompiledMatcher>& matchers) const {
  const std::shared_lock lock(mutex_);
  std::vector<SeriesPtr> out;
  for (const uint32_t id : index_.find(matchers)) out.push_back(series_.at(id));
  return out;
}

net::Result<std::vector<Series>> SeriesStoreImpl::select(const std::vector<LabelMatcher>& matchers,
                                                         int64_t start_millis, int64_t end_millis,
                                                         const SelectLimits& limits) const {
  auto compiled = compile_matchers(matchers);
  if (!compiled) return compiled.error();
  // A day is dropped whole; points that are past the retention before that are not shown.
  if (limits.hide_expired) start_millis = std::max(start_millis, oldest_kept());
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

net::Result<std::vector<Series>> SeriesStoreImpl::select_series(
    const std::vector<CompiledMatcher>& matchers, int64_t start, int64_t end,
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
  Reading reading{start, end, limits};
  const size_t slices = (found.size() + kSliceSeries - 1) / kSliceSeries;
  std::vector<net::Result<void>> done(slices);
  for_each_index(limits.parallel, slices, [&](size_t i) {
    const size_t first = i * kSliceSeries;
    done[i] = read_series(
        std::span(found).subspan(first, std::min(kSliceSeries, found.size() - first)), reading);
  });
  std::vector<Series> out;
  for (const auto& slice : done) {
    if (!slice) return slice.error();
  }
  for (Found& entry : found) {
    if (!entry.out.samples.empty() || !entry.out.histograms.empty())
      out.push_back(std::move(entry.out));
  }
  return out;
}

net::Result<void> SeriesStoreImpl::read_series(std::span<Found> found, Reading& reading) const {
  const SelectLimits& limits = reading.limits;
  if (auto read = read_disk(found, reading); !read) return read;
  for (Found& entry : found) {
    if (limits.cancelled && limits.cancelled())
      return net::Error{net::Code::canceled, net::Side::downstream, false, "canceled"};
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
    if (one.samples.empty() && one.histograms.empty()) continue;
    merge_points(one.samples, one.histograms);
    const uint64_t weight = weight_of(one, 0, 0);
    if (reading.samples.fetch_add(weight, std::memory_order_relaxed) + weight > limits.max_samples)
      return too_many_samples(limits);
    one.labels = entry.series->labels;
  }
  return {};
}

net::Result<void> SeriesStoreImpl::read_disk(std::span<Found> found, Reading& reading) const {
  std::vector<std::pair<uint32_t, Wanted>> days;
  std::set<uint32_t> thinned;
  {
    const std::shared_lock lock(mutex_);
    if (reading.limits.interval_millis > 0) thinned = compacted_;
    const int64_t first_day = std::max<int64_t>(reading.start, 0) / kDayMillis;
    for (auto day = days_.lower_bound(
             static_cast<uint32_t>(std::min<int64_t>(first_day, Family::kMeta - 1)));
         day != days_.end(); ++day) {
      if (static_cast<int64_t>(day->first) * kDayMillis > reading.end) break;
      std::vector<Found*> wanted;
      for (Found& entry : found) {
        if (entry.on_disk && day->second.contains(entry.series->id)) wanted.push_back(&entry);
      }
      if (!wanted.empty()) days.emplace_back(day->first, std::move(wanted));
    }
  }
  for (auto& [day, wanted] : days) {
    if (thinned.contains(day)) {
      if (auto read = read_thinned(Family{day}, wanted, reading); !read) return read;
    }
    if (auto read = read_day(Family{day}, wanted, reading.start, reading.end, reading); !read)
      return read;
  }
  return {};
}

net::Result<void> SeriesStoreImpl::read_day(Family day, const Wanted& wanted, int64_t start,
                                            int64_t end, Reading& reading) const {
  return read_chunks(
      day, wanted, start, end, reading, [](uint32_t id) { return series_chunk_key(id, 0); }, 1);
}

net::Result<void> SeriesStoreImpl::read_thinned(Family day, Wanted& wanted,
                                                Reading& reading) const {
  const int64_t begin = static_cast<int64_t>(day.day) * kDayMillis;
  // Late points that are still in memory belong between all points of their day.
  Wanted late;
  std::copy_if(wanted.begin(), wanted.end(), std::back_inserter(late),
               [&](const Found* one) { return one->memory.reaches(begin, begin + kDayMillis); });
  std::erase_if(wanted,
                [&](const Found* one) { return one->memory.reaches(begin, begin + kDayMillis); });
  for (const RollupLevel& level : kRollupLevels) {
    if (reading.limits.interval_millis % level.millis != 0) continue;
    std::vector<std::pair<size_t, size_t>> before;
    for (const Found* one : wanted)
      before.emplace_back(one->out.samples.size(), one->out.histograms.size());
    // With the whole day's points, so that none found means none thinned.
    auto read = read_chunks(
        day, wanted, begin - 1, begin + kDayMillis - 1, reading,
        [&](uint32_t id) { return series_rollup_key(level.number, id); }, 2);
    if (!read) return read;
    const int64_t from = round_up(reading.start, level.millis);
    const int64_t to = std::max(from, round_down(reading.end, level.millis));
    Wanted rest;
    Wanted thinned;
    for (size_t i = 0; i < wanted.size(); ++i) {
      Series& out = wanted[i]->out;
      if (out.samples.size() == before[i].first && out.histograms.size() == before[i].second) {
        rest.push_back(wanted[i]);
        continue;
      }
      keep_range(out, before[i].first, before[i].second, from, to);
      thinned.push_back(wanted[i]);
    }
    wanted = std::move(rest);
    // Of the intervals that the range's ends cut, every point.
    for (const auto& [after, until] :
         {std::pair(reading.start, std::min(from, reading.end)), std::pair(to, reading.end)}) {
      if (after >= until || after >= begin + kDayMillis || until < begin) continue;
      if (auto cut = read_day(day, thinned, after, until, reading); !cut) return cut;
    }
  }
  wanted.insert(wanted.end(), late.begin(), late.end());
  std::sort(wanted.begin(), wanted.end(),
            [](const Found* a, const Found* b) { return a->series->id < b->series->id; });
  return {};
}

// Series numbers rise in `wanted`; those that lie close together are read in one scan.
net::Result<void> SeriesStoreImpl::read_chunks(Family day, const Wanted& wanted, int64_t start,
                                               int64_t end, Reading& reading,
                                               const std::function<std::string(uint32_t)>& key_of,
                                               size_t id_at) const {
  const SelectLimits& limits = reading.limits;
  size_t first = 0;
  while (first < wanted.size()) {
    size_t last = first;
    while (last + 1 < wanted.size() &&
           wanted[last + 1]->series->id - wanted[last]->series->id <= kScanGap)
      ++last;
    size_t at = first;
    net::Result<void> failure;
    auto scanned = reader_->scan(
        day, key_of(wanted[first]->series->id), key_of(wanted[last]->series->id + 1),
        [&](std::string_view key, std::string_view value) {
          if (key.size() != id_at + 8) return true;
          const uint32_t id = read_be32(key.substr(id_at));
          while (at <= last && wanted[at]->series->id < id) ++at;
          if (at > last || wanted[at]->series->id != id) return true;
          Series& out = wanted[at]->out;
          const size_t first_sample = out.samples.size();
          const size_t first_histogram = out.histograms.size();
          const bool good = read_series_chunk(value, start, end, out.samples, out.histograms);
          if (!good) {
            corrupt_chunks_.fetch_add(1, std::memory_order_relaxed);
            failure = net::Error{net::Code::corrupt, net::Side::self, false,
                                 "series chunk of day " + std::to_string(day.day) + ", series " +
                                     std::to_string(id) + " is corrupt"};
            return false;
          }
          const uint64_t weight = weight_of(out, first_sample, first_histogram);
          if (reading.from_disk.fetch_add(weight, std::memory_order_relaxed) + weight >
              limits.max_samples) {
            failure = too_many_samples(limits);
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

net::Result<std::vector<LabelSet>> SeriesStoreImpl::series(
    const std::vector<LabelMatcher>& matchers, int64_t start_millis, int64_t end_millis,
    const SelectLimits& limits) const {
  auto compiled = compile_matchers(matchers);
  if (!compiled) return compiled.error();
  if (limits.hide_expired) start_millis = std::max(start_millis, oldest_kept());
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

Cardinality SeriesStoreImpl::cardinality(size_t limit) const {
  const std::shared_lock lock(mutex_);
  return index_.cardinality(limit);
}

std::vector<MetricMetadata> SeriesStoreImpl::metadata() const {
  const std::shared_lock lock(mutex_);
  std::vector<MetricMetadata> out;
  for (const auto& [name, metric] : metrics_) {
    out.push_back(metric);
    out.back().name = name;
  }
  return out;
}

}  // namespace hms::collector
