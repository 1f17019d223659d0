#include "collector/lake/parquet_format.h"

#include <algorithm>
#include <cstring>

#include "collector/lake/thrift_compact.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

// Numbers of parquet.thrift.
enum PhysicalType : int32_t { kInt32 = 1, kInt64 = 2, kDouble = 5, kByteArray = 6 };
enum ConvertedType : int32_t { kUtf8 = 0, kTimestampMillis = 9, kJson = 19 };
constexpr int32_t kRequired = 0;
constexpr int32_t kZstd = 6;
constexpr int32_t kRle = 3;
constexpr int32_t kDataPage = 0, kDictionaryPage = 2;

Error corrupt(std::string detail) {
  return {Code::corrupt, net::Side::self, false, "Parquet: " + std::move(detail)};
}
Error unsupported(std::string detail) {
  return {Code::unsupported, net::Side::self, false, "Parquet: " + std::move(detail)};
}

int32_t physical(ColumnType type) {
  switch (type) {
    case ColumnType::text:
    case ColumnType::json:
      return kByteArray;
    case ColumnType::int32:
      return kInt32;
    case ColumnType::int64:
    case ColumnType::timestamp_nanos:
    case ColumnType::timestamp_millis:
      return kInt64;
    case ColumnType::real:
      return kDouble;
  }
  return kByteArray;
}

void write_timestamp(ThriftWriter& out, int16_t unit) {
  out.begin_struct(10);
  out.begin_struct(8);
  out.boolean(1, true);  // UTC
  out.begin_struct(2);
  out.begin_struct(unit);
  out.end_struct();
  out.end_struct();
  out.end_struct();
  out.end_struct();
}

void write_schema_column(ThriftWriter& out, const ColumnSpec& column) {
  out.begin_element();
  out.i32(1, physical(column.type));
  out.i32(3, kRequired);
  out.binary(4, column.name);
  switch (column.type) {
    case ColumnType::text:
      out.i32(6, kUtf8);
      out.begin_struct(10);
      out.begin_struct(1);
      out.end_struct();
      out.end_struct();
      break;
    case ColumnType::json:
      out.i32(6, kJson);
      out.begin_struct(10);
      out.begin_struct(12);
      out.end_struct();
      out.end_struct();
      break;
    case ColumnType::timestamp_millis:
      out.i32(6, kTimestampMillis);
      write_timestamp(out, 1);
      break;
    case ColumnType::timestamp_nanos:
      write_timestamp(out, 3);
      break;
    case ColumnType::int32:
    case ColumnType::int64:
    case ColumnType::real:
      break;
  }
  out.end_struct();
}

void write_chunk(ThriftWriter& out, const ColumnSpec& spec, const ColumnChunkMeta& chunk,
                 int64_t rows) {
  out.begin_element();
  out.i64(2, chunk.begin());
  out.begin_struct(3);
  out.i32(1, physical(spec.type));
  const bool dictionary = chunk.dictionary_offset >= 0;
  out.begin_list(2, ThriftType::i32, dictionary ? 3 : 2);
  out.element_i32(static_cast<int32_t>(PageEncoding::plain));
  out.element_i32(kRle);
  if (dictionary) out.element_i32(static_cast<int32_t>(PageEncoding::rle_dictionary));
  out.begin_list(3, ThriftType::binary, 1);
  out.element_binary(spec.name);
  out.i32(4, kZstd);
  out.i64(5, rows);
  out.i64(6, chunk.uncompressed_bytes);
  out.i64(7, chunk.compressed_bytes);
  out.i64(9, chunk.data_offset);
  if (dictionary) out.i64(11, chunk.dictionary_offset);
  out.begin_struct(12);
  out.i64(3, 0);  // nulls
  if (chunk.has_bounds) {
    out.binary(5, chunk.max);
    out.binary(6, chunk.min);
  }
  out.end_struct();
  out.end_struct();
  out.end_struct();
}

void write_row_group(ThriftWriter& out, const ParquetMeta& meta, size_t index) {
  const RowGroupMeta& group = meta.row_groups[index];
  out.begin_element();
  out.begin_list(1, ThriftType::structure, group.columns.size());
  int64_t compressed = 0, uncompressed = 0;
  for (size_t i = 0; i < group.columns.size(); ++i) {
    write_chunk(out, meta.columns[i], group.columns[i], group.rows);
    compressed += group.columns[i].compressed_bytes;
    uncompressed += group.columns[i].uncompressed_bytes;
  }
  out.i64(2, uncompressed);
  out.i64(3, group.rows);
  out.begin_list(4, ThriftType::structure, meta.sorted_by);
  for (size_t i = 0; i < meta.sorted_by; ++i) {
    out.begin_element();
    out.i32(1, static_cast<int32_t>(i));
    out.boolean(2, false);
    out.boolean(3, false);
    out.end_struct();
  }
  if (!group.columns.empty()) out.i64(5, group.columns.front().begin());
  out.i64(6, compressed);
  if (index <= INT16_MAX) out.i16(7, static_cast<int16_t>(index));
  out.end_struct();
}

// ---------------------------------------------------------------- reading

/// Calls `each(field)` for every field of a struct; what `each` does not take (false) is skipped.
template <class Each>
void read_struct(ThriftReader& in, const Each& each) {
  in.enter();
  for (auto field = in.next(); !in.failed() && field.type != ThriftType::stop; field = in.next()) {
    if (!each(field)) in.skip(field);
  }
}

struct SchemaElement {
  int64_t type = -1, repetition = -1, children = 0, converted = -1;
  std::string name;
  bool nanos = false, timestamp = false;
};

void read_logical_type(ThriftReader& in, SchemaElement& element) {
  read_struct(in, [&](const auto& kind) {
    if (kind.id != 8 || kind.type != ThriftType::structure) return false;
    element.timestamp = true;
    read_struct(in, [&](const auto& part) {
      if (part.id != 2 || part.type != ThriftType::structure) return false;
      read_struct(in, [&](const auto& unit) {
        element.nanos = unit.id == 3;
        return false;
      });
      return true;
    });
    return true;
  });
}

SchemaElement read_schema_element(ThriftReader& in) {
  SchemaElement element;
  read_struct(in, [&](const auto& field) {
    switch (field.id) {
      case 1:
        element.type = in.integer(field);
        return true;
      case 3:
        element.repetition = in.integer(field);
        return true;
      case 4:
        element.name = in.binary(field);
        return true;
      case 5:
        element.children = in.integer(field);
        return true;
      case 6:
        element.converted = in.integer(field);
        return true;
      case 10:
        if (field.type != ThriftType::structure) return false;
        read_logical_type(in, element);
        return true;
      default:
        return false;
    }
  });
  return element;
}

Result<ColumnSpec> column_of(const SchemaElement& element) {
  if (element.children != 0 || element.repetition != kRequired)
    return unsupported("column " + element.name + " is nested or may be null");
  ColumnSpec column{element.name, ColumnType::text};
  switch (element.type) {
    case kByteArray:
      column.type = element.converted == kJson ? ColumnType::json : ColumnType::text;
      return column;
    case kInt32:
      column.type = ColumnType::int32;
      return column;
    case kInt64:
      column.type = ColumnType::int64;
      if (element.timestamp)
        column.type = element.nanos ? ColumnType::timestamp_nanos : ColumnType::timestamp_millis;
      return column;
    case kDouble:
      column.type = ColumnType::real;
      return column;
    default:
      return unsupported("column " + element.name + " has physical type " +
                         std::to_string(element.type));
  }
}

struct ReadChunk {
  ColumnChunkMeta meta;
  int64_t type = -1, codec = -1, values = -1;
};

void read_statistics(ThriftReader& in, ColumnChunkMeta& meta) {
  bool has_min = false, has_max = false;
  read_struct(in, [&](const auto& field) {
    if (field.id == 5) {
      meta.max = in.binary(field);
      return has_max = true;
    }
    if (field.id == 6) {
      meta.min = in.binary(field);
      return has_min = true;
    }
    return false;
  });
  meta.has_bounds = has_min && has_max;
}

void read_chunk_meta(ThriftReader& in, ReadChunk& chunk) {
  read_struct(in, [&](const auto& field) {
    switch (field.id) {
      case 1:
        chunk.type = in.integer(field);
        return true;
      case 4:
        chunk.codec = in.integer(field);
        return true;
      case 5:
        chunk.values = in.integer(field);
        return true;
      case 6:
        chunk.meta.uncompressed_bytes = in.integer(field);
        return true;
      case 7:
        chunk.meta.compressed_bytes = in.integer(field);
        return true;
      case 9:
        chunk.meta.data_offset = in.integer(field);
        return true;
      case 11:
        chunk.meta.dictionary_offset = in.integer(field);
        return true;
      case 12:
        if (field.type != ThriftType::structure) return false;
        read_statistics(in, chunk.meta);
        return true;
      default:
        return false;
    }
  });
}

ReadChunk read_chunk(ThriftReader& in) {
  ReadChunk chunk;
  read_struct(in, [&](const auto& field) {
    if (field.id != 3 || field.type != ThriftType::structure) return false;
    read_chunk_meta(in, chunk);
    return true;
  });
  return chunk;
}

Result<void> check_chunk(const ColumnSpec& spec, const ReadChunk& chunk, int64_t rows,
                         uint64_t file_bytes) {
  const ColumnChunkMeta& meta = chunk.meta;
  if (chunk.type != physical(spec.type) || chunk.values != rows)
    return corrupt("column chunk of " + spec.name + " does not fit the schema");
  if (chunk.codec != kZstd)
    return unsupported("column " + spec.name + " has codec " + std::to_string(chunk.codec) +
                       ", expected zstd");
  const auto limit = static_cast<int64_t>(std::min<uint64_t>(file_bytes, INT64_MAX));
  const int64_t begin = meta.begin();
  const bool placed = begin >= 4 && meta.data_offset >= begin && meta.compressed_bytes >= 0 &&
                      begin <= limit && meta.compressed_bytes <= limit - begin &&
                      meta.data_offset <= begin + meta.compressed_bytes;
  if (!placed) return corrupt("column chunk of " + spec.name + " lies outside of the file");
  const size_t width = spec.type == ColumnType::int32 ? 4 : 8;
  if (meta.has_bounds && !is_text(spec.type) &&
      (meta.min.size() != width || meta.max.size() != width))
    return corrupt("statistics of " + spec.name + " have a wrong length");
  return {};
}

void read_schema(ThriftReader& in, const ThriftReader::Field& field, ParquetMeta& meta,
                 Result<void>& fault) {
  const auto list = in.list(field);
  if (list.element != ThriftType::structure || list.size < 2 || list.size > kMaxColumns + 1)
    return in.fail();
  const SchemaElement root = read_schema_element(in);
  if (root.children != static_cast<int64_t>(list.size) - 1) fault = unsupported("nested columns");
  for (size_t i = 1; i < list.size && !in.failed() && fault.ok(); ++i) {
    auto column = column_of(read_schema_element(in));
    if (column.ok())
      meta.columns.push_back(std::move(column).value());
    else
      fault = std::move(column).error();
  }
}

void read_row_group(ThriftReader& in, const ParquetMeta& meta, uint64_t file_bytes,
                    RowGroupMeta& group, Result<void>& fault) {
  std::vector<ReadChunk> chunks;
  read_struct(in, [&](const auto& field) {
    if (field.id == 3) {
      group.rows = in.integer(field);
      return true;
    }
    if (field.id != 1) return false;
    const auto list = in.list(field);
    if (list.element != ThriftType::structure || list.size != meta.columns.size())
      in.fail();
    else
      for (size_t i = 0; i < list.size && !in.failed(); ++i) chunks.push_back(read_chunk(in));
    return true;
  });
  if (in.failed()) return;
  if (group.rows < 0 || group.rows > kMaxRowsPerGroup || chunks.size() != meta.columns.size()) {
    fault = corrupt("a row group of " + std::to_string(group.rows) + " rows");
    return;
  }
  for (size_t i = 0; i < chunks.size(); ++i) {
    if (auto good = check_chunk(meta.columns[i], chunks[i], group.rows, file_bytes); !good.ok()) {
      fault = std::move(good);
      return;
    }
    group.columns.push_back(std::move(chunks[i].meta));
  }
}

void read_row_groups(ThriftReader& in, const ThriftReader::Field& field, uint64_t file_bytes,
                     ParquetMeta& meta, Result<void>& fault) {
  const auto list = in.list(field);
  if (list.size > kMaxRowGroups || (list.size > 0 && list.element != ThriftType::structure))
    return in.fail();
  for (size_t i = 0; i < list.size && !in.failed() && fault.ok(); ++i)
    read_row_group(in, meta, file_bytes, meta.row_groups.emplace_back(), fault);
}

void read_properties(ThriftReader& in, const ThriftReader::Field& field, ParquetMeta& meta) {
  const auto list = in.list(field);
  if (list.size > 1'000 || (list.size > 0 && list.element != ThriftType::structure))
    return in.fail();
  for (size_t i = 0; i < list.size && !in.failed(); ++i) {
    auto& property = meta.properties.emplace_back();
    read_struct(in, [&](const auto& part) {
      if (part.id != 1 && part.id != 2) return false;
      (part.id == 1 ? property.first : property.second) = in.binary(part);
      return true;
    });
  }
}

int64_t integer_of(std::string_view plain) {
  if (plain.size() == 4) {
    int32_t value = 0;
    std::memcpy(&value, plain.data(), sizeof value);
    return value;
  }
  int64_t value = 0;
  std::memcpy(&value, plain.data(), std::min(sizeof value, plain.size()));
  return value;
}

}  // namespace

int64_t ColumnChunkMeta::min_integer() const noexcept {
  return has_bounds ? integer_of(min) : INT64_MIN;
}
int64_t ColumnChunkMeta::max_integer() const noexcept {
  return has_bounds ? integer_of(max) : INT64_MAX;
}

Result<size_t> ParquetMeta::column(std::string_view name) const {
  for (size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].name == name) return i;
  }
  return corrupt("column " + std::string(name) + " is missing");
}

std::string encode_footer(const ParquetMeta& meta) {
  ThriftWriter out;
  out.i32(1, 2);  // format version
  out.begin_list(2, ThriftType::structure, meta.columns.size() + 1);
  out.begin_element();
  out.binary(4, "schema");
  out.i32(5, static_cast<int32_t>(meta.columns.size()));
  out.end_struct();
  for (const ColumnSpec& column : meta.columns) write_schema_column(out, column);
  out.i64(3, meta.rows);
  out.begin_list(4, ThriftType::structure, meta.row_groups.size());
  for (size_t i = 0; i < meta.row_groups.size(); ++i) write_row_group(out, meta, i);
  if (!meta.properties.empty()) {
    out.begin_list(5, ThriftType::structure, meta.properties.size());
    for (const auto& [key, value] : meta.properties) {
      out.begin_element();
      out.binary(1, key);
      out.binary(2, value);
      out.end_struct();
    }
  }
  out.binary(6, "hms-collector");
  out.begin_list(7, ThriftType::structure, meta.columns.size());
  for (size_t i = 0; i < meta.columns.size(); ++i) {  // bounds are ordered as the type says
    out.begin_element();
    out.begin_struct(1);
    out.end_struct();
    out.end_struct();
  }
  return out.finish();
}

Result<ParquetMeta> decode_footer(std::string_view footer, uint64_t file_bytes) {
  ThriftReader in(footer);
  ParquetMeta meta;
  Result<void> fault;
  read_struct(in, [&](const auto& field) {
    if (!fault.ok()) {
      in.fail();
      return true;
    }
    switch (field.id) {
      case 2:
        read_schema(in, field, meta, fault);
        return true;
      case 3:
        meta.rows = in.integer(field);
        return true;
      case 4:
        read_row_groups(in, field, file_bytes, meta, fault);
        return true;
      case 5:
        read_properties(in, field, meta);
        return true;
      default:
        return false;
    }
  });
  if (!fault.ok()) return std::move(fault).error();
  int64_t rows = 0;
  for (const RowGroupMeta& group : meta.row_groups) rows += group.rows;
  if (in.failed() || meta.columns.empty() || rows != meta.rows)
    return corrupt("the footer cannot be read");
  return meta;
}

std::string encode_page_header(const PageHeader& header) {
  const bool dictionary = header.kind == PageKind::dictionary;
  ThriftWriter out;
  out.i32(1, dictionary ? kDictionaryPage : kDataPage);
  out.i32(2, static_cast<int32_t>(header.uncompressed_bytes));
  out.i32(3, static_cast<int32_t>(header.compressed_bytes));
  out.i32(4, static_cast<int32_t>(header.crc));
  out.begin_struct(dictionary ? 7 : 5);
  out.i32(1, static_cast<int32_t>(header.values));
  out.i32(2, static_cast<int32_t>(header.encoding));
  if (!dictionary) {
    out.i32(3, kRle);
    out.i32(4, kRle);
  }
  out.end_struct();
  return out.finish();
}

Result<std::pair<PageHeader, size_t>> decode_page_header(std::string_view bytes) {
  ThriftReader in(bytes);
  int64_t type = -1, uncompressed = -1, compressed = -1, crc = INT64_MAX, values = -1;
  int64_t encoding = -1;
  const auto read_inner = [&] {
    read_struct(in, [&](const auto& field) {
      if (field.id != 1 && field.id != 2) return false;
      (field.id == 1 ? values : encoding) = in.integer(field);
      return true;
    });
  };
  read_struct(in, [&](const auto& field) {
    switch (field.id) {
      case 1:
        type = in.integer(field);
        return true;
      case 2:
        uncompressed = in.integer(field);
        return true;
      case 3:
        compressed = in.integer(field);
        return true;
      case 4:
        crc = in.integer(field);
        return true;
      case 5:
      case 7:
        if (field.type != ThriftType::structure) return false;
        read_inner();
        return true;
      default:
        return false;
    }
  });
  constexpr auto kLimit = static_cast<int64_t>(kMaxPageBytes);
  if (in.failed() || uncompressed < 0 || compressed < 0 || uncompressed > kLimit ||
      compressed > kLimit || values < 0 || values > kMaxRowsPerGroup)
    return corrupt("a page header cannot be read");
  if (crc < INT32_MIN || crc > INT32_MAX) return corrupt("a page has no checksum");
  PageHeader header;
  if (type != kDataPage && type != kDictionaryPage)
    return unsupported("page type " + std::to_string(type));
  header.kind = type == kDictionaryPage ? PageKind::dictionary : PageKind::data;
  if (encoding != 0 && encoding != 8)
    return unsupported("page encoding " + std::to_string(encoding));
  header.encoding = static_cast<PageEncoding>(encoding);
  header.uncompressed_bytes = static_cast<uint32_t>(uncompressed);
  header.compressed_bytes = static_cast<uint32_t>(compressed);
  header.crc = static_cast<uint32_t>(static_cast<int32_t>(crc));
  header.values = static_cast<uint32_t>(values);
  return std::pair(header, in.consumed());
}

}  // namespace hms::collector
