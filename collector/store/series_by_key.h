// series_by_key.h: from a point's raw attributes to its series, in one look at memory.
//
// The key is a 128-bit hash (XXH3) of the raw key (series_labels.h), seeded anew in each process,
// so that nobody can prepare two keys that meet; the bytes themselves are not kept. Open
// addressing, at most half full. Thread: not synchronised.
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
  [[nodiscard]] StoredSeries* find(const Hash& hash) const noexcept;
  void insert(const Hash& hash, StoredSeries* series);
  void clear();
  [[nodiscard]] size_t size() const noexcept { return size_; }
  [[nodiscard]] size_t bytes() const noexcept { return slots_.size() * sizeof(Slot); }

 private:
  struct Slot {
    Hash hash;
    StoredSeries* series = nullptr;
  };
  [[nodiscard]] size_t place(const Hash& hash) const noexcept;
  void grow();
  std::vector<Slot> slots_;
  size_t size_ = 0;
  uint64_t seed_;
};

}  // namespace hms::collector
