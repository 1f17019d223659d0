#include "net/core/clock.h"

#include <ctime>

namespace hms::net {
namespace {

uint64_t read_clock(clockid_t id) noexcept {
  timespec now{};
  clock_gettime(id, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

uint64_t monotonic_nanos() noexcept { return read_clock(CLOCK_MONOTONIC); }

uint64_t unix_nanos() noexcept { return read_clock(CLOCK_REALTIME); }

int64_t unix_millis() noexcept { return static_cast<int64_t>(unix_nanos() / 1'000'000u); }

}  // namespace hms::net
