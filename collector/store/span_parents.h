// span_parents.h: which service each span seen lately was of, so that its children's calls can be
// told apart.
//
// A table of fixed size, eight places to an id, one line of the cache: a new span takes a free or
// outdated place, else the oldest of its eight. So nothing is ever removed one by one, which at a
// hundred thousand spans a second would cost more than the look-up. Of an id 47 bits are kept: one
// look-up in some hundred million takes a span that is not there for another one. Size: 2 MiB,
// 262,144 spans. Thread: one owner.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "telemetry/ids.h"

namespace hms::collector {

class SpanParents {
 public:
  static constexpr uint32_t kRememberSeconds = 60;

  /// `service`: 1 to 65,535.
  void put(const telemetry::SpanId& id, uint32_t service, uint32_t now_seconds) {
    if (sets_.empty()) sets_.resize(kSets);
    const uint64_t mixed = mix(id);
    const uint32_t tag = tag_of(mixed);
    Set& set = sets_[set_of(mixed)];
    Place* oldest = set.places.data();
    for (Place& place : set.places) {
      if (place.service != 0 && place.tag == tag) {
        oldest = &place;
        break;
      }
      if (place.age(now_seconds) > oldest->age(now_seconds)) oldest = &place;
    }
    *oldest = {tag, static_cast<uint16_t>(service), static_cast<uint16_t>(now_seconds)};
  }
  /// Says that `id` will be put soon: each is somewhere else in the table, and waiting for the
  /// memory would be most of the work.
  void expect(const telemetry::SpanId& id) const noexcept {
    if (!sets_.empty()) __builtin_prefetch(&sets_[set_of(mix(id))], 1);
  }

  [[nodiscard]] std::optional<uint32_t> find(const telemetry::SpanId& id,
                                             uint32_t now_seconds) const {
    if (sets_.empty()) return std::nullopt;
    const uint64_t mixed = mix(id);
    const uint32_t tag = tag_of(mixed);
    for (const Place& place : sets_[set_of(mixed)].places) {
      if (place.tag == tag && place.age(now_seconds) <= kRememberSeconds) return place.service;
    }
    return std::nullopt;
  }
  void clear() { sets_.clear(); }

 private:
  struct Place {
    uint32_t tag = 0;
    uint16_t service = 0;  // 0: free
    uint16_t seconds = 0;  // the low half
    [[nodiscard]] uint32_t age(uint32_t now_seconds) const noexcept {
      return service == 0 ? UINT32_MAX : static_cast<uint16_t>(now_seconds - seconds);
    }
  };
  struct alignas(64) Set {
    std::array<Place, 8> places;
  };
  static constexpr size_t kSets = 1UL << 15;

  // Ids may be counted up instead of random: all their bits count.
  static uint64_t mix(const telemetry::SpanId& id) noexcept {
    uint64_t key = 0;
    std::memcpy(&key, id.bytes.data(), sizeof key);
    key = (key ^ (key >> 32)) * 0x9E3779B97F4A7C15ULL;
    return key ^ (key >> 29);
  }
  static uint32_t tag_of(uint64_t mixed) noexcept { return static_cast<uint32_t>(mixed); }
  static size_t set_of(uint64_t mixed) noexcept { return mixed >> 49; }

  std::vector<Set> sets_;
};

}  // namespace hms::collector
