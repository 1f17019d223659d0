// repeated_bytes.h: what spans of one body have in common, read once: a sender's spans of one route
// repeat their name and their attributes byte for byte.
//
// The first ones are read; the later ones get what came of them: the same text, the same range of
// the batch's attribute array (nothing changes it). So whoever meets it again knows it by its
// place, without looking into it. A table of fixed size (kPlaces times 40 to 48 bytes): bytes that
// met others in their place are only read once more. Private to telemetry/otlp_protobuf_traces.cc.
// Thread: one body's at a time.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "telemetry/hash.h"

namespace hms::telemetry::otlp {

template <class Value>
class RepeatedBytes {
 public:
  struct Place {
    std::string_view bytes;  // in the body
    Value value{};
    uint64_t body = 0;  // number of the body that they are in
  };
  /// Forgets the body before.
  void begin_body() {
    ++body_;
    if (places_.empty()) places_.resize(kPlaces);
  }
  /// Where these bytes are or would be.
  [[nodiscard]] Place& place_of(std::string_view bytes) noexcept {
    return places_[hash_128(bytes, 0)[0] % kPlaces];
  }
  [[nodiscard]] bool holds(const Place& place, std::string_view bytes) const noexcept {
    return place.body == body_ && place.bytes == bytes;
  }
  void keep(Place& place, std::string_view bytes, Value value) noexcept {
    place = {bytes, value, body_};
  }

 private:
  static constexpr size_t kPlaces = 2'048;
  std::vector<Place> places_;
  uint64_t body_ = 0;
};

}  // namespace hms::telemetry::otlp
