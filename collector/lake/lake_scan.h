// lake_scan.h: what all questions to the lake have in common: row groups that may hold answers,
// rows of a trace, columns read only as far as they are needed.
//
// Thread: any.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "collector/lake/lake.h"

namespace hms::collector {

/// Whether a day that cannot be read may hold something of that time (Unix nanoseconds).
[[nodiscard]] bool day_touches(uint32_t day, uint64_t from, uint64_t to) noexcept;

/// A row group of a table's file.
struct LakeGroup {
  ParquetPtr file;
  size_t index = 0;
  uint64_t first_row = 0;  // counted through all files of the table
  [[nodiscard]] const RowGroupMeta& meta() const { return file->meta().row_groups[index]; }
};

/// Row groups of the table on that day whose times touch [from, to], newest end first, for which
/// `wanted` holds. Errors: those of Lake.
[[nodiscard]] net::Result<std::vector<LakeGroup>> groups_of(
    const Lake& lake, const LakeManifest& manifest, LakeTable table, int64_t from, int64_t to,
    const std::function<bool(const RowGroupMeta&)>& wanted);

/// Rows [first, last) of all columns, aligned: columns[c] has row `first` at 0.
struct LakeRows {
  std::vector<ColumnValues> columns;
  size_t first = 0, size = 0;
};
[[nodiscard]] net::Result<LakeRows> read_rows(const LakeGroup& group, size_t first, size_t last);

/// Visits the rows of a trace. `visit(rows, index)`: false ends. Errors: those of Lake.
[[nodiscard]] net::Result<void> each_row_of_trace(
    const Lake& lake, const LakeManifest& manifest, LakeTable table, size_t trace_column,
    const telemetry::TraceId& id,
    const std::function<bool(const std::vector<ColumnValues>& columns, size_t index)>& visit);

}  // namespace hms::collector
