// series_postings.h: a set of series numbers: who has a label's value. Roaring bitmaps (CRoaring),
// known only to series_postings.cc; see docs/adr/0008-roaring.md.
//
// Sets of up to 64 are a plain sorted list: a label with a value of its own for each series has as
// many sets as series, and a bitmap takes 144 bytes at least. Thread: const use from any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

struct roaring_bitmap_s;

namespace hms::collector {

class SeriesPostings {
 public:
  SeriesPostings() = default;
  [[nodiscard]] static SeriesPostings united(std::span<const SeriesPostings* const> sets);

  void insert(uint32_t id);
  void erase(uint32_t id);
  [[nodiscard]] bool contains(uint32_t id) const noexcept;
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] size_t size() const noexcept;
  /// Rising.
  [[nodiscard]] std::vector<uint32_t> numbers() const;
  [[nodiscard]] SeriesPostings copy() const;

  void intersect(const SeriesPostings& other);
  void subtract(const SeriesPostings& other);

 private:
  struct Free {
    void operator()(roaring_bitmap_s* bitmap) const noexcept;
  };
  void grow();
  std::vector<uint32_t> few_;  // sorted; empty once there is `many_`
  std::unique_ptr<roaring_bitmap_s, Free> many_;
};

}  // namespace hms::collector
