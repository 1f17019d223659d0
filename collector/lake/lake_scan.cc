#include "collector/lake/lake_scan.h"

#include <algorithm>
#include <set>

#include "collector/lake/table_files.h"
#include "net/core/time_units.h"

namespace hms::collector {
namespace {

using net::Result;

/// Blocks of rows (kIndexBlockRows) in which the trace has rows.
Result<std::vector<uint64_t>> blocks_of_trace(const Lake& lake, const LakeObject& object,
                                              int64_t key) {
  auto opened = lake.index_file(object);
  if (!opened.ok()) return std::move(opened).error();
  const ParquetFile& file = *opened.value();
  std::vector<uint64_t> out;
  if (file.meta().columns.size() != 2)
    return net::Error{net::Code::corrupt, net::Side::upstream, false,
                      object.name + ": its columns are not those of a trace index"};
  const auto& groups = file.meta().row_groups;
  auto group = std::lower_bound(groups.begin(), groups.end(), key,
                                [](const RowGroupMeta& one, int64_t wanted) {
                                  return one.columns[0].max_integer() < wanted;
                                });
  for (; group != groups.end() && group->columns[0].min_integer() <= key; ++group) {
    const auto index = static_cast<size_t>(group - groups.begin());
    auto keys = file.read(index, 0);
    if (!keys.ok()) return std::move(keys).error();
    const auto& all = keys.value().integers;
    const auto [first, last] = std::equal_range(all.begin(), all.end(), key);
    if (first == last) continue;
    const auto begin = static_cast<size_t>(first - all.begin());
    const auto end = static_cast<size_t>(last - all.begin());
    auto blocks = file.read(index, 1, begin, end);
    if (!blocks.ok()) return std::move(blocks).error();
    const ColumnValues& values = blocks.value();
    for (size_t i = begin; i < end && i - values.first < values.integers.size(); ++i)
      out.push_back(static_cast<uint64_t>(values.integers[i - values.first]));
  }
  return out;
}

/// Rows [first, last) of one column, cut so that row `first` is at 0.
Result<ColumnValues> read_aligned(const LakeGroup& group, size_t column, size_t first,
                                  size_t last) {
  auto read = group.file->read(group.index, column, first, last);
  if (!read.ok()) return read;
  ColumnValues& values = read.value();
  const auto cut = static_cast<ptrdiff_t>(first - values.first);
  const auto drop = [cut](auto& list) {
    if (!list.empty()) list.erase(list.begin(), list.begin() + cut);
  };
  drop(values.integers);
  drop(values.reals);
  drop(values.texts);
  drop(values.indices);
  values.first = first;
  return read;
}

}  // namespace

bool day_touches(uint32_t day, uint64_t from, uint64_t to) noexcept {
  return day * net::kNanosPerDay <= to && (day + uint64_t{1}) * net::kNanosPerDay > from;
}

Result<std::vector<LakeGroup>> groups_of(const Lake& lake, const LakeManifest& manifest,
                                         LakeTable table, int64_t from, int64_t to,
                                         const std::function<bool(const RowGroupMeta&)>& wanted) {
  const size_t time = table_spec(table).time_column;
  std::vector<LakeGroup> out;
  uint64_t row = 0;
  for (const LakeObject& object : manifest.table(table).files) {
    const uint64_t first = row;
    row += object.rows;
    if (object.max_time < from || object.min_time > to) continue;
    auto opened = lake.table_file(object, table);
    if (!opened.ok()) return std::move(opened).error();
    uint64_t at = first;
    for (size_t i = 0; i < opened.value()->meta().row_groups.size(); ++i) {
      const RowGroupMeta& meta = opened.value()->meta().row_groups[i];
      const ColumnChunkMeta& times = meta.columns[time];
      if (times.max_integer() >= from && times.min_integer() <= to && (!wanted || wanted(meta)))
        out.push_back({opened.value(), i, at});
      at += static_cast<uint64_t>(meta.rows);
    }
  }
  std::stable_sort(out.begin(), out.end(), [time](const LakeGroup& a, const LakeGroup& b) {
    return a.meta().columns[time].max_integer() > b.meta().columns[time].max_integer();
  });
  return out;
}

Result<LakeRows> read_rows(const LakeGroup& group, size_t first, size_t last) {
  LakeRows out;
  out.first = first;
  out.size = last - first;
  for (size_t column = 0; column < group.file->meta().columns.size(); ++column) {
    auto values = read_aligned(group, column, first, last);
    if (!values.ok()) return std::move(values).error();
    out.columns.push_back(std::move(values).value());
  }
  return out;
}

Result<void> each_row_of_trace(
    const Lake& lake, const LakeManifest& manifest, LakeTable table, size_t trace_column,
    const telemetry::TraceId& id,
    const std::function<bool(const std::vector<ColumnValues>& columns, size_t index)>& visit) {
  const LakeTableManifest& entry = manifest.table(table);
  if (!entry.trace_index) return {};
  const std::string hex = telemetry::to_hex(id);
  const auto key = trace_key(hex);
  if (!key) return {};
  auto blocks = blocks_of_trace(lake, *entry.trace_index, *key);
  if (!blocks.ok()) return std::move(blocks).error();
  if (blocks.value().empty()) return {};
  auto groups = groups_of(lake, manifest, table, INT64_MIN, INT64_MAX, {});
  if (!groups.ok()) return std::move(groups).error();
  for (const LakeGroup& group : groups.value()) {
    const auto rows = static_cast<uint64_t>(group.meta().rows);
    for (const uint64_t block : blocks.value()) {
      const uint64_t begin = std::max(block * kIndexBlockRows, group.first_row);
      const uint64_t end = std::min((block + 1) * kIndexBlockRows, group.first_row + rows);
      if (begin >= end) continue;
      const auto first = static_cast<size_t>(begin - group.first_row);
      const auto last = static_cast<size_t>(end - group.first_row);
      auto ids = read_aligned(group, trace_column, first, last);
      if (!ids.ok()) return std::move(ids).error();
      const auto& texts = ids.value().texts;
      size_t lowest = last, highest = first;
      for (size_t i = 0; i < last - first; ++i) {
        if (texts[i] != hex) continue;
        lowest = std::min(lowest, first + i);
        highest = std::max(highest, first + i + 1);
      }
      if (lowest >= highest) continue;
      auto found = read_rows(group, lowest, highest);
      if (!found.ok()) return std::move(found).error();
      for (size_t i = 0; i < found.value().size; ++i) {
        if (found.value().columns[trace_column].texts[i] == hex && !visit(found.value().columns, i))
          return {};
      }
    }
  }
  return {};
}

}  // namespace hms::collector
