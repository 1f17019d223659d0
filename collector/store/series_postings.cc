// series_postings.cc: see series_postings.h.
#include "collector/store/series_postings.h"

#include <roaring/roaring.h>

#include <algorithm>

namespace hms::collector {
namespace {

constexpr size_t kFew = 64;  // here the list grows as large as the bitmap: 272 and 256 bytes

}  // namespace

void SeriesPostings::Free::operator()(roaring_bitmap_s* bitmap) const noexcept {
  roaring_bitmap_free(bitmap);
}

void SeriesPostings::grow() {
  many_.reset(roaring_bitmap_of_ptr(few_.size(), few_.data()));
  few_ = {};
}

SeriesPostings SeriesPostings::united(std::span<const SeriesPostings* const> sets) {
  SeriesPostings out;
  std::vector<const roaring_bitmap_t*> bitmaps;
  for (const SeriesPostings* set : sets) {
    if (set->many_) bitmaps.push_back(set->many_.get());
    out.few_.insert(out.few_.end(), set->few_.begin(), set->few_.end());
  }
  std::sort(out.few_.begin(), out.few_.end());
  out.few_.erase(std::unique(out.few_.begin(), out.few_.end()), out.few_.end());
  if (bitmaps.empty() && out.few_.size() <= kFew) return out;
  out.grow();
  if (bitmaps.empty()) return out;
  bitmaps.push_back(out.many_.get());
  out.many_.reset(roaring_bitmap_or_many(bitmaps.size(), bitmaps.data()));
  return out;
}

void SeriesPostings::insert(uint32_t id) {
  if (many_) {
    roaring_bitmap_add(many_.get(), id);
    return;
  }
  const auto at = std::lower_bound(few_.begin(), few_.end(), id);
  if (at != few_.end() && *at == id) return;
  few_.insert(at, id);
  if (few_.size() > kFew) grow();
}

void SeriesPostings::erase(uint32_t id) {
  if (many_) {
    roaring_bitmap_remove(many_.get(), id);
    return;
  }
  const auto at = std::lower_bound(few_.begin(), few_.end(), id);
  if (at != few_.end() && *at == id) few_.erase(at);
}

bool SeriesPostings::contains(uint32_t id) const noexcept {
  return many_ ? roaring_bitmap_contains(many_.get(), id)
               : std::binary_search(few_.begin(), few_.end(), id);
}

size_t SeriesPostings::size() const noexcept {
  return many_ ? static_cast<size_t>(roaring_bitmap_get_cardinality(many_.get())) : few_.size();
}

std::vector<uint32_t> SeriesPostings::numbers() const {
  if (!many_) return few_;
  std::vector<uint32_t> out(size());
  roaring_bitmap_to_uint32_array(many_.get(), out.data());
  return out;
}

SeriesPostings SeriesPostings::copy() const {
  SeriesPostings out;
  out.few_ = few_;
  if (many_) out.many_.reset(roaring_bitmap_copy(many_.get()));
  return out;
}

void SeriesPostings::intersect(const SeriesPostings& other) {
  if (many_ && other.many_) {
    roaring_bitmap_and_inplace(many_.get(), other.many_.get());
    return;
  }
  const SeriesPostings& filter = many_ ? *this : other;
  std::vector<uint32_t> both = many_ ? other.few_ : few_;
  std::erase_if(both, [&](uint32_t id) { return !filter.contains(id); });
  many_.reset();
  few_ = std::move(both);
}

void SeriesPostings::subtract(const SeriesPostings& other) {
  if (many_ && other.many_) {
    roaring_bitmap_andnot_inplace(many_.get(), other.many_.get());
  } else if (many_) {
    for (const uint32_t id : other.few_) roaring_bitmap_remove(many_.get(), id);
  } else {
    std::erase_if(few_, [&](uint32_t id) { return other.contains(id); });
  }
}

}  // namespace hms::collector
