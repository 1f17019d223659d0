// rows.h: the lake's tables and their rows on the way from the hot store to Parquet and back.
//
// A row is its cells in column order, encoded as bytes (RowWriter): what is sorted, what is
// written, and what the order-independent checksum of a table is made of: the sum of the CRC-32s of
// all its rows, so that two tables with the same checksum, counts, sums and bounds hold the same
// rows. Columns: docs/lake.md. Thread: values.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "collector/lake/parquet_reader.h"
#include "collector/lake/parquet_writer.h"
#include "collector/store/log_store.h"
#include "collector/store/series_store.h"
#include "collector/store/span_edge_rows.h"
#include "collector/store/span_store.h"

namespace hms::collector {

enum class LakeTable : uint8_t { spans, logs, metrics, histograms, edges, edge_hours };
inline constexpr std::array<LakeTable, 6> kLakeTables{LakeTable::spans,   LakeTable::logs,
                                                      LakeTable::metrics, LakeTable::histograms,
                                                      LakeTable::edges,   LakeTable::edge_hours};
/// The service map's: days that were rolled before the lake kept it have neither.
[[nodiscard]] constexpr bool is_map(LakeTable table) noexcept {
  return table == LakeTable::edges || table == LakeTable::edge_hours;
}

struct TableSpec {
  std::string_view name;  // "spans": also the beginning of its files' names
  std::vector<ColumnSpec> columns;
  size_t sorted_by = 3;  // service, route, time; for series service, route, metric, labels, time;
                         // for the map time, from, to
  size_t time_column = 2;
  bool has_traces = false;  // a trace index stands beside it
};
[[nodiscard]] const TableSpec& table_spec(LakeTable table);

/// Encodes one row: cells in the order of the table's columns.
class RowWriter {
 public:
  void clear() { bytes_.clear(); }
  void text(std::string_view value);  // repaired if it is not UTF-8
  void integer(int64_t value);
  void real(double value);
  [[nodiscard]] const std::string& bytes() const noexcept { return bytes_; }

 private:
  std::string bytes_;
};

/// What can be compared between a table and its copy.
struct TableTotals {
  struct Column {
    uint64_t sum = 0;  // of whole numbers, modulo 2^64
    int64_t min = INT64_MAX, max = INT64_MIN;
    bool operator==(const Column&) const = default;
  };
  uint64_t rows = 0;
  uint64_t checksum = 0;
  std::vector<Column> columns;  // only whole-number columns are filled
  bool operator==(const TableTotals&) const = default;
  /// Counts a row.
  void add(const TableSpec& spec, std::string_view row);
};

/// One text cell of a row.
[[nodiscard]] std::string_view cell_text(const TableSpec& spec, std::string_view row,
                                         size_t column);
/// Writes a row's cells. The row is one of ours.
void put_row(const TableSpec& spec, std::string_view row, ParquetWriter& out);
/// The same cells, from columns that were read back (all columns, same first row).
void row_of_columns(const TableSpec& spec, const std::vector<ColumnValues>& columns, size_t index,
                    RowWriter& out);

/// A line's `attributes` hold those of its resource as one more, an object of this name.
inline constexpr std::string_view kResourceKey = "@resource";

// From the hot store to rows. `key` is what the row is sorted by.
void span_row(const StoredSpan& span, RowWriter& row, std::string& key);
void log_row(const StoredLog& log, RowWriter& row, std::string& key);
void sample_row(const LabelSet& labels, std::string_view labels_json, const Sample& sample,
                RowWriter& row);
void histogram_row(const LabelSet& labels, std::string_view labels_json,
                   const HistogramSample& sample, RowWriter& row);
[[nodiscard]] std::string labels_json(const LabelSet& labels);
/// `by_second`: a slot's row; else a longer time's.
void edge_row(int64_t begin_millis, const EdgeNames& names, const EdgeTotals& totals,
              bool by_second, RowWriter& row);

// And back. `columns`: all of the table's, read with the same first row.
[[nodiscard]] StoredSpan span_of(const std::vector<ColumnValues>& columns, size_t index);
[[nodiscard]] StoredLog log_of(const std::vector<ColumnValues>& columns, size_t index);
/// Of the cell `attributes`: the line's own and, under kResourceKey, those of its resource.
void set_attributes(StoredLog& log, std::string_view json);
[[nodiscard]] HistogramSample histogram_of(const std::vector<ColumnValues>& columns, size_t index);
[[nodiscard]] LabelSet labels_of(std::string_view json);
struct LakeEdge {
  int64_t begin_millis = 0;
  EdgeNames names;
  EdgeTotals totals;
};
[[nodiscard]] LakeEdge edge_of(const std::vector<ColumnValues>& columns, size_t index);

// Columns that questions look at first.
namespace span_column {
inline constexpr size_t service = 0, route = 1, start = 2, duration = 3, trace_id = 4, span_id = 5,
                        parent = 6, name = 7, kind = 8, status = 9, status_message = 10,
                        http_status = 11, instance = 12, scope = 13, x_trace = 14, attributes = 15,
                        resource = 16, events = 17, links = 18;
}
namespace log_column {
inline constexpr size_t service = 0, route = 1, time = 2, severity_number = 3, level = 4,
                        severity = 5, message = 6, trace_id = 7, span_id = 8, x_trace = 9,
                        attributes = 10;
}
namespace series_column {  // both metrics and histograms
inline constexpr size_t service = 0, route = 1, metric = 2, labels = 3, time = 4, value = 5;
inline constexpr size_t count = 5, sum = 6, zero_count = 7, scale = 8, positive = 9, negative = 10;
}  // namespace series_column
namespace edge_column {
inline constexpr size_t time = 0, from = 1, to = 2, requests = 3, errors = 4, duration_sum = 5,
                        zero_count = 6, buckets = 7, requests_by_second = 8, errors_by_second = 9;
}

}  // namespace hms::collector
