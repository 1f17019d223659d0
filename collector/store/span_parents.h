// span_parents.h: which service each span seen lately was of, so that its children's calls can be
// told apart.
//
// A table of fixed size, eight places to a key, one line of the cache: a new span takes a free or
// outdated place, else the oldest of its eight. So nothing is ever removed one by one, which at a
// hundred thousand spans a second would cost more than the look-up. Of a key 47 bits are kept: one
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

/// A span of a trace as one number. Its id alone is not enough: some senders number the spans of
/// each trace from 1.
[[nodiscard]] inline uint64_t span_key(const telemetry::TraceId& trace,
                                       const telemetry::SpanId& span) noexcept {
  uint64_t high = 0, low = 0, key = 0;
  std::memcpy(&high, trace.bytes.data(), sizeof high);
  std::memcpy(&low, trace.bytes.data() + sizeof high, sizeof low);
  std::memcpy(&key, span.bytes.data(), sizeof key);
  // Both may be counted up instead of random: all their bits count.
  key ^= (high ^ (low << 32 | low >> 32)) * 0x9FB21C651E98DF25ULL;
  key = (key ^ (key >> 32)) * 0x9E3779B97F4A7C15ULL;
  return key ^ (key >> 29);
}

class SpanParents {
 public:
  static constexpr uint32_t kRememberSeconds = 60;

  /// `key`: of span_key. `service`: 1 to 65,535.
  void put(uint64_t key, uint32_t service, uint32_t now_seconds) {
    if (sets_.empty()) sets_.resize(kSets);
    const uint32_t tag = tag_of(key);
    Set& set = sets_[set_of(key)];
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
  /// Says that `key` will be put soon: each is somewhere else in the table, and waiting for the
  /// memory would be most of the work.
  void expect(uint64_t key) const noexcept {
    if (!sets_.empty()) __builtin_prefetch(&sets_[set_of(key)], 1);
  }

  [[nodiscard]] std::optional<uint32_t> find(uint64_t key, uint32_t now_seconds) const {
    if (sets_.empty()) return std::nullopt;
    const uint32_t tag = tag_of(key);
    for (const Place& place : sets_[set_of(key)].places) {
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

  static uint32_t tag_of(uint64_t mixed) noexcept { return static_cast<uint32_t>(mixed); }
  static size_t set_of(uint64_t mixed) noexcept { return mixed >> 49; }

  std::vector<Set> sets_;
};

}  // namespace hms::collector
