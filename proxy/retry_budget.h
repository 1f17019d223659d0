// retry_budget.h: how many repeats a worker may make: a share of its requests, and at least ten a
// second. Bounds a retry storm. Tokens: every request adds its route's share; every second adds
// ten, at most 100 kept; a repeat takes one. Thread: the worker's.
#pragma once

#include <algorithm>
#include <cstdint>

namespace hms::proxy {

class RetryBudget {
 public:
  void request(double share) noexcept { tokens_ = std::min(kMost, tokens_ + share); }
  [[nodiscard]] bool take(uint64_t now_millis) noexcept {
    const uint64_t elapsed = std::min<uint64_t>(now_millis - stamp_millis_, 10'000);
    tokens_ = std::min(kMost, tokens_ + kFloorPerSecond * static_cast<double>(elapsed) / 1'000.0);
    stamp_millis_ = now_millis;
    if (tokens_ < 1.0) return false;
    tokens_ -= 1.0;
    return true;
  }

 private:
  static constexpr double kMost = 100;
  static constexpr double kFloorPerSecond = 10;
  double tokens_ = 10;
  uint64_t stamp_millis_ = 0;
};

}  // namespace hms::proxy
