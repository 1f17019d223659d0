// timer_wheel.h: all timeouts of a loop on one libuv timer (a uv_timer per request costs a heap
// operation each).
//
// Hashed wheel with 10 ms slots, intrusive nodes: arming, re-arming and disarming are O(1) and
// allocate nothing. A timer fires no earlier than asked (by the loop's clock, which is read once
// per turn) and at most one slot (plus the loop's own delay) later. At most kFiresPerTurn callbacks
// run in a turn, the rest in the next ones. The tick runs only while something is armed. Thread:
// the loop's. Tests: tests/unit/net/io/timer_wheel_test.cc.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "net/io/loop.h"

namespace hms::net {

/// A node of an intrusive ring; alone and outside of any ring when both are null.
struct TimerLink {
  TimerLink* previous = nullptr;
  TimerLink* next = nullptr;
};

/// One timeout or period that calls its owner, who derives from it; disarms itself when destroyed.
/// It may be re-armed or destroyed in its own call. For owners of whom there are many: 40 bytes, a
/// Timer has 72.
class Alarm : private TimerLink {
 public:
  explicit Alarm(TimerWheel& wheel) noexcept : wheel_(wheel) {}
  virtual ~Alarm() { disarm(); }
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

  /// Fires once after `delay` (0: in the next turn); an armed one is moved.
  void arm(Millis delay);
  void disarm() noexcept;
  [[nodiscard]] bool armed() const noexcept { return next != nullptr; }
  /// By the loop's clock; of what it was armed for last.
  [[nodiscard]] uint64_t due_millis() const noexcept { return due_millis_; }

 private:
  friend class TimerWheel;
  virtual void on_alarm() = 0;
  TimerWheel& wheel_;
  uint64_t due_millis_ = 0;
};

/// An alarm that calls a function.
class Timer final : private Alarm {
 public:
  Timer(Loop& loop, std::function<void()> on_fire);
  Timer(TimerWheel& wheel, std::function<void()> on_fire);
  ~Timer() override;

  using Alarm::arm;
  using Alarm::armed;
  using Alarm::disarm;

 private:
  void on_alarm() override;
  std::function<void()> on_fire_;
};

/// All armed timers of a loop. Knows no libuv: a Driver tells it the time and wakes it, so that
/// tests can bring their own time.
class TimerWheel {
 public:
  static constexpr uint64_t kSlotMillis = 10;
  static constexpr size_t kSlots =
      4096;  // one round is 41 s; later timers wait in their slot for further rounds
  static constexpr size_t kFiresPerTurn =
      256;  // bounded work per turn: a mass of equal timeouts must not starve the sockets

  class Driver {
   public:
    virtual ~Driver() = default;
    [[nodiscard]] virtual uint64_t now_millis() const noexcept = 0;
    /// Calls `advance` once at `at_millis` or later; replaces what was asked before.
    virtual void wake_at(uint64_t at_millis) = 0;
    /// Calls `advance` soon: in a later turn, and before the loop sleeps.
    virtual void wake_soon() = 0;
    virtual void sleep() = 0;
  };

  explicit TimerWheel(Driver& driver);
  /// Timers still armed are disarmed.
  ~TimerWheel();
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  /// Fires what is due. Called by the Driver only, never from a timer's callback.
  void advance();
  [[nodiscard]] size_t armed_count() const noexcept { return armed_; }

 private:
  friend class Alarm;
  void add(Alarm& alarm, Millis delay);
  void remove(Alarm& alarm) noexcept;
  void collect_due(uint64_t now_tick);
  void collect_slot(size_t slot, uint64_t now_tick);
  void fire_some();
  void plan_wake_up();
  [[nodiscard]] uint64_t next_occupied_tick() const noexcept;

  Driver& driver_;
  std::unique_ptr<std::array<TimerLink, kSlots>> slots_;
  std::array<uint64_t, kSlots / 64>
      occupied_{};          // a set bit may be stale (its timers left); never a clear one
  TimerLink due_;           // taken out of their slots, not yet fired
  TimerLink soon_;          // armed with delay 0
  uint64_t last_tick_ = 0;  // all ticks up to this one were collected
  uint64_t wake_tick_ = 0;  // what the driver was asked for; 0: nothing
  size_t armed_ = 0;
  bool advancing_ = false;
};

}  // namespace hms::net
