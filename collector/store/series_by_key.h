// series_by_key.h: from a point's raw attributes to its series, in one look at memory.
//
// The key is a 128-bit hash (XXH3) of the raw key (series_labels.h), seeded anew in each process,
// so that nobody can prepare two keys that meet; the bytes themselves are not kept. Entries stand
// in the order in which they came, and senders repeat their series in that order: the next one is
// mostly the next entry, and what it leads to can be fetched ahead. Otherwise a table of places
// says where it is: open addressing, at most half full. Thread: not synchronised.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace hms::collector {

struct StoredSeries;

class SeriesByKey {
 public:
  SeriesByKey();
  struct Hash {
    uint64_t low = 0, high = 0;
    bool operator==(const Hash&) const = default;
  };
  [[nodiscard]] Hash hash(std::string_view raw_key) const noexcept;
  /// Of a key in two parts.
  [[nodiscard]] Hash hash(const Hash& first, const Hash& second) const noexcept;
  /// Null: not there.
  [[nodiscard]] StoredSeries* find(const Hash& hash) noexcept;
  /// What is probably found `ahead` calls later, or null.
  [[nodiscard]] StoredSeries* upcoming(size_t ahead) const noexcept {
    return next_ + ahead < entries_.size() ? entries_[next_ + ahead].series : nullptr;
  }
  void insert(const Hash& hash, StoredSeries* series);
  void clear();
  [[nodiscard]] size_t size() const noexcept { return entries_.size(); }
  [[nodiscard]] size_t bytes() const noexcept {
    return slots_.size() * sizeof(Slot) + entries_.capacity() * sizeof(Entry);
  }

 private:
  struct Entry {
    Hash hash;
    StoredSeries* series = nullptr;
  };
  struct Slot {
    uint32_t high = 0;   // of the hash, so that few entries are looked at in vain
    uint32_t entry = 0;  // its place, from 1; 0: free
  };
  [[nodiscard]] size_t slot_of(const Hash& hash) const noexcept;
  void grow();
  std::vector<Slot> slots_;
  std::vector<Entry> entries_;
  size_t next_ = 0;  // what follows the entry found last
  uint64_t seed_;
};

}  // namespace hms::collector
