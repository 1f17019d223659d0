// chunk_cache.h: the last few opened chunks, so that a page of results, or a trace that is looked
// at again, does not unpack the same chunk many times.
//
// Chunks are never changed and their numbers never used again within a day, so nothing goes stale.
// Limit: kMaxChunks (about 6 MiB each when full of spans). Thread: any.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <utility>

#include "collector/store/kv.h"

namespace hms::collector {

template <class Batch>
class ChunkCache {
 public:
  static constexpr size_t kMaxChunks = 8;
  using Key = std::pair<Family, std::pair<uint64_t, uint32_t>>;

  [[nodiscard]] std::shared_ptr<const Batch> find(const Key& key) {
    const std::lock_guard lock(mutex_);
    for (auto it = chunks_.begin(); it != chunks_.end(); ++it) {
      if (it->first != key) continue;
      chunks_.splice(chunks_.begin(), chunks_, it);
      return it->second;
    }
    return nullptr;
  }
  void put(const Key& key, std::shared_ptr<const Batch> chunk) {
    const std::lock_guard lock(mutex_);
    chunks_.emplace_front(key, std::move(chunk));
    if (chunks_.size() > kMaxChunks) chunks_.pop_back();
  }

 private:
  std::mutex mutex_;
  std::list<std::pair<Key, std::shared_ptr<const Batch>>> chunks_;  // last used first
};

}  // namespace hms::collector
