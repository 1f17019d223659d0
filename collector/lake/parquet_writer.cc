#include "collector/lake/parquet_writer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <deque>
#include <unordered_map>
#include <utility>

#include "collector/lake/crc32.h"
#include "net/http/compress.h"

namespace hms::collector {
namespace {

using net::Result;

constexpr size_t kMaxDictionaryBytes = 512 * 1024;
constexpr size_t kMaxBoundBytes = 64;  // longer texts say little about where a row is
constexpr size_t kMaxPageBody = 1024 * 1024;

template <class T>
void append_plain(std::string& out, T value) {
  static_assert(std::endian::native == std::endian::little);
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

/// Parquet's hybrid of runs and bit-packed groups of eight.
class HybridEncoder {
 public:
  HybridEncoder(std::string& out, unsigned width) : out_(out), width_(width) {}

  void encode(const uint32_t* values, size_t size) {
    size_t at = 0;
    while (at < size) {
      size_t same = at + 1;
      while (same < size && values[same] == values[at]) ++same;
      if (same - at >= 8) {
        append_varint(out_, (same - at) << 1);
        for (unsigned byte = 0; byte < (width_ + 7) / 8; ++byte)
          out_.push_back(static_cast<char>(values[at] >> (8 * byte)));
        at = same;
        continue;
      }
      at += pack(values + at, size - at);
    }
  }

 private:
  /// Packs groups of eight until a run worth its own begins; how many values it took. Only the
  /// last group may be filled up, with zeros.
  size_t pack(const uint32_t* values, size_t size) {
    size_t groups = 0;
    while (groups * 8 < size) {
      const size_t at = groups * 8;
      size_t same = at;
      while (same < size && same < at + 16 && values[same] == values[at]) ++same;
      if (groups > 0 && same - at >= 16) break;
      ++groups;
    }
    append_varint(out_, groups << 1 | 1);
    uint64_t bits = 0;
    unsigned filled = 0;
    for (size_t i = 0; i < groups * 8; ++i) {
      bits |= uint64_t{i < size ? values[i] : 0} << filled;
      for (filled += width_; filled >= 8; filled -= 8) {
        out_.push_back(static_cast<char>(bits));
        bits >>= 8;
      }
    }
    return std::min(groups * 8, size);
  }
  std::string& out_;
  const unsigned width_;
};

}  // namespace

// One column's values of the row group in memory.
class ParquetWriter::Column {
 public:
  explicit Column(const ColumnSpec& spec) : type_(spec.type), may_use_dictionary_(spec.dictionary) {
    clear();
  }

  /// What the value adds to memory.
  size_t text(std::string_view value) {
    note_bounds(value);
    if (!use_dictionary_) return plain_text(value);
    const auto found = indices_.find(value);
    if (found != indices_.end()) {
      rows_.push_back(found->second);
      return sizeof(uint32_t);
    }
    if (dictionary_bytes_ + value.size() + 4 > kMaxDictionaryBytes) {
      leave_dictionary();
      return plain_text(value);
    }
    const auto index = static_cast<uint32_t>(texts_.size());
    texts_.emplace_back(value);
    indices_.emplace(texts_.back(), index);
    dictionary_bytes_ += value.size() + 4;
    rows_.push_back(index);
    return value.size() + 64;
  }

  void integer(int64_t value) {
    integers_.push_back(value);
    least_ = std::min(least_, value);
    most_ = std::max(most_, value);
  }

  void real(double value) {
    reals_.push_back(value);
    if (std::isnan(value)) has_nan_ = true;
    low_ = std::min(low_, value);
    high_ = std::max(high_, value);
  }

  [[nodiscard]] bool dictionary() const { return is_text(type_) && use_dictionary_; }
  [[nodiscard]] size_t dictionary_size() const { return texts_.size(); }
  [[nodiscard]] std::string dictionary_page() const {
    std::string out;
    for (const std::string& text : texts_) {
      append_plain(out, static_cast<uint32_t>(text.size()));
      out += text;
    }
    return out;
  }

  /// Rows [first, returned) in a page's form: at most kRowsPerPage rows, and about kMaxPageBody.
  size_t page(size_t first, size_t rows, std::string& out) const {
    size_t last = std::min<size_t>(first + kRowsPerPage, rows);
    if (dictionary()) {
      const unsigned width =
          texts_.size() < 2 ? 1 : static_cast<unsigned>(std::bit_width(texts_.size() - 1));
      out.push_back(static_cast<char>(width));
      HybridEncoder(out, width).encode(rows_.data() + first, last - first);
    } else if (is_text(type_)) {
      const size_t begin = first == 0 ? 0 : ends_[first - 1];
      while (last > first + 1 && ends_[last - 1] - begin > kMaxPageBody)
        last = first + (last - first) / 2;
      out.append(plain_, begin, ends_[last - 1] - begin);
    } else if (type_ == ColumnType::real) {
      for (size_t i = first; i < last; ++i) append_plain(out, reals_[i]);
    } else if (type_ == ColumnType::int32) {
      for (size_t i = first; i < last; ++i) append_plain(out, static_cast<int32_t>(integers_[i]));
    } else {
      for (size_t i = first; i < last; ++i) append_plain(out, integers_[i]);
    }
    return last;
  }

  void bounds(ColumnChunkMeta& chunk) const {
    if (is_text(type_)) {
      chunk.has_bounds = type_ == ColumnType::text && !too_long_ && has_text_;
      if (chunk.has_bounds) {
        chunk.min = first_;
        chunk.max = last_;
      }
    } else if (type_ == ColumnType::real) {
      chunk.has_bounds = !has_nan_ && !reals_.empty();
      if (!chunk.has_bounds) return;
      append_plain(chunk.min, low_ == 0 ? -0.0 : low_);  // as parquet.thrift asks
      append_plain(chunk.max, high_ == 0 ? 0.0 : high_);
    } else {
      chunk.has_bounds = !integers_.empty();
      if (!chunk.has_bounds) return;
      if (type_ == ColumnType::int32) {
        append_plain(chunk.min, static_cast<int32_t>(least_));
        append_plain(chunk.max, static_cast<int32_t>(most_));
      } else {
        append_plain(chunk.min, least_);
        append_plain(chunk.max, most_);
      }
    }
  }

  void clear() {
    indices_.clear();
    texts_.clear();
    rows_.clear();
    plain_.clear();
    ends_.clear();
    integers_.clear();
    reals_.clear();
    dictionary_bytes_ = 0;
    use_dictionary_ = may_use_dictionary_;
    first_.clear();
    last_.clear();
    has_text_ = too_long_ = has_nan_ = false;
    least_ = INT64_MAX;
    most_ = INT64_MIN;
    low_ = HUGE_VAL;
    high_ = -HUGE_VAL;
  }

 private:
  size_t plain_text(std::string_view value) {
    append_plain(plain_, static_cast<uint32_t>(value.size()));
    plain_ += value;
    ends_.push_back(plain_.size());
    return value.size() + 12;
  }
  void leave_dictionary() {
    use_dictionary_ = false;
    for (const uint32_t index : rows_) plain_text(texts_[index]);
    indices_.clear();
    texts_.clear();
    rows_.clear();
  }
  void note_bounds(std::string_view value) {
    if (type_ != ColumnType::text || too_long_) return;
    if (value.size() > kMaxBoundBytes) {
      too_long_ = true;
    } else if (!has_text_) {
      has_text_ = true;
      first_ = last_ = value;
    } else if (value < first_) {
      first_ = value;
    } else if (value > last_) {
      last_ = value;
    }
  }

  const ColumnType type_;
  const bool may_use_dictionary_;
  bool use_dictionary_ = true;
  std::deque<std::string> texts_;  // stable: the keys of indices_ point here
  std::unordered_map<std::string_view, uint32_t> indices_;
  size_t dictionary_bytes_ = 0;
  std::vector<uint32_t> rows_;
  std::string plain_;
  std::vector<size_t> ends_;
  std::vector<int64_t> integers_;
  std::vector<double> reals_;
  std::string first_, last_;
  bool has_text_ = false, too_long_ = false, has_nan_ = false;
  int64_t least_ = INT64_MAX, most_ = INT64_MIN;
  double low_ = HUGE_VAL, high_ = -HUGE_VAL;
};

ParquetWriter::ParquetWriter(std::vector<ColumnSpec> columns, const ParquetWriterOptions& options,
                             Sink sink)
    : options_(options), sink_(std::move(sink)) {
  meta_.columns = std::move(columns);
  meta_.sorted_by = options.sorted_by;
  for (const ColumnSpec& spec : meta_.columns) columns_.push_back(std::make_unique<Column>(spec));
}
ParquetWriter::~ParquetWriter() = default;

void ParquetWriter::text(size_t column, std::string_view value) {
  buffered_ += columns_[column]->text(value);
}
void ParquetWriter::integer(size_t column, int64_t value) {
  columns_[column]->integer(value);
  buffered_ += sizeof value;
}
void ParquetWriter::real(size_t column, double value) {
  columns_[column]->real(value);
  buffered_ += sizeof value;
}

Result<void> ParquetWriter::end_row() {
  ++rows_;
  if (rows_ < options_.rows_per_group && buffered_ < options_.bytes_per_group) return {};
  return flush_group();
}

Result<void> ParquetWriter::write(std::string_view bytes) {
  offset_ += bytes.size();
  return sink_(bytes);
}

Result<void> ParquetWriter::flush_group() {
  if (rows_ == 0) return {};
  if (offset_ == 0) {
    if (auto written = write(kParquetMagic); !written.ok()) return written;
  }
  RowGroupMeta& group = meta_.row_groups.emplace_back();
  group.rows = rows_;
  group.columns.resize(columns_.size());
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (auto written = write_column(i, group.columns[i]); !written.ok()) return written;
    columns_[i]->clear();
  }
  meta_.rows += rows_;
  rows_ = 0;
  buffered_ = 0;
  return {};
}

Result<void> ParquetWriter::write_column(size_t index, ColumnChunkMeta& chunk) {
  const Column& column = *columns_[index];
  column.bounds(chunk);
  if (column.dictionary()) {
    chunk.dictionary_offset = static_cast<int64_t>(offset_);
    if (auto written = write_page(PageKind::dictionary, PageEncoding::plain,
                                  static_cast<uint32_t>(column.dictionary_size()),
                                  column.dictionary_page(), chunk);
        !written.ok())
      return written;
  }
  chunk.data_offset = static_cast<int64_t>(offset_);
  const PageEncoding encoding =
      column.dictionary() ? PageEncoding::rle_dictionary : PageEncoding::plain;
  const auto rows = static_cast<size_t>(rows_);
  std::string body;
  for (size_t first = 0; first < rows;) {
    body.clear();
    const size_t last = column.page(first, rows, body);
    if (auto written =
            write_page(PageKind::data, encoding, static_cast<uint32_t>(last - first), body, chunk);
        !written.ok())
      return written;
    first = last;
  }
  return {};
}

Result<void> ParquetWriter::write_page(PageKind kind, PageEncoding encoding, uint32_t values,
                                       std::string_view body, ColumnChunkMeta& chunk) {
  const std::string packed = net::zstd_encode(body, options_.compression_level);
  PageHeader header;
  header.kind = kind;
  header.encoding = encoding;
  header.values = values;
  header.uncompressed_bytes = static_cast<uint32_t>(body.size());
  header.compressed_bytes = static_cast<uint32_t>(packed.size());
  header.crc = crc32_of(packed);
  const std::string head = encode_page_header(header);
  chunk.compressed_bytes += static_cast<int64_t>(head.size() + packed.size());
  chunk.uncompressed_bytes += static_cast<int64_t>(head.size() + body.size());
  if (auto written = write(head); !written.ok()) return written;
  return write(packed);
}

Result<void> ParquetWriter::finish(std::vector<std::pair<std::string, std::string>> properties) {
  if (auto flushed = flush_group(); !flushed.ok()) return flushed;
  if (offset_ == 0) {
    if (auto written = write(kParquetMagic); !written.ok()) return written;
  }
  meta_.properties = std::move(properties);
  std::string tail = encode_footer(meta_);
  const auto length = static_cast<uint32_t>(tail.size());
  append_plain(tail, length);
  tail += kParquetMagic;
  return write(tail);
}

}  // namespace hms::collector
