// random.h: identifiers and jitter. A per-thread xoshiro256** generator seeded once from getrandom
// (266 ns a call measured, so never per request); not for keys or secrets.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace hms::net {

/// 64 random bits from this thread's generator. About 1.6 ns.
[[nodiscard]] uint64_t random_u64() noexcept;

/// Uniform in [0, bound); bound > 0.
[[nodiscard]] uint64_t random_below(uint64_t bound) noexcept;

/// RFC 9562 version 7: 48 bits of Unix milliseconds, then random bits.
[[nodiscard]] std::array<uint8_t, 16> uuid_v7() noexcept;

/// Canonical 8-4-4-4-12 lower-case text of 16 bytes.
[[nodiscard]] std::string uuid_text(const std::array<uint8_t, 16>& uuid);
/// The same into 36 bytes.
void write_uuid(const std::array<uint8_t, 16>& uuid, char* out) noexcept;

/// Makes this thread's generator repeatable.
void seed_random_for_test(uint64_t seed) noexcept;

}  // namespace hms::net
