// parquet_format.h: the part of Apache Parquet that the lake uses: flat tables of required columns.
//
// File: "PAR1", row groups (per column an optional dictionary page and data pages, version 1, each
// compressed with zstd and carrying a CRC-32), footer (Thrift), its length (u32 little-endian),
// "PAR1". What a footer of ours has, any reader knows; what a footer not of ours may have (nesting,
// nulls, other codecs) is refused as unsupported. Limits: kMaxColumns, kMaxRowGroups,
// kMaxFooterBytes, kMaxPageBytes. Source: parquet-format 2.10 (parquet.thrift, Encodings.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/core/result.h"

namespace hms::collector {

enum class ColumnType : uint8_t {
  text,              // BYTE_ARRAY, UTF-8
  json,              // BYTE_ARRAY, JSON
  int32,             // INT32
  int64,             // INT64
  timestamp_nanos,   // INT64, UTC
  timestamp_millis,  // INT64, UTC
  real,              // DOUBLE
};
[[nodiscard]] constexpr bool is_text(ColumnType type) noexcept {
  return type == ColumnType::text || type == ColumnType::json;
}

struct ColumnSpec {
  std::string name;
  ColumnType type = ColumnType::text;
  /// Texts: whether repeated ones are worth looking for. Not stored.
  bool dictionary = true;
};

struct ColumnChunkMeta {
  int64_t dictionary_offset = -1;  // -1: none
  int64_t data_offset = 0;         // of the first data page
  int64_t compressed_bytes = 0;    // of all its pages with their headers
  int64_t uncompressed_bytes = 0;
  /// Bounds of the values in Parquet's plain form (texts without a length); empty `has_bounds` for
  /// columns where they say nothing.
  bool has_bounds = false;
  std::string min, max;

  [[nodiscard]] int64_t begin() const noexcept {
    return dictionary_offset >= 0 ? dictionary_offset : data_offset;
  }
  /// Bounds of a whole-number column; the widest when it has none.
  [[nodiscard]] int64_t min_integer() const noexcept;
  [[nodiscard]] int64_t max_integer() const noexcept;
  /// Whether a text may be in the column.
  [[nodiscard]] bool may_hold(std::string_view text) const noexcept {
    return !has_bounds || (min <= text && text <= max);
  }
};

struct RowGroupMeta {
  int64_t rows = 0;
  std::vector<ColumnChunkMeta> columns;
};

struct ParquetMeta {
  std::vector<ColumnSpec> columns;
  int64_t rows = 0;
  std::vector<RowGroupMeta> row_groups;
  std::vector<std::pair<std::string, std::string>> properties;
  size_t sorted_by = 0;  // the first so many columns are the sort order

  /// The column's index. Errors: corrupt (a column that must be there is not).
  [[nodiscard]] net::Result<size_t> column(std::string_view name) const;
};

inline constexpr std::string_view kParquetMagic = "PAR1";
inline constexpr size_t kParquetTail = 8;  // footer length and magic
inline constexpr size_t kMaxColumns = 64;
inline constexpr size_t kMaxRowGroups = 100'000;
inline constexpr int64_t kMaxRowsPerGroup = 1 << 20;
inline constexpr uint64_t kMaxFooterBytes = 64ULL * 1024 * 1024;
inline constexpr uint64_t kMaxPageBytes = 64ULL * 1024 * 1024;

[[nodiscard]] std::string encode_footer(const ParquetMeta& meta);
/// `file_bytes`: offsets beyond it are refused. Errors: corrupt, unsupported.
[[nodiscard]] net::Result<ParquetMeta> decode_footer(std::string_view footer, uint64_t file_bytes);

enum class PageKind : uint8_t { data, dictionary };
enum class PageEncoding : uint8_t { plain = 0, rle_dictionary = 8 };
struct PageHeader {
  PageKind kind = PageKind::data;
  PageEncoding encoding = PageEncoding::plain;
  uint32_t uncompressed_bytes = 0, compressed_bytes = 0;
  uint32_t crc = 0;
  uint32_t values = 0;
};
[[nodiscard]] std::string encode_page_header(const PageHeader& header);
/// Also how many bytes the header took. Errors: corrupt, unsupported.
[[nodiscard]] net::Result<std::pair<PageHeader, size_t>> decode_page_header(std::string_view bytes);

}  // namespace hms::collector
