// lake_series.cc: points of the lake by label matchers.
#include <algorithm>
#include <map>

#include "collector/lake/lake_questions.h"
#include "collector/lake/lake_scan.h"
#include "collector/store/series_head.h"
#include "collector/store/series_regex.h"
#include "net/core/time_units.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;
namespace at = series_column;

/// Columns that repeat a label, so that row groups can be left out by their bounds.
constexpr std::pair<std::string_view, size_t> kLabelColumns[] = {
    {"__name__", at::metric}, {"service_name", at::service}, {"http_route", at::route}};

bool may_match(const RowGroupMeta& meta, const std::vector<CompiledMatcher>& matchers) {
  for (const CompiledMatcher& matcher : matchers) {
    const std::vector<std::string>* candidates = matcher.candidates();
    if (candidates == nullptr) continue;
    for (const auto& [label, column] : kLabelColumns) {
      if (matcher.name() != label) continue;
      const bool possible = std::any_of(
          candidates->begin(), candidates->end(),
          [&, index = column](const std::string& v) { return meta.columns[index].may_hold(v); });
      if (!possible) return false;
    }
  }
  return true;
}

class SeriesSearch {
 public:
  SeriesSearch(const Lake& lake, const std::vector<CompiledMatcher>& matchers, int64_t start,
               int64_t end, const SelectLimits& limits, bool points)
      : lake_(lake),
        matchers_(matchers),
        start_(start),
        end_(end),
        limits_(limits),
        points_(points) {}

  /// Errors: too_large, canceled; others are the lake's.
  Result<void> day(const LakeManifest& manifest) {
    for (const LakeTable table : {LakeTable::metrics, LakeTable::histograms}) {
      auto groups =
          groups_of(lake_, manifest, table, start_ + 1, end_,
                    [this](const RowGroupMeta& meta) { return may_match(meta, matchers_); });
      if (!groups.ok()) return std::move(groups).error();
      for (const LakeGroup& group : groups.value()) {
        if (limits_.cancelled && limits_.cancelled())
          return Error{Code::canceled, net::Side::downstream, false, "canceled"};
        if (auto read = look_into(table, group); !read.ok()) return read;
      }
    }
    return {};
  }

  std::vector<Series> take() {
    std::vector<Series> out;
    for (auto& [labels, series] : found_) {
      series.labels = labels;
      if (points_) merge_points(series.samples, series.histograms);
      out.push_back(std::move(series));
    }
    return out;
  }

 private:
  /// The series of a row's labels; null when they do not match. Known ones are looked up once a
  /// text.
  Series* series_of(std::string_view json) {
    if (json == last_json_) return last_;
    last_json_ = json;
    const auto [known, added] = by_json_.try_emplace(std::string(json), nullptr);
    if (added) {
      LabelSet labels = labels_of(json);
      const bool match = std::all_of(matchers_.begin(), matchers_.end(),
                                     [&labels](const CompiledMatcher& matcher) {
                                       return matcher.matches(label_value(labels, matcher.name()));
                                     });
      if (match) known->second = &found_[std::move(labels)];
    }
    return last_ = known->second;
  }

  Result<void> look_into(LakeTable table, const LakeGroup& group) {
    const auto rows = static_cast<size_t>(group.meta().rows);
    auto labels = group.file->read(group.index, at::labels);
    if (!labels.ok()) return std::move(labels).error();
    auto times = group.file->read(group.index, at::time);
    if (!times.ok()) return std::move(times).error();
    last_json_ = {};
    size_t first = rows, last = 0;
    std::vector<Series*> owners(rows, nullptr);
    for (size_t i = 0; i < rows; ++i) {
      const int64_t time = times.value().integers[i];
      if (time <= start_ || time > end_) continue;
      owners[i] = series_of(labels.value().texts[i]);
      if (owners[i] == nullptr) continue;
      first = std::min(first, i);
      last = i + 1;
    }
    if (found_.size() > limits_.max_series)
      return Error{
          Code::too_large, net::Side::downstream, false,
          "the selector matches more than " + std::to_string(limits_.max_series) + " series"};
    last_json_ = {};
    if (first >= last || !points_) return {};
    auto found = read_rows(group, first, last);
    if (!found.ok()) return std::move(found).error();
    const auto& columns = found.value().columns;
    for (size_t i = first; i < last; ++i) {
      if (owners[i] == nullptr) continue;
      if (table == LakeTable::metrics) {
        owners[i]->samples.push_back(
            {columns[at::time].integers[i - first], columns[at::value].reals[i - first]});
        ++samples_;
      } else {
        owners[i]->histograms.push_back(histogram_of(columns, i - first));
        samples_ += 5 + owners[i]->histograms.back().value->positive.size();
      }
    }
    if (samples_ > limits_.max_samples)
      return Error{Code::too_large, net::Side::downstream, false,
                   "query processing would load too many samples into memory: the limit is " +
                       std::to_string(limits_.max_samples)};
    return {};
  }

  const Lake& lake_;
  const std::vector<CompiledMatcher>& matchers_;
  const int64_t start_, end_;
  const SelectLimits& limits_;
  const bool points_;
  std::map<LabelSet, Series> found_;
  std::map<std::string, Series*, std::less<>> by_json_;
  std::string_view last_json_;
  Series* last_ = nullptr;
  uint64_t samples_ = 0;
};

}  // namespace

Result<std::vector<Series>> lake_series(const Lake& lake, const std::vector<LabelMatcher>& matchers,
                                        int64_t start, int64_t end, const SelectLimits& limits,
                                        bool points, LakeWarnings& warnings) {
  auto compiled = compile_matchers(matchers);
  if (!compiled.ok()) return std::move(compiled).error();
  SeriesSearch search(lake, compiled.value(), start, end, limits, points);
  for (const uint32_t day : lake.days()) {
    // Points lie in the family of their own day.
    const int64_t begin = static_cast<int64_t>(day) * net::kMillisPerDay;
    if (begin > end || begin + net::kMillisPerDay <= start) continue;
    auto manifest = lake.manifest(day);
    Result<void> searched;
    if (manifest.ok())
      searched = search.day(*manifest.value());
    else
      searched = std::move(manifest).error();
    if (searched.ok()) continue;
    const Code code = searched.error().code;
    if (code == Code::canceled || code == Code::too_large) return std::move(searched).error();
    warnings.add(day, searched.error());
  }
  return search.take();
}

}  // namespace hms::collector
