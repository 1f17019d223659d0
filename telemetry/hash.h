// hash.h: 128 bits of any text, seeded (XXH3). Not for keys or secrets. Thread: any. In
// trace_context.cc, the one file that knows xxHash.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace hms::telemetry {

[[nodiscard]] std::array<uint64_t, 2> hash_128(std::string_view text, uint64_t seed) noexcept;

}  // namespace hms::telemetry
