// chunk_cache.h: opened chunks that were looked at lately, so that a page of results, or a trace
// that is looked at again, does not open the same chunk many times.
//
// Or of what was read out of them. Bounded by bytes, last used first: a chunk of which little was
// unpacked costs little, so many of them stay. Chunks are never changed and their numbers never
// used again within a day, so nothing goes stale. Thread: any.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "collector/store/kv.h"

namespace hms::collector {

using ChunkKey = std::pair<Family, std::pair<uint64_t, uint32_t>>;

template <class Chunk, class KeyOf = ChunkKey>
class ChunkCache {
 public:
  using Key = KeyOf;

  explicit ChunkCache(uint64_t max_bytes) : max_bytes_(max_bytes) {}

  [[nodiscard]] std::shared_ptr<Chunk> find(const Key& key) {
    const std::lock_guard lock(mutex_);
    const auto it = places_.find(key);
    if (it == places_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, it->second);
    return it->second->chunk;
  }
  /// Keeps it, or notes what it takes by now. One that alone is larger than the cache is not kept.
  void put(const Key& key, std::shared_ptr<Chunk> chunk, uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    if (const auto it = places_.find(key); it != places_.end()) forget(it->second);
    entries_.push_front({key, std::move(chunk), bytes});
    places_[key] = entries_.begin();
    bytes_ += bytes;
    while (bytes_ > max_bytes_) forget(std::prev(entries_.end()));
  }
  [[nodiscard]] uint64_t bytes() const {
    const std::lock_guard lock(mutex_);
    return bytes_;
  }

 private:
  struct Entry {
    Key key;
    std::shared_ptr<Chunk> chunk;
    uint64_t bytes = 0;
  };
  using Place = typename std::list<Entry>::iterator;
  void forget(Place place) {
    bytes_ -= place->bytes;
    places_.erase(place->key);
    entries_.erase(place);
  }

  const uint64_t max_bytes_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // last used first
  std::map<Key, Place> places_;
  uint64_t bytes_ = 0;
};

}  // namespace hms::collector
