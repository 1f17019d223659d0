#include "collector/lake/table_files.h"

#include <charconv>
#include <cstdio>
#include <filesystem>

#include "collector/store/keys.h"

namespace hms::collector {
namespace {

using net::Result;

constexpr uint64_t kSignBit = uint64_t{1} << 63;

/// A file of the lake being written: its bytes, counted and summed on the way.
class HashedFile {
 public:
  static Result<std::unique_ptr<HashedFile>> create(const std::string& path) {
    auto file = FileWriter::create(path);
    if (!file.ok()) return std::move(file).error();
    return std::make_unique<HashedFile>(std::move(file).value());
  }
  explicit HashedFile(FileWriter file) : file_(std::move(file)) {}
  Result<void> write(std::string_view bytes) {
    digest_.add(bytes);
    size_ += bytes.size();
    return file_.write(bytes);
  }
  Result<void> finish(LakeObject& object) {
    object.bytes = size_;
    object.sha256 = digest_.finish_hex();
    return file_.sync();
  }

 private:
  FileWriter file_;
  Sha256 digest_;
  uint64_t size_ = 0;
};

std::vector<std::pair<std::string, std::string>> properties(uint32_t day) {
  return {{"hms.lake.format", "1"}, {"hms.day", day_text(day)}};
}

}  // namespace

std::string staged_path(const std::string& folder, const std::string& name) {
  return folder + "/" + name.substr(name.rfind('/') + 1);
}

// ---------------------------------------------------------------- a table

struct TableFiles::Open {
  Open(std::unique_ptr<HashedFile> made, const TableSpec& spec)
      : file(std::move(made)), writer(spec.columns, options(spec), [this](std::string_view bytes) {
          return file->write(bytes);
        }) {}
  static ParquetWriterOptions options(const TableSpec& spec) {
    ParquetWriterOptions out;
    out.sorted_by = spec.sorted_by;
    return out;
  }
  std::unique_ptr<HashedFile> file;
  ParquetWriter writer;
};

TableFiles::TableFiles(std::string folder, uint32_t day, LakeTable table, uint64_t max_file_bytes)
    : folder_(std::move(folder)),
      day_(day),
      spec_(table_spec(table)),
      max_file_bytes_(max_file_bytes) {}
TableFiles::~TableFiles() = default;

Result<void> TableFiles::begin() {
  char number[24];
  std::snprintf(number, sizeof number, "-%05zu.parquet", files_.size());
  LakeObject object;
  object.name = object_name(day_, std::string(spec_.name) + number);
  auto file = HashedFile::create(staged_path(folder_, object.name));
  if (!file.ok()) return std::move(file).error();
  files_.push_back(std::move(object));
  open_ = std::make_unique<Open>(std::move(file).value(), spec_);
  return {};
}

Result<void> TableFiles::end() {
  LakeObject& object = files_.back();
  if (auto done = open_->writer.finish(properties(day_)); !done.ok()) return done;
  const ParquetMeta& meta = open_->writer.meta();
  object.rows = static_cast<uint64_t>(meta.rows);
  object.min_time = INT64_MAX;
  object.max_time = INT64_MIN;
  for (const RowGroupMeta& group : meta.row_groups) {
    const ColumnChunkMeta& time = group.columns[spec_.time_column];
    object.min_time = std::min(object.min_time, time.min_integer());
    object.max_time = std::max(object.max_time, time.max_integer());
  }
  auto closed = open_->file->finish(object);
  open_.reset();
  return closed;
}

Result<void> TableFiles::add(std::string_view row) {
  if (!open_) {
    if (auto begun = begin(); !begun.ok()) return begun;
  }
  put_row(spec_, row, open_->writer);
  if (auto ended = open_->writer.end_row(); !ended.ok()) return ended;
  return open_->writer.bytes_written() >= max_file_bytes_ ? end() : Result<void>();
}

Result<std::vector<LakeObject>> TableFiles::finish() {
  if (open_) {
    if (auto ended = end(); !ended.ok()) return std::move(ended).error();
  }
  return files_;
}

// ---------------------------------------------------------------- the index

std::optional<int64_t> trace_key(std::string_view hex) {
  if (hex.size() != 32) return std::nullopt;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(hex.data() + 16, hex.data() + 32, value, 16);
  if (error != std::errc() || end != hex.data() + 32) return std::nullopt;
  return static_cast<int64_t>(value);
}

TraceIndexWriter::TraceIndexWriter(std::string folder, uint32_t day, LakeTable table,
                                   uint64_t memory_bytes)
    : folder_(std::move(folder)),
      sorter_(folder_, "trace-index-" + std::string(table_spec(table).name), memory_bytes) {
  object_.name =
      object_name(day, "trace-index-" + std::string(table_spec(table).name) + ".parquet");
}

Result<void> TraceIndexWriter::add(std::string_view trace_id_hex, uint64_t row) {
  const auto key = trace_key(trace_id_hex);
  if (!key) return {};
  std::string record;
  append_be64(record, static_cast<uint64_t>(*key) ^ kSignBit);  // bytewise order is signed order
  append_be32(record, static_cast<uint32_t>(row / kIndexBlockRows));
  return sorter_.add(record, {});
}

Result<LakeObject> TraceIndexWriter::finish() {
  auto made = HashedFile::create(staged_path(folder_, object_.name));
  if (!made.ok()) return std::move(made).error();
  HashedFile& file = *made.value();
  ParquetWriterOptions options;
  options.rows_per_group = 16'384;  // a question reads one row group
  options.sorted_by = 2;
  ParquetWriter writer({{"trace_key", ColumnType::int64}, {"block", ColumnType::int32}}, options,
                       [&file](std::string_view bytes) { return file.write(bytes); });
  std::string last;
  auto written = sorter_.finish([&](std::string_view key, std::string_view) -> Result<void> {
    if (key == last) return {};
    last = key;
    writer.integer(0, static_cast<int64_t>(read_be64(key) ^ kSignBit));
    writer.integer(1, read_be32(key.substr(8)));
    return writer.end_row();
  });
  if (!written.ok()) return std::move(written).error();
  if (auto done = writer.finish({{"hms.lake.format", "1"}}); !done.ok())
    return std::move(done).error();
  object_.rows = static_cast<uint64_t>(writer.meta().rows);
  if (auto closed = file.finish(object_); !closed.ok()) return std::move(closed).error();
  return object_;
}

}  // namespace hms::collector
