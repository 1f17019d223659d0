#include "net/core/clock.h"

#include <doctest/doctest.h>

namespace hms::net {

TEST_CASE("clock: monotonic time never goes back, and Unix time has the units its names say") {
  uint64_t last = monotonic_nanos();
  for (int i = 0; i < 1000; ++i) {
    const uint64_t now = monotonic_nanos();
    CHECK(now >= last);
    last = now;
  }
  constexpr uint64_t kYear2020 = 1'577'836'800;
  constexpr uint64_t kYear2200 = 7'258'118'400;
  CHECK(unix_nanos() / 1'000'000'000 > kYear2020);
  CHECK(unix_nanos() / 1'000'000'000 < kYear2200);
  CHECK(static_cast<uint64_t>(unix_millis()) / 1000 > kYear2020);
  CHECK(static_cast<uint64_t>(unix_millis()) / 1000 < kYear2200);
}

}  // namespace hms::net
