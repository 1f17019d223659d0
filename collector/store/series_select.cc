// series_select.cc: questions: which series match, their label sets, classic series. Points are
// read in series_read.cc. See series_store_impl.h.
#include <algorithm>

#include "collector/store/series_bounds.h"
#include "collector/store/series_classic.h"
#include "collector/store/series_store_impl.h"
#include "net/core/time_units.h"

namespace hms::collector {
namespace {

constexpr size_t kSliceSeries = 16;  // read by one thread at a time

}  // namespace

int64_t SeriesStoreImpl::oldest_kept() const {
  const int64_t now = now_millis_.load(std::memory_order_relaxed);
  if (now == 0 || options_.keep_expired) return INT64_MIN + 1;
  return oldest_kept_millis(now, options_.retention_days);
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
  if (limits.hide_expired) start_millis = std::max(start_millis, oldest_kept() - 1);
  auto found = select_series(*compiled, start_millis, end_millis, limits);
  if (found && found->empty()) {
    const auto question = classic_question(*compiled);
    if (question && !question->bounds.empty()) {
      auto inner = compile_matchers(question->matchers);
      if (!inner) return inner.error();
      const bool buckets = question->name.part == ClassicPart::bucket;
      auto histograms = select_for_classic(*inner, start_millis, end_millis, limits,
                                           buckets ? question->bounds.size() : 1);
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

net::Result<std::vector<Series>> SeriesStoreImpl::select_for_classic(
    const std::vector<CompiledMatcher>& matchers, int64_t start, int64_t end,
    const SelectLimits& limits, size_t made_of_each) const {
  SelectLimits own = limits;
  // Who asks for sums of numbers needs all of these, too.
  if (limits.sums.length_millis > 0) own.histograms = own.sums = {};
  auto found = select_series(matchers, start, end, own);
  if (!found) return found;
  uint64_t points = 0;
  for (const Series& series : *found) {
    for (const HistogramSample& point : series.histograms) points += 1 + point.left_out;
  }
  // A number stands in for each point that was left out, so that rates reach as far as from all.
  // Where these would take too much of what the question may hold (a hundred routes over a month),
  // the ends of five parts of each interval do instead, and rates may reach a little further.
  const int64_t length = own.histograms.length_millis;
  if (length == 0 || length % 5 != 0 || points * made_of_each <= limits.max_samples / 4)
    return found;
  own.histograms.length_millis = length / 5;
  found = select_series(matchers, start, end, own);
  if (!found) return found;
  for (Series& series : *found) {
    for (HistogramSample& point : series.histograms) point.left_out = 0;
  }
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
    if (!entry.out.samples.empty() || !entry.out.histograms.empty() || !entry.out.sums.empty())
      out.push_back(std::move(entry.out));
  }
  return out;
}

net::Result<std::vector<LabelSet>> SeriesStoreImpl::series(
    const std::vector<LabelMatcher>& matchers, int64_t start_millis, int64_t end_millis,
    const SelectLimits& limits) const {
  auto compiled = compile_matchers(matchers);
  if (!compiled) return compiled.error();
  if (limits.hide_expired) start_millis = std::max(start_millis, oldest_kept() - 1);
  const auto present = [&](const StoredSeries& one) {
    {
      const std::lock_guard lock(stripe(one.id));
      const int64_t first = one.head.first_millis();
      if (first <= end_millis && one.head.last_millis() > start_millis) return true;
      if (start_millis >= one.sealed_until_millis) return false;
    }
    // Older points: known to the day.
    for (const auto& [day, set] : days_) {
      const int64_t begin = static_cast<int64_t>(day) * net::kMillisPerDay;
      if (begin <= end_millis && begin + net::kMillisPerDay > start_millis && set.contains(one.id))
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
