#include "net/core/random.h"

#include <sys/random.h>

#include "net/core/check.h"
#include "net/core/clock.h"

namespace hms::net {
namespace {

// xoshiro256** 1.0 by Blackman and Vigna (public domain): 256 bits of state, one per thread.
struct Generator {
  std::array<uint64_t, 4> state{};
  bool seeded = false;
};

thread_local Generator generator;

uint64_t rotate_left(uint64_t value, int bits) noexcept {
  return (value << bits) | (value >> (64 - bits));
}

// splitmix64 spreads one seed over the whole state; the all-zero state would never leave zero.
void seed(uint64_t value) noexcept {
  for (uint64_t& word : generator.state) {
    value += 0x9e3779b97f4a7c15u;
    uint64_t mixed = value;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    word = mixed ^ (mixed >> 31);
  }
  generator.seeded = true;
}

void seed_from_system() noexcept {
  auto& state = generator.state;
  // getrandom gives up to 256 bytes whole once the kernel's pool is initialised.
  const ssize_t got = getrandom(state.data(), sizeof(state), 0);
  const bool filled = got == static_cast<ssize_t>(sizeof(state));
  if (filled && (state[0] | state[1] | state[2] | state[3]) != 0) {
    generator.seeded = true;
    return;
  }
  // Without getrandom (a strict seccomp filter): time and the address of this thread's state still
  // differ between processes and threads.
  seed(unix_nanos() ^ monotonic_nanos() ^ reinterpret_cast<uint64_t>(&generator));
}

}  // namespace

uint64_t random_u64() noexcept {
  if (!generator.seeded) [[unlikely]]
    seed_from_system();
  auto& state = generator.state;
  const uint64_t result = rotate_left(state[1] * 5, 7) * 9;
  const uint64_t shifted = state[1] << 17;
  state[2] ^= state[0];
  state[3] ^= state[1];
  state[1] ^= state[2];
  state[0] ^= state[3];
  state[2] ^= shifted;
  state[3] = rotate_left(state[3], 45);
  return result;
}

uint64_t random_below(uint64_t bound) noexcept {
  HMS_ENSURE(bound > 0);
  // Lemire's multiply-and-reject: exact, and a division only in the rare case.
  __extension__ using Wide = unsigned __int128;
  Wide product = static_cast<Wide>(random_u64()) * bound;
  auto low = static_cast<uint64_t>(product);
  if (low < bound) {
    const uint64_t threshold = (0 - bound) % bound;
    while (low < threshold) {
      product = static_cast<Wide>(random_u64()) * bound;
      low = static_cast<uint64_t>(product);
    }
  }
  return static_cast<uint64_t>(product >> 64);
}

std::array<uint8_t, 16> uuid_v7() noexcept {
  const auto millis = static_cast<uint64_t>(unix_millis());
  const uint64_t high = (millis << 16) | 0x7000u | (random_u64() & 0x0fffu);
  const uint64_t low = (random_u64() & 0x3fff'ffff'ffff'ffffu) | 0x8000'0000'0000'0000u;
  std::array<uint8_t, 16> uuid{};
  for (size_t i = 0; i < 8; ++i) {
    uuid[i] = static_cast<uint8_t>(high >> (56 - 8 * i));
    uuid[8 + i] = static_cast<uint8_t>(low >> (56 - 8 * i));
  }
  return uuid;
}

void write_uuid(const std::array<uint8_t, 16>& uuid, char* out) noexcept {
  static constexpr char kHex[] = "0123456789abcdef";
  for (size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) *out++ = '-';
    *out++ = kHex[uuid[i] >> 4];
    *out++ = kHex[uuid[i] & 0x0f];
  }
}

std::string uuid_text(const std::array<uint8_t, 16>& uuid) {
  std::string text(36, '-');
  write_uuid(uuid, text.data());
  return text;
}

void seed_random_for_test(uint64_t value) noexcept { seed(value); }

}  // namespace hms::net
