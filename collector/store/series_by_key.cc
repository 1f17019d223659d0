// series_by_key.cc: see series_by_key.h.
#include "collector/store/series_by_key.h"

#include <array>

#include "net/core/random.h"
#include "telemetry/hash.h"

namespace hms::collector {
namespace {

constexpr size_t kFirstSlots = 1024;

}  // namespace

SeriesByKey::SeriesByKey() : slots_(kFirstSlots), seed_(net::random_u64()) {}

SeriesByKey::Hash SeriesByKey::hash(std::string_view raw_key) const noexcept {
  const auto made = telemetry::hash_128(raw_key, seed_);
  return {made[0], made[1]};
}

SeriesByKey::Hash SeriesByKey::hash(const Hash& first, const Hash& second) const noexcept {
  const std::array<Hash, 2> both = {first, second};
  return hash({reinterpret_cast<const char*>(both.data()), sizeof both});
}

// The slot that has the key, or the free one where it belongs.
size_t SeriesByKey::place(const Hash& hash) const noexcept {
  const size_t mask = slots_.size() - 1;
  size_t at = static_cast<size_t>(hash.low) & mask;
  while (slots_[at].series != nullptr && !(slots_[at].hash == hash)) at = (at + 1) & mask;
  return at;
}

StoredSeries* SeriesByKey::find(const Hash& hash) const noexcept {
  return slots_[place(hash)].series;
}

void SeriesByKey::insert(const Hash& hash, StoredSeries* series) {
  if (2 * (size_ + 1) > slots_.size()) grow();
  Slot& slot = slots_[place(hash)];
  if (slot.series == nullptr) ++size_;
  slot = {hash, series};
}

void SeriesByKey::grow() {
  std::vector<Slot> old(2 * slots_.size());
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.series != nullptr) slots_[place(slot.hash)] = slot;
  }
}

void SeriesByKey::clear() {
  slots_.assign(kFirstSlots, {});
  slots_.shrink_to_fit();
  size_ = 0;
}

}  // namespace hms::collector
