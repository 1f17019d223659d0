// timer_wheel.h: all timeouts of a loop on one libuv timer (a uv_timer per request costs a heap operation each).
//
// Hashed wheel with 10 ms slots, intrusive nodes: arming, re-arming and disarming are O(1) and allocate nothing. A timer fires
// no earlier than asked and at most one slot (plus the loop's own delay) later. The tick runs only while something is armed.
#pragma once

#include <cstdint>
#include <functional>

#include "net/io/loop.h"

namespace hms::net {

/// One timeout or period, embedded in its owner; disarms itself when destroyed. It may be re-armed or destroyed in its own callback.
class Timer {
 public:
  Timer(Loop& loop, std::function<void()> on_fire);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  /// Fires once after `delay` (0: in the next turn); an armed timer is moved.
  void arm(Millis delay);
  void disarm() noexcept;
  [[nodiscard]] bool armed() const noexcept;

 private:
  friend class TimerWheel;
  Loop& loop_;
  std::function<void()> on_fire_;
  Timer* previous_ = nullptr;  // both null when not armed
  Timer* next_ = nullptr;
  uint64_t due_millis_ = 0;
};

}  // namespace hms::net
