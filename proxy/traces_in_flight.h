// traces_in_flight.h: which span of ours is serving which trace right now, so that a call that the
// service makes for it finds its parent.
//
// A legacy service passes on the correlation header that it was given (x-trace) and nothing else.
// While exactly one inbound request of that trace is being served here, an outbound call with the
// same trace and no parent span can only come from it: the two spans are joined. With two requests
// of one trace at the same time nothing is joined, rather than something wrong. One table for all
// workers of the process, without locks: a slot is two words, and a reader that meets a change sees
// no match. A collision of two traces in one slot costs the older one its join. Nothing is
// allocated after start.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>

#include "telemetry/ids.h"

namespace hms::proxy {

class TracesInFlight {
 public:
  /// An inbound request begins to be served.
  void begin(const telemetry::TraceId& trace, const telemetry::SpanId& span) noexcept {
    const uint64_t key = key_of(trace);
    Slot& slot = slot_of(key);
    const bool second = slot.key.load(std::memory_order_acquire) == key;
    slot.span.store(second ? kAmbiguous : word_of(span), std::memory_order_relaxed);
    slot.key.store(key, std::memory_order_release);
  }
  /// It ended.
  void end(const telemetry::TraceId& trace) noexcept {
    const uint64_t key = key_of(trace);
    Slot& slot = slot_of(key);
    if (slot.key.load(std::memory_order_acquire) == key)
      slot.key.store(0, std::memory_order_release);
  }
  /// The span that serves this trace; zero when there is none, or more than one.
  [[nodiscard]] telemetry::SpanId find(const telemetry::TraceId& trace) const noexcept {
    const uint64_t key = key_of(trace);
    const Slot& slot = slot_of(key);
    telemetry::SpanId found;
    if (slot.key.load(std::memory_order_acquire) != key) return found;
    const uint64_t span = slot.span.load(std::memory_order_acquire);
    if (slot.key.load(std::memory_order_acquire) != key) return found;
    if (span != kAmbiguous) std::memcpy(found.bytes.data(), &span, sizeof span);
    return found;
  }

 private:
  static constexpr size_t kSlots =
      4'096;  // 64 KiB; far more requests than that at once meet limits.requests first
  static constexpr uint64_t kAmbiguous = 0;
  struct Slot {
    std::atomic<uint64_t> key{0}, span{0};
  };
  static uint64_t key_of(const telemetry::TraceId& trace) noexcept {
    return std::hash<telemetry::TraceId>()(trace) | 1;
  }
  static uint64_t word_of(const telemetry::SpanId& span) noexcept {
    uint64_t word = 0;
    std::memcpy(&word, span.bytes.data(), sizeof word);
    return word;
  }
  Slot& slot_of(uint64_t key) noexcept { return slots_[(key >> 1) % kSlots]; }
  const Slot& slot_of(uint64_t key) const noexcept { return slots_[(key >> 1) % kSlots]; }
  std::array<Slot, kSlots> slots_;
};

}  // namespace hms::proxy
