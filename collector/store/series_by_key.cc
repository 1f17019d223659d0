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
size_t SeriesByKey::slot_of(const Hash& hash) const noexcept {
  const size_t mask = slots_.size() - 1;
  const auto high = static_cast<uint32_t>(hash.high);
  size_t at = static_cast<size_t>(hash.low) & mask;
  while (slots_[at].entry != 0 &&
         !(slots_[at].high == high && entries_[slots_[at].entry - 1].hash == hash))
    at = (at + 1) & mask;
  return at;
}

StoredSeries* SeriesByKey::find(const Hash& hash) noexcept {
  if (next_ < entries_.size() && entries_[next_].hash == hash) return entries_[next_++].series;
  const uint32_t entry = slots_[slot_of(hash)].entry;
  if (entry == 0) return nullptr;
  next_ = entry;
  return entries_[entry - 1].series;
}

void SeriesByKey::insert(const Hash& hash, StoredSeries* series) {
  if (2 * (entries_.size() + 1) > slots_.size()) grow();
  Slot& slot = slots_[slot_of(hash)];
  if (slot.entry != 0) {
    entries_[slot.entry - 1].series = series;
    return;
  }
  entries_.push_back({hash, series});
  next_ = entries_.size();
  slot = {static_cast<uint32_t>(hash.high), static_cast<uint32_t>(entries_.size())};
}

void SeriesByKey::grow() {
  slots_.assign(2 * slots_.size(), {});
  for (size_t i = 0; i < entries_.size(); ++i) {
    slots_[slot_of(entries_[i].hash)] = {static_cast<uint32_t>(entries_[i].hash.high),
                                         static_cast<uint32_t>(i + 1)};
  }
}

void SeriesByKey::clear() {
  slots_.assign(kFirstSlots, {});
  slots_.shrink_to_fit();
  entries_ = {};
  next_ = 0;
}

}  // namespace hms::collector
