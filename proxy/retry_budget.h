// retry_budget.h: how many repeats a worker may make: of each route a share of its requests, and
// ten a second beside, for all routes together. Bounds a retry storm. Thread: the worker's.
#pragma once

#include <algorithm>
#include <cstdint>

namespace hms::proxy {

/// A route's share, saved up while there is nothing to repeat: at most 100 repeats.
class RetryShare {
 public:
  void request(double share) noexcept { saved_ = std::min(kMost, saved_ + share); }
  [[nodiscard]] bool take() noexcept {
    if (saved_ < 1.0) return false;
    saved_ -= 1.0;
    return true;
  }

 private:
  static constexpr double kMost = 100;
  double saved_ = 0;
};

/// So that a route with few requests may repeat as well: ten a second, not saved up for longer.
class RetryFloor {
 public:
  [[nodiscard]] bool take(uint64_t now_millis) noexcept {
    const auto elapsed = static_cast<double>(now_millis - stamp_millis_);
    stamp_millis_ = now_millis;
    left_ = std::min(kPerSecond, left_ + kPerSecond * elapsed / 1'000.0);
    if (left_ < 1.0) return false;
    left_ -= 1.0;
    return true;
  }

 private:
  static constexpr double kPerSecond = 10;
  double left_ = kPerSecond;
  uint64_t stamp_millis_ = 0;
};

}  // namespace hms::proxy
