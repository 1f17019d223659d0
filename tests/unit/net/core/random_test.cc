#include "net/core/random.h"

#include <doctest/doctest.h>

#include <array>
#include <set>
#include <string>
#include <thread>

#include "net/core/clock.h"

namespace hms::net {

TEST_CASE("random: the generator is xoshiro256** seeded by splitmix64") {
  // First outputs for seed 0 of the authors' own code.
  seed_random_for_test(0);
  CHECK(random_u64() == 0x99ec5f36cb75f2b4u);
  CHECK(random_u64() == 0xbf6e1f784956452au);
  CHECK(random_u64() == 0x1a5f849d4933e6e0u);
}

TEST_CASE("random: threads have streams of their own") {
  std::set<uint64_t> seen;
  for (int i = 0; i < 4; ++i) {
    uint64_t first = 0;
    std::thread([&] { first = random_u64(); }).join();
    seen.insert(first);
  }
  CHECK(seen.size() == 4);
}

TEST_CASE("random: below a bound every value comes about equally often") {
  seed_random_for_test(7);
  std::array<int, 7> counts{};
  for (int i = 0; i < 70'000; ++i) ++counts[random_below(counts.size())];
  for (const int count : counts) {
    CHECK(count > 9'500);
    CHECK(count < 10'500);
  }
  CHECK(random_below(1) == 0);
  constexpr uint64_t kHuge = (uint64_t{1} << 63) + 1;
  for (int i = 0; i < 100; ++i) CHECK(random_below(kHuge) < kHuge);
}

TEST_CASE("random: a version 7 UUID carries the time, the version and the variant") {
  const auto before = static_cast<uint64_t>(unix_millis());
  const auto uuid = uuid_v7();
  const auto after = static_cast<uint64_t>(unix_millis());
  uint64_t millis = 0;
  for (size_t i = 0; i < 6; ++i) millis = millis << 8 | uuid[i];
  CHECK(millis >= before);
  CHECK(millis <= after);
  CHECK((uuid[6] >> 4) == 7);
  CHECK((uuid[8] >> 6) == 2);
  CHECK(uuid_v7() != uuid_v7());
}

TEST_CASE("random: a UUID's text is canonical") {
  const std::array<uint8_t, 16> uuid{0x01, 0x7f, 0x22, 0xe2, 0x79, 0xb0, 0x7c, 0xc3,
                                     0x98, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f};
  CHECK(uuid_text(uuid) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
}

}  // namespace hms::net
