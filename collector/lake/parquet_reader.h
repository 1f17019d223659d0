// parquet_reader.h: reads what parquet_writer.h wrote, and distrusts it all the same.
//
// Every page's checksum is compared before it is unpacked; sizes are held against the documented
// bounds (parquet_format.h). A column of a row group is read at once, but only the pages that hold
// wanted rows are unpacked. Thread: const use from any, if the file allows it.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "collector/lake/parquet_format.h"

namespace hms::collector {

/// Bytes of an object that stays the same while it is open.
class LakeFile {
 public:
  virtual ~LakeFile() = default;
  [[nodiscard]] virtual uint64_t size() const noexcept = 0;
  /// Exactly `length` bytes. Errors: corrupt (beyond the end), io, unavailable. Thread: any.
  [[nodiscard]] virtual net::Result<std::string> read(uint64_t offset, uint64_t length) const = 0;
};

/// Values of rows [first, first + size()) of one column of one row group. Rows before `first` or
/// after the last are not there.
struct ColumnValues {
  size_t first = 0;
  std::vector<int64_t> integers;
  std::vector<double> reals;
  std::vector<std::string_view> texts;  // into `bytes`
  /// Texts of a dictionary column, each once, and which one a row has; empty for plain columns.
  std::vector<std::string_view> dictionary;
  std::vector<uint32_t> indices;
  std::deque<std::string> bytes;

  ColumnValues() = default;
  ColumnValues(ColumnValues&&) = default;
  ColumnValues& operator=(ColumnValues&&) = default;
  ColumnValues(const ColumnValues&) = delete;  // views point into `bytes`
  ColumnValues& operator=(const ColumnValues&) = delete;
};

class ParquetFile {
 public:
  /// Reads the footer. Errors: corrupt, unsupported, and the file's.
  [[nodiscard]] static net::Result<std::unique_ptr<ParquetFile>> open(
      std::shared_ptr<const LakeFile> file);

  [[nodiscard]] const ParquetMeta& meta() const noexcept { return meta_; }
  [[nodiscard]] const LakeFile& file() const noexcept { return *file_; }
  /// At least rows [first_row, last_row) of a column (whole pages). Errors: corrupt, unsupported,
  /// and the file's.
  [[nodiscard]] net::Result<ColumnValues> read(size_t row_group, size_t column, size_t first_row,
                                               size_t last_row) const;
  [[nodiscard]] net::Result<ColumnValues> read(size_t row_group, size_t column) const {
    return read(row_group, column, 0, static_cast<size_t>(kMaxRowsPerGroup));
  }

 private:
  ParquetFile() = default;
  std::shared_ptr<const LakeFile> file_;
  ParquetMeta meta_;
};

/// A file in memory (tests, fuzzers, small objects).
class MemoryFile final : public LakeFile {
 public:
  explicit MemoryFile(std::string bytes) : bytes_(std::move(bytes)) {}
  [[nodiscard]] uint64_t size() const noexcept override { return bytes_.size(); }
  [[nodiscard]] net::Result<std::string> read(uint64_t offset, uint64_t length) const override;

 private:
  const std::string bytes_;
};

}  // namespace hms::collector
