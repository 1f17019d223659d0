#include "collector/lake/block_cache.h"

#include <algorithm>
#include <filesystem>

#include "collector/lake/local_file.h"

namespace hms::collector {
namespace {

using net::Result;

constexpr uint64_t kBlockBytes = 1024 * 1024;

class CachedFile final : public LakeFile {
 public:
  CachedFile(std::shared_ptr<const LakeFile> file, std::string name,
             std::shared_ptr<BlockCache> cache)
      : file_(std::move(file)), name_(std::move(name)), cache_(std::move(cache)) {}
  uint64_t size() const noexcept override { return file_->size(); }

  Result<std::string> read(uint64_t offset, uint64_t length) const override {
    if (offset > size() || length > size() - offset) return file_->read(offset, length);
    std::string out;
    out.reserve(length);
    while (out.size() < length) {
      const uint64_t at = offset + out.size();
      auto block = block_at(at / kBlockBytes);
      if (!block.ok()) return block;
      out += block.value().substr(at % kBlockBytes, length - out.size());
    }
    return out;
  }

 private:
  Result<std::string> block_at(uint64_t block) const {
    const uint64_t begin = block * kBlockBytes;
    const uint64_t bytes = std::min(kBlockBytes, size() - begin);
    if (auto kept = cache_->find(name_, block); kept && kept->size() == bytes)
      return std::move(*kept);
    auto read = file_->read(begin, bytes);
    if (read.ok()) cache_->keep(name_, block, read.value());
    return read;
  }
  const std::shared_ptr<const LakeFile> file_;
  const std::string name_;
  const std::shared_ptr<BlockCache> cache_;
};

}  // namespace

BlockCache::BlockCache(std::string folder, uint64_t max_bytes)
    : folder_(std::move(folder)), max_bytes_(max_bytes) {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
  std::filesystem::create_directories(folder_, ignored);
}

std::string BlockCache::path_of(const Block& block) const {
  return folder_ + "/" + std::to_string(block.number) + ".block";
}

std::optional<std::string> BlockCache::find(const std::string& object, uint64_t block) {
  std::string path;
  {
    const std::lock_guard lock(mutex_);
    const auto known = by_key_.find({object, block});
    if (known == by_key_.end()) return std::nullopt;
    blocks_.splice(blocks_.begin(), blocks_, known->second);
    path = path_of(*known->second);
  }
  auto file = LocalFile::open(path);
  if (!file.ok()) return std::nullopt;
  auto bytes = file.value()->read(0, file.value()->size());
  return bytes.ok() ? std::optional(std::move(bytes).value()) : std::nullopt;
}

void BlockCache::keep(const std::string& object, uint64_t block, std::string_view bytes) {
  if (bytes.size() > max_bytes_) return;
  Block made{{object, block}, 0, bytes.size()};
  {
    const std::lock_guard lock(mutex_);
    if (by_key_.contains(made.key)) return;
    made.number = next_number_++;
  }
  auto file = FileWriter::create(path_of(made));
  if (!file.ok() || !file.value().write(bytes).ok() || !file.value().close().ok()) return;
  const std::lock_guard lock(mutex_);
  std::error_code ignored;
  if (by_key_.contains(made.key)) {  // another question was quicker
    std::filesystem::remove(path_of(made), ignored);
    return;
  }
  blocks_.push_front(made);
  by_key_[made.key] = blocks_.begin();
  bytes_ += made.bytes;
  while (bytes_ > max_bytes_) {
    const Block& oldest = blocks_.back();
    std::filesystem::remove(path_of(oldest), ignored);
    bytes_ -= oldest.bytes;
    by_key_.erase(oldest.key);
    blocks_.pop_back();
  }
}

uint64_t BlockCache::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

std::shared_ptr<const LakeFile> cached_file(std::shared_ptr<const LakeFile> file, std::string name,
                                            std::shared_ptr<BlockCache> cache) {
  return std::make_shared<CachedFile>(std::move(file), std::move(name), std::move(cache));
}

}  // namespace hms::collector
