// table_files.h: one table of one day as Parquet files in a folder of this machine, and the index
// from traces to its rows.
//
// A file ends when it has grown to `max_file_bytes`; row groups hold at most 65,536 rows or 24 MiB
// before compression (the format allows 128 MiB). Thread: one owner.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/lake/digest.h"
#include "collector/lake/external_sort.h"
#include "collector/lake/local_file.h"
#include "collector/lake/manifest.h"

namespace hms::collector {

/// Where an object of the lake lies before it is sent: the last part of its name.
[[nodiscard]] std::string staged_path(const std::string& folder, const std::string& name);

class TableFiles {
 public:
  TableFiles(std::string folder, uint32_t day, LakeTable table, uint64_t max_file_bytes);
  ~TableFiles();
  TableFiles(const TableFiles&) = delete;
  TableFiles& operator=(const TableFiles&) = delete;
  /// The next row, in the table's order. Errors: io, no_space.
  [[nodiscard]] net::Result<void> add(std::string_view row);
  /// The files, complete. A table without rows has none.
  [[nodiscard]] net::Result<std::vector<LakeObject>> finish();

 private:
  struct Open;
  net::Result<void> begin();
  net::Result<void> end();
  const std::string folder_;
  const uint32_t day_;
  const TableSpec& spec_;
  const uint64_t max_file_bytes_;
  std::unique_ptr<Open> open_;
  std::vector<LakeObject> files_;
};

/// Rows of an index stand for blocks of rows of the table, counted through all its files.
inline constexpr uint64_t kIndexBlockRows = 4'096;
/// What the index is ordered by: the last 8 bytes of a trace id; nothing for a row without one.
[[nodiscard]] std::optional<int64_t> trace_key(std::string_view trace_id_hex);

class TraceIndexWriter {
 public:
  TraceIndexWriter(std::string folder, uint32_t day, LakeTable table, uint64_t memory_bytes);
  [[nodiscard]] net::Result<void> add(std::string_view trace_id_hex, uint64_t row);
  [[nodiscard]] net::Result<LakeObject> finish();

 private:
  const std::string folder_;
  LakeObject object_;
  ExternalSorter sorter_;
};

}  // namespace hms::collector
