#include "net/io/timer_wheel.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "net/core/check.h"

namespace hms::net {
namespace {

// The timer whose callback runs in this thread; set to null when it is destroyed there. Not in the
// wheel: a timer that is not armed may outlive its wheel.
thread_local Timer* firing = nullptr;

void make_ring(TimerLink& head) noexcept { head.previous = head.next = &head; }

bool ring_empty(const TimerLink& head) noexcept { return head.next == &head; }

void unlink(TimerLink& link) noexcept {
  link.previous->next = link.next;
  link.next->previous = link.previous;
  link.previous = link.next = nullptr;
}

void append(TimerLink& head, TimerLink& link) noexcept {
  link.previous = head.previous;
  link.next = &head;
  head.previous->next = &link;
  head.previous = &link;
}

/// Moves all links of `from` to the end of `to`.
void splice(TimerLink& to, TimerLink& from) noexcept {
  if (ring_empty(from)) return;
  from.next->previous = to.previous;
  to.previous->next = from.next;
  from.previous->next = &to;
  to.previous = from.previous;
  make_ring(from);
}

/// The first tick at whose time a timer due at `millis` may fire.
uint64_t tick_of(uint64_t millis) noexcept {
  return (millis + TimerWheel::kSlotMillis - 1) / TimerWheel::kSlotMillis;
}

}  // namespace

Timer::Timer(Loop& loop, std::function<void()> on_fire)
    : Timer(loop.timers(), std::move(on_fire)) {}

Timer::Timer(TimerWheel& wheel, std::function<void()> on_fire)
    : Alarm(wheel), on_fire_(std::move(on_fire)) {}

Timer::~Timer() {
  if (firing == this) firing = nullptr;
}

/// The callback may destroy the timer, and with it a function that is still running: so it runs
/// from here.
void Timer::on_alarm() {
  auto on_fire = std::move(on_fire_);
  firing = this;
  on_fire();
  if (firing != nullptr) on_fire_ = std::move(on_fire);
  firing = nullptr;
}

void Alarm::arm(Millis delay) {
  disarm();
  wheel_.add(*this, delay);
}

void Alarm::disarm() noexcept {
  if (armed()) wheel_.remove(*this);
}

TimerWheel::TimerWheel(Driver& driver)
    : driver_(driver),
      slots_(std::make_unique<std::array<TimerLink, kSlots>>()),
      last_tick_(driver.now_millis() / kSlotMillis) {
  for (TimerLink& slot : *slots_) make_ring(slot);
  make_ring(due_);
  make_ring(soon_);
}

TimerWheel::~TimerWheel() {
  for (TimerLink& slot : *slots_) splice(due_, slot);
  splice(due_, soon_);
  while (!ring_empty(due_)) unlink(*due_.next);
}

void TimerWheel::add(Alarm& alarm, Millis delay) {
  // A year bounds the sum below; nothing here waits longer.
  constexpr Millis kLongest = std::chrono::hours(24 * 366);
  delay = std::clamp(delay, Millis::zero(), kLongest);
  alarm.due_millis_ = driver_.now_millis() + static_cast<uint64_t>(delay.count());
  ++armed_;
  if (delay == Millis::zero()) {
    append(soon_, alarm);
    driver_.wake_soon();
    return;
  }
  // A tick that was collected already would wait a whole round.
  const uint64_t tick = std::max(tick_of(alarm.due_millis_), last_tick_ + 1);
  const size_t slot = tick % kSlots;
  append((*slots_)[slot], alarm);
  occupied_[slot / 64] |= uint64_t{1} << (slot % 64);
  if (!advancing_ && (wake_tick_ == 0 || tick < wake_tick_)) {
    wake_tick_ = tick;
    driver_.wake_at(tick * kSlotMillis);
  }
}

void TimerWheel::remove(Alarm& alarm) noexcept {
  unlink(alarm);
  --armed_;
}

void TimerWheel::advance() {
  HMS_ENSURE(!advancing_);
  advancing_ = true;
  splice(due_, soon_);
  collect_due(driver_.now_millis() / kSlotMillis);
  fire_some();
  advancing_ = false;
  plan_wake_up();
}

void TimerWheel::collect_due(uint64_t now_tick) {
  if (now_tick <= last_tick_) return;
  const uint64_t passed = std::min<uint64_t>(now_tick - last_tick_, kSlots);
  for (uint64_t tick = now_tick - passed + 1; tick <= now_tick; ++tick) {
    const size_t slot = tick % kSlots;
    if ((occupied_[slot / 64] >> (slot % 64) & 1) != 0) collect_slot(slot, now_tick);
  }
  last_tick_ = now_tick;
}

void TimerWheel::collect_slot(size_t slot, uint64_t now_tick) {
  TimerLink& head = (*slots_)[slot];
  for (TimerLink* link = head.next; link != &head;) {
    TimerLink* const following = link->next;
    auto& alarm = *static_cast<Alarm*>(link);
    if (alarm.due_millis_ <= now_tick * kSlotMillis) {
      unlink(alarm);
      append(due_, alarm);
    }
    link = following;
  }
  if (ring_empty(head)) occupied_[slot / 64] &= ~(uint64_t{1} << (slot % 64));
}

void TimerWheel::fire_some() {
  for (size_t fired = 0; fired < kFiresPerTurn && !ring_empty(due_); ++fired) {
    auto& alarm = *static_cast<Alarm*>(due_.next);
    remove(alarm);
    alarm.on_alarm();
  }
}

void TimerWheel::plan_wake_up() {
  if (!ring_empty(due_) || !ring_empty(soon_)) driver_.wake_soon();
  wake_tick_ = next_occupied_tick();
  if (wake_tick_ == 0) {
    driver_.sleep();
  } else {
    driver_.wake_at(wake_tick_ * kSlotMillis);
  }
}

uint64_t TimerWheel::next_occupied_tick() const noexcept {
  const uint64_t first = last_tick_ + 1;
  for (uint64_t offset = 0; offset < kSlots;) {
    const size_t slot = (first + offset) % kSlots;
    const uint64_t word = occupied_[slot / 64] >> (slot % 64);
    if (word != 0) return first + offset + static_cast<uint64_t>(std::countr_zero(word));
    offset += 64 - slot % 64;
  }
  return 0;
}

}  // namespace hms::net
