// verify.h: reads back what the lake says it has of a day and compares it with its manifest.
//
// Per file: length, SHA-256, every page's checksum; per table: rows, the checksum over all rows,
// sums and bounds of every whole-number column; per trace index: its rows. Objects of a remote lake
// are fetched once, into `scratch_folder`. Thread: any.
#pragma once

#include <functional>
#include <string>

#include "collector/lake/destination.h"
#include "collector/lake/manifest.h"

namespace hms::collector {

struct VerifyOptions {
  std::string scratch_folder;  // where a remote object lies while it is read
  std::function<bool()> cancelled;
};

/// Errors: corrupt (which object, and what differs), not_found, unavailable, canceled.
[[nodiscard]] net::Result<void> verify_day(const LakeDestination& destination,
                                           const LakeManifest& manifest,
                                           const VerifyOptions& options);

/// Calls `visit(columns, index)` for every row of a file; false ends it early. Errors: corrupt.
using RowVisitor = std::function<bool(const std::vector<ColumnValues>& columns, size_t index)>;
[[nodiscard]] net::Result<void> each_row(const ParquetFile& file, const TableSpec& spec,
                                         const RowVisitor& visit);
/// The table's columns are all there, in order. Errors: corrupt.
[[nodiscard]] net::Result<void> check_columns(const ParquetMeta& meta, const TableSpec& spec);

}  // namespace hms::collector
