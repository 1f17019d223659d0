#include "collector/lake/parquet_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "collector/lake/crc32.h"
#include "net/http/compress.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

Error corrupt(std::string detail) {
  return {Code::corrupt, net::Side::self, false, "Parquet: " + std::move(detail)};
}

uint32_t read_u32(std::string_view bytes) {
  uint32_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

/// Appends `count` texts (length, bytes) of a plain page.
bool read_plain_texts(std::string_view page, size_t count, std::vector<std::string_view>& out) {
  for (size_t i = 0; i < count; ++i) {
    if (page.size() < 4) return false;
    const uint32_t length = read_u32(page);
    page.remove_prefix(4);
    if (length > page.size()) return false;
    out.push_back(page.substr(0, length));
    page.remove_prefix(length);
  }
  return page.empty();
}

template <class Stored, class Kept>
bool read_plain_numbers(std::string_view page, size_t count, std::vector<Kept>& out) {
  if (page.size() != count * sizeof(Stored)) return false;
  for (size_t i = 0; i < count; ++i) {
    Stored value{};
    std::memcpy(&value, page.data() + i * sizeof(Stored), sizeof value);
    out.push_back(static_cast<Kept>(value));
  }
  return true;
}

/// Runs and bit-packed groups; false when they do not give `count` values below `limit`.
class HybridDecoder {
 public:
  HybridDecoder(std::string_view in, unsigned width) : in_(in), width_(width) {}

  bool decode(size_t count, size_t limit, std::vector<uint32_t>& out) {
    const size_t end = out.size() + count;
    while (out.size() < end) {
      uint64_t head = 0;
      if (!varint(head)) return false;
      const uint64_t size = head >> 1;
      const bool good =
          (head & 1) != 0 ? packed(size, end, limit, out) : run(size, end, limit, out);
      if (!good) return false;
    }
    return true;
  }

 private:
  bool varint(uint64_t& value) {
    for (unsigned shift = 0; shift < 35; shift += 7) {
      if (in_.empty()) return false;
      const auto byte = static_cast<uint8_t>(in_.front());
      in_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if ((byte & 0x80) == 0) return true;
    }
    return false;
  }
  bool run(uint64_t size, size_t end, size_t limit, std::vector<uint32_t>& out) {
    const size_t bytes = (width_ + 7) / 8;
    if (size == 0 || size > end - out.size() || in_.size() < bytes) return false;
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; ++i)
      value |= static_cast<uint32_t>(static_cast<uint8_t>(in_[i])) << (8 * i);
    in_.remove_prefix(bytes);
    if (value >= limit) return false;
    out.insert(out.end(), size, value);
    return true;
  }
  bool packed(uint64_t groups, size_t end, size_t limit, std::vector<uint32_t>& out) {
    if (groups == 0 || groups > in_.size() / width_) return false;
    uint64_t bits = 0;
    unsigned filled = 0;
    const uint64_t mask = (uint64_t{1} << width_) - 1;
    for (uint64_t byte = 0; byte < groups * width_; ++byte) {
      bits |= static_cast<uint64_t>(static_cast<uint8_t>(in_[byte])) << filled;
      for (filled += 8; filled >= width_; filled -= width_) {
        const auto value = static_cast<uint32_t>(bits & mask);
        bits >>= width_;
        if (out.size() == end) continue;  // the last group's filling
        if (value >= limit) return false;
        out.push_back(value);
      }
    }
    in_.remove_prefix(groups * width_);
    return true;
  }
  std::string_view in_;
  const unsigned width_;
};

/// Walks the pages of one column chunk.
class ChunkReader {
 public:
  ChunkReader(const ColumnSpec& spec, std::string_view chunk, size_t rows)
      : spec_(spec), in_(chunk), rows_(rows) {}

  Result<ColumnValues> read(size_t first_row, size_t last_row) {
    bool begun = false;
    for (size_t row = 0; row < rows_ && row < last_row;) {
      auto parsed = decode_page_header(in_);
      if (!parsed.ok()) return std::move(parsed).error();
      const auto& [header, length] = parsed.value();
      in_.remove_prefix(length);
      if (header.compressed_bytes > in_.size())
        return corrupt("a page of " + spec_.name + " is cut");
      const std::string_view packed = in_.substr(0, header.compressed_bytes);
      in_.remove_prefix(header.compressed_bytes);
      if (header.kind == PageKind::data && header.values == 0)
        return corrupt("an empty page of " + spec_.name);
      if (header.kind == PageKind::data && row + header.values <= first_row) {
        row += header.values;
        continue;
      }
      auto page = unpack(header, packed);
      if (!page.ok()) return std::move(page).error();
      if (header.kind == PageKind::dictionary) {
        if (row != 0 || !values_.dictionary.empty() || !is_text(spec_.type) ||
            !read_plain_texts(keep(std::move(page).value()), header.values, values_.dictionary))
          return corrupt("the dictionary of " + spec_.name + " cannot be read");
        continue;
      }
      if (header.values > rows_ - row) return corrupt("too many values of " + spec_.name);
      if (!std::exchange(begun, true)) values_.first = row;
      if (!take(header, std::move(page).value()))
        return corrupt("a page of " + spec_.name + " cannot be read");
      row += header.values;
    }
    return std::move(values_);
  }

 private:
  std::string_view keep(std::string bytes) { return values_.bytes.emplace_back(std::move(bytes)); }

  Result<std::string> unpack(const PageHeader& header, std::string_view packed) {
    if (crc32_of(packed) != header.crc)
      return corrupt("the checksum of a page of " + spec_.name + " is wrong");
    auto page = net::zstd_decode(packed, header.uncompressed_bytes);
    if (page.ok() && page.value().size() != header.uncompressed_bytes)
      return corrupt("a page of " + spec_.name + " has a wrong size");
    return page;
  }

  bool take(const PageHeader& header, std::string page) {
    if (header.encoding == PageEncoding::rle_dictionary) {
      if (!is_text(spec_.type) || page.empty()) return false;
      const auto width = static_cast<unsigned>(static_cast<uint8_t>(page.front()));
      if (width == 0 || width > 24) return false;
      const size_t before = values_.indices.size();
      if (before != values_.texts.size()) return false;  // plain pages came before
      if (!HybridDecoder(std::string_view(page).substr(1), width)
               .decode(header.values, values_.dictionary.size(), values_.indices))
        return false;
      for (size_t i = before; i < values_.indices.size(); ++i)
        values_.texts.push_back(values_.dictionary[values_.indices[i]]);
      return true;
    }
    switch (spec_.type) {
      case ColumnType::text:
      case ColumnType::json:
        return read_plain_texts(keep(std::move(page)), header.values, values_.texts);
      case ColumnType::int32:
        return read_plain_numbers<int32_t>(page, header.values, values_.integers);
      case ColumnType::int64:
      case ColumnType::timestamp_nanos:
      case ColumnType::timestamp_millis:
        return read_plain_numbers<int64_t>(page, header.values, values_.integers);
      case ColumnType::real:
        return read_plain_numbers<double>(page, header.values, values_.reals);
    }
    return false;
  }

  const ColumnSpec& spec_;
  std::string_view in_;
  const size_t rows_;
  ColumnValues values_;
};

}  // namespace

Result<std::unique_ptr<ParquetFile>> ParquetFile::open(std::shared_ptr<const LakeFile> file) {
  const uint64_t size = file->size();
  if (size < kParquetMagic.size() + kParquetTail) return corrupt("the file is too short");
  // One read fetches the footers of most files.
  const uint64_t guess = std::min<uint64_t>(size, 64 * 1024);
  auto tail = file->read(size - guess, guess);
  if (!tail.ok()) return std::move(tail).error();
  std::string bytes = std::move(tail).value();
  const std::string_view last = std::string_view(bytes).substr(bytes.size() - kParquetTail);
  if (last.substr(4) != kParquetMagic) return corrupt("the file does not end with PAR1");
  const uint64_t length = read_u32(last);
  if (length > kMaxFooterBytes || length > size - kParquetTail - kParquetMagic.size())
    return corrupt("a footer of " + std::to_string(length) + " bytes");
  if (length + kParquetTail > bytes.size()) {
    auto footer = file->read(size - kParquetTail - length, length + kParquetTail);
    if (!footer.ok()) return std::move(footer).error();
    bytes = std::move(footer).value();
  }
  auto meta = decode_footer(
      std::string_view(bytes).substr(bytes.size() - kParquetTail - length, length), size);
  if (!meta.ok()) return std::move(meta).error();
  std::unique_ptr<ParquetFile> out(new ParquetFile);
  out->file_ = std::move(file);
  out->meta_ = std::move(meta).value();
  return out;
}

Result<ColumnValues> ParquetFile::read(size_t row_group, size_t column, size_t first_row,
                                       size_t last_row) const {
  const RowGroupMeta& group = meta_.row_groups.at(row_group);
  const ColumnChunkMeta& chunk = group.columns.at(column);
  const auto length = static_cast<uint64_t>(chunk.compressed_bytes);
  constexpr uint64_t kMaxChunk = 512ULL * 1024 * 1024;
  if (length > kMaxChunk) return corrupt("a column chunk of " + std::to_string(length) + " bytes");
  auto bytes = file_->read(static_cast<uint64_t>(chunk.begin()), length);
  if (!bytes.ok()) return std::move(bytes).error();
  return ChunkReader(meta_.columns[column], bytes.value(), static_cast<size_t>(group.rows))
      .read(first_row, last_row);
}

Result<std::string> MemoryFile::read(uint64_t offset, uint64_t length) const {
  if (offset > bytes_.size() || length > bytes_.size() - offset)
    return corrupt("bytes beyond the end of the file");
  return bytes_.substr(offset, length);
}

}  // namespace hms::collector
