// parquet_writer.h: writes a Parquet file row by row into a sink, never seeking.
//
// Values of one row group are held in memory (bounded by rows and bytes), then written column by
// column: texts through a dictionary while it stays small, everything else plain; pages of
// kRowsPerPage rows, zstd, CRC-32 over the compressed bytes; bounds per column chunk.
// Call order: (text|integer|real for every column, end_row)*, finish. Thread: one owner.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "collector/lake/parquet_format.h"

namespace hms::collector {

struct ParquetWriterOptions {
  int64_t rows_per_group = 65'536;
  uint64_t bytes_per_group = 24ULL * 1024 * 1024;  // uncompressed, in memory
  size_t sorted_by = 0;
  int compression_level = 3;
};

inline constexpr uint32_t kRowsPerPage = 8'192;

class ParquetWriter {
 public:
  /// Takes bytes in order. An error ends the writing.
  using Sink = std::function<net::Result<void>(std::string_view)>;
  ParquetWriter(std::vector<ColumnSpec> columns, const ParquetWriterOptions& options, Sink sink);
  ~ParquetWriter();
  ParquetWriter(const ParquetWriter&) = delete;
  ParquetWriter& operator=(const ParquetWriter&) = delete;

  void text(size_t column, std::string_view value);
  void integer(size_t column, int64_t value);  // int32, int64, timestamps
  void real(size_t column, double value);
  /// Errors: what the sink gave.
  [[nodiscard]] net::Result<void> end_row();
  /// Writes what is left and the footer. Nothing may follow.
  [[nodiscard]] net::Result<void> finish(
      std::vector<std::pair<std::string, std::string>> properties);

  [[nodiscard]] int64_t rows() const noexcept { return meta_.rows + rows_; }
  [[nodiscard]] uint64_t bytes_written() const noexcept { return offset_; }
  [[nodiscard]] const ParquetMeta& meta() const noexcept { return meta_; }

 private:
  class Column;
  net::Result<void> write(std::string_view bytes);
  net::Result<void> flush_group();
  net::Result<void> write_column(size_t index, ColumnChunkMeta& chunk);
  net::Result<void> write_page(PageKind kind, PageEncoding encoding, uint32_t values,
                               std::string_view body, ColumnChunkMeta& chunk);
  const ParquetWriterOptions options_;
  const Sink sink_;
  ParquetMeta meta_;
  std::vector<std::unique_ptr<Column>> columns_;
  int64_t rows_ = 0;  // in memory
  uint64_t buffered_ = 0;
  uint64_t offset_ = 0;
};

}  // namespace hms::collector
