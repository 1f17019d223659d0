// block_cache.h: blocks of 1 MiB of remote objects, kept in a folder, the longest unused going
// first. Objects of the lake never change once they are asked.
//
// Limits: `max_bytes` on disk; 4 bytes of memory a KiB. The folder is emptied at the start. A fault
// of the folder costs speed, never an answer. Thread: any.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "collector/lake/parquet_reader.h"

namespace hms::collector {

class BlockCache {
 public:
  BlockCache(std::string folder, uint64_t max_bytes);
  [[nodiscard]] std::optional<std::string> find(const std::string& object, uint64_t block);
  void keep(const std::string& object, uint64_t block, std::string_view bytes);
  [[nodiscard]] uint64_t bytes() const;

 private:
  using Key = std::pair<std::string, uint64_t>;
  struct Block {
    Key key;
    uint64_t number = 0, bytes = 0;
  };
  std::string path_of(const Block& block) const;
  const std::string folder_;
  const uint64_t max_bytes_;
  mutable std::mutex mutex_;
  std::list<Block> blocks_;  // used last first
  std::map<Key, std::list<Block>::iterator> by_key_;
  uint64_t next_number_ = 0, bytes_ = 0;
};

/// `file` read through the cache.
[[nodiscard]] std::shared_ptr<const LakeFile> cached_file(std::shared_ptr<const LakeFile> file,
                                                          std::string name,
                                                          std::shared_ptr<BlockCache> cache);

}  // namespace hms::collector
