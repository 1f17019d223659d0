// known_attributes.h: which attributes a decoder has read before, as the bytes they came in, so
// that it need not read them again: a sender repeats the attributes of its series with every point.
//
// A fixed table of hashes (128 bits, XXH3, seeded anew in each process, so that nobody can prepare
// two runs of bytes that meet); sets of two, the older one gives way. 2 MiB from the first insert
// on. Thread: not synchronised; one a decoding thread.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace hms::telemetry {

/// Never all zero.
using AttributesHash = std::array<uint64_t, 2>;
[[nodiscard]] AttributesHash hash_attributes(std::string_view run) noexcept;

class KnownAttributes {
 public:
  [[nodiscard]] bool contains(const AttributesHash& hash) const noexcept;
  void insert(const AttributesHash& hash);

 private:
  std::vector<AttributesHash> slots_;  // two by two
};

}  // namespace hms::telemetry
