// span_parents.h: which service each span seen lately was of, so that its children's calls can be
// told apart.
//
// A table of fixed size, eight places to an id: a new span takes a free or outdated place, else the
// oldest of its eight. So nothing is ever removed one by one, which at a hundred thousand spans a
// second would cost more than the look-up. Size: 4 MiB, 262,144 spans. Thread: one owner.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "telemetry/ids.h"

namespace hms::collector {

class SpanParents {
 public:
  static constexpr uint32_t kRememberSeconds = 60;

  void put(const telemetry::SpanId& id, uint32_t service, uint32_t now_seconds) {
    if (places_.empty()) places_.resize(kPlaces);
    const uint64_t key = key_of(id);
    Place* const set = set_of(key);
    Place* oldest = set;
    for (Place* place = set; place < set + kWays; ++place) {
      if (place->id == key) {
        oldest = place;
        break;
      }
      if (place->seconds < oldest->seconds) oldest = place;
    }
    *oldest = {key, service, now_seconds};
  }

  [[nodiscard]] std::optional<uint32_t> find(const telemetry::SpanId& id,
                                             uint32_t now_seconds) const {
    if (places_.empty()) return std::nullopt;
    const uint64_t key = key_of(id);
    const Place* const set = set_of(key);
    for (const Place* place = set; place < set + kWays; ++place) {
      if (place->id == key && place->seconds + kRememberSeconds >= now_seconds)
        return place->service;
    }
    return std::nullopt;
  }
  void clear() { places_.clear(); }

 private:
  struct Place {
    uint64_t id = 0;  // 0 is no span's
    uint32_t service = 0;
    uint32_t seconds = 0;
  };
  static constexpr size_t kPlaces = 1UL << 18, kWays = 8;

  static uint64_t key_of(const telemetry::SpanId& id) noexcept {
    uint64_t key = 0;
    std::memcpy(&key, id.bytes.data(), sizeof key);
    return key;
  }
  // Ids may be counted up instead of random: all their bits count.
  static size_t first_place(uint64_t key) noexcept {
    key *= 0x9E3779B97F4A7C15ULL;
    return (key >> 46) & (kPlaces - kWays);
  }
  Place* set_of(uint64_t key) noexcept { return places_.data() + first_place(key); }
  [[nodiscard]] const Place* set_of(uint64_t key) const noexcept {
    return places_.data() + first_place(key);
  }

  std::vector<Place> places_;
};

}  // namespace hms::collector
