#include "collector/lake/external_sort.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>
#include <queue>

#include "collector/lake/local_file.h"
#include "net/http/compress.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

constexpr size_t kBlockBytes = 64 * 1024;
constexpr size_t kMergeRuns = 256;
constexpr uint64_t kMaxBlock = 64ULL * 1024 * 1024;  // one record may be larger than a block

uint64_t prefix_of(std::string_view key) {
  uint64_t prefix = 0;
  for (size_t i = 0; i < 8; ++i)
    prefix = prefix << 8 | (i < key.size() ? static_cast<uint8_t>(key[i]) : 0);
  return prefix;
}

void append_u32(std::string& out, size_t value) {
  const auto number = static_cast<uint32_t>(value);
  out.append(reinterpret_cast<const char*>(&number), sizeof number);
}

uint32_t read_u32(const char* at) {
  uint32_t value = 0;
  std::memcpy(&value, at, sizeof value);
  return value;
}

/// A run being written.
class RunWriter {
 public:
  explicit RunWriter(FileWriter file) : file_(std::move(file)) {}
  Result<void> add(std::string_view key, std::string_view payload) {
    append_u32(block_, key.size());
    append_u32(block_, payload.size());
    block_ += key;
    block_ += payload;
    return block_.size() >= kBlockBytes ? flush() : Result<void>();
  }
  Result<void> close() {
    if (auto flushed = flush(); !flushed.ok()) return flushed;
    return file_.close();
  }
  [[nodiscard]] uint64_t bytes() const { return bytes_; }

 private:
  Result<void> flush() {
    if (block_.empty()) return {};
    const std::string packed = net::zstd_encode(block_, 1);
    std::string head;
    append_u32(head, packed.size());
    append_u32(head, block_.size());
    block_.clear();
    bytes_ += head.size() + packed.size();
    if (auto written = file_.write(head); !written.ok()) return written;
    return file_.write(packed);
  }
  FileWriter file_;
  std::string block_;
  uint64_t bytes_ = 0;
};

/// A run being read: one block in memory.
class RunReader {
 public:
  static Result<std::unique_ptr<RunReader>> open(const std::string& path) {
    auto file = LocalFile::open(path);
    if (!file.ok()) return std::move(file).error();
    auto out = std::make_unique<RunReader>();
    out->file_ = std::move(file).value();
    if (auto moved = out->advance(); !moved.ok()) return std::move(moved).error();
    return out;
  }
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] std::string_view key() const { return key_; }
  [[nodiscard]] std::string_view payload() const { return payload_; }

  Result<void> advance() {
    if (at_ == block_.size()) {
      if (auto filled = fill(); !filled.ok() || ended_) return filled;
    }
    const size_t left = block_.size() - at_;
    const uint64_t key = left >= 8 ? read_u32(block_.data() + at_) : 0;
    const uint64_t payload = left >= 8 ? read_u32(block_.data() + at_ + 4) : 0;
    if (left < 8 || key + payload > left - 8)
      return Error{Code::corrupt, net::Side::self, false, "lake: a sorting file is damaged"};
    key_ = std::string_view(block_).substr(at_ + 8, key);
    payload_ = std::string_view(block_).substr(at_ + 8 + key, payload);
    at_ += 8 + key + payload;
    return {};
  }

 private:
  Result<void> fill() {
    if (offset_ >= file_->size()) {
      ended_ = true;
      return {};
    }
    auto head = file_->read(offset_, 8);
    if (!head.ok()) return std::move(head).error();
    const uint32_t packed = read_u32(head.value().data());
    auto bytes = file_->read(offset_ + 8, packed);
    if (!bytes.ok()) return std::move(bytes).error();
    offset_ += 8 + uint64_t{packed};
    auto block = net::zstd_decode(bytes.value(), kMaxBlock);
    if (!block.ok()) return std::move(block).error();
    block_ = std::move(block).value();
    at_ = 0;
    return {};
  }
  std::shared_ptr<LocalFile> file_;
  uint64_t offset_ = 0;
  std::string block_;
  size_t at_ = 0;
  std::string_view key_, payload_;
  bool ended_ = false;
};

void remove_file(const std::string& path) {
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
}

}  // namespace

ExternalSorter::ExternalSorter(std::string directory, std::string name, uint64_t memory_bytes)
    : directory_(std::move(directory)),
      name_(std::move(name)),
      memory_bytes_(std::min<uint64_t>(memory_bytes, UINT32_MAX / 2)) {}

ExternalSorter::~ExternalSorter() {
  for (const std::string& run : runs_) remove_file(run);
}

std::string_view ExternalSorter::key(const Record& record) const {
  return std::string_view(arena_).substr(record.offset, record.key_size);
}
std::string_view ExternalSorter::payload(const Record& record) const {
  return std::string_view(arena_).substr(record.offset + record.key_size, record.payload_size);
}

Result<void> ExternalSorter::add(std::string_view record_key, std::string_view record_payload) {
  const uint64_t used = arena_.size() + records_.size() * sizeof(Record);
  if (!records_.empty() && used + record_key.size() + record_payload.size() > memory_bytes_) {
    if (auto spilled = spill(); !spilled.ok()) return spilled;
  }
  if (record_key.size() + record_payload.size() > kMaxBlock / 2)
    return Error{Code::too_large, net::Side::self, false,
                 "lake: a record of " + std::to_string(record_payload.size()) + " bytes"};
  records_.push_back({prefix_of(record_key), static_cast<uint32_t>(arena_.size()),
                      static_cast<uint32_t>(record_key.size()),
                      static_cast<uint32_t>(record_payload.size())});
  arena_ += record_key;
  arena_ += record_payload;
  return {};
}

void ExternalSorter::sort() {
  std::sort(records_.begin(), records_.end(), [this](const Record& a, const Record& b) {
    return a.prefix != b.prefix ? a.prefix < b.prefix : key(a) < key(b);
  });
}

std::string ExternalSorter::next_file() {
  return directory_ + "/" + name_ + "-" + std::to_string(files_made_++) + ".run";
}

Result<void> ExternalSorter::spill() {
  sort();
  const std::string path = next_file();
  auto file = FileWriter::create(path);
  if (!file.ok()) return std::move(file).error();
  runs_.push_back(path);
  RunWriter writer(std::move(file).value());
  for (const Record& record : records_) {
    if (auto added = writer.add(key(record), payload(record)); !added.ok()) return added;
  }
  auto closed = writer.close();
  spilled_ += writer.bytes();
  records_.clear();
  arena_.clear();
  return closed;
}

Result<void> ExternalSorter::finish(const Visitor& visit) {
  if (runs_.empty()) {
    sort();
    for (const Record& record : records_) {
      if (auto visited = visit(key(record), payload(record)); !visited.ok()) return visited;
    }
    return {};
  }
  if (auto spilled = spill(); !spilled.ok()) return spilled;
  // What the records took is free before the merge takes its own.
  std::string().swap(arena_);
  std::vector<Record>().swap(records_);
  if (auto reduced = reduce_runs(); !reduced.ok()) return reduced;
  return merge(runs_, visit);
}

Result<void> ExternalSorter::reduce_runs() {
  while (runs_.size() > kMergeRuns) {
    const size_t size = std::min(kMergeRuns, runs_.size() - kMergeRuns + 1);
    const std::vector<std::string> part(runs_.begin(),
                                        runs_.begin() + static_cast<ptrdiff_t>(size));
    const std::string path = next_file();
    auto file = FileWriter::create(path);
    if (!file.ok()) return std::move(file).error();
    runs_.push_back(path);
    RunWriter writer(std::move(file).value());
    auto merged =
        merge(part, [&writer](std::string_view k, std::string_view p) { return writer.add(k, p); });
    if (!merged.ok()) return merged;
    if (auto closed = writer.close(); !closed.ok()) return closed;
    for (const std::string& old : part) remove_file(old);
    runs_.erase(runs_.begin(), runs_.begin() + static_cast<ptrdiff_t>(size));
  }
  return {};
}

Result<void> ExternalSorter::merge(const std::vector<std::string>& files,
                                   const Visitor& visit) const {
  std::vector<std::unique_ptr<RunReader>> runs;
  for (const std::string& path : files) {
    auto run = RunReader::open(path);
    if (!run.ok()) return std::move(run).error();
    runs.push_back(std::move(run).value());
  }
  const auto later = [](const RunReader* a, const RunReader* b) { return a->key() > b->key(); };
  std::priority_queue<RunReader*, std::vector<RunReader*>, decltype(later)> order(later);
  for (const auto& run : runs) {
    if (!run->ended()) order.push(run.get());
  }
  while (!order.empty()) {
    RunReader* const run = order.top();
    order.pop();
    if (auto visited = visit(run->key(), run->payload()); !visited.ok()) return visited;
    if (auto moved = run->advance(); !moved.ok()) return moved;
    if (!run->ended()) order.push(run);
  }
  return {};
}

}  // namespace hms::collector
