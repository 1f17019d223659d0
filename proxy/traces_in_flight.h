// traces_in_flight.h: which span of ours is serving which trace right now, so that a call that the
// service makes for it finds its parent.
//
// A legacy service passes on the correlation header that it was given (x-trace) and nothing else.
// While exactly one inbound request of that trace is being served here, an outbound call with the
// same trace and no parent span can only come from it: the two spans are joined. With two requests
// of one trace at the same time nothing is joined until both have ended, rather than something
// wrong. One table for all workers of the process, without locks: a writer takes a slot by marking
// its key, and a reader that meets a change sees no match. Two traces in one slot: the older one
// loses its join. Nothing is allocated after start.
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
    const uint64_t before = slot.key.exchange(kBusy, std::memory_order_acq_rel);
    if (before == kBusy) return;  // another worker is at it, for a trace of its own
    const bool joins = before == key;
    const uint32_t requests = joins ? slot.requests.load(std::memory_order_relaxed) + 1 : 1;
    slot.requests.store(requests, std::memory_order_relaxed);
    // Release: who reads this span sees that the key of the trace before is gone.
    slot.span.store(joins ? kAmbiguous : word_of(span), std::memory_order_release);
    slot.key.store(key, std::memory_order_release);
  }
  /// It ended.
  void end(const telemetry::TraceId& trace) noexcept {
    uint64_t key = key_of(trace);
    Slot& slot = slot_of(key);
    const uint64_t its = key;
    if (!slot.key.compare_exchange_strong(key, kBusy, std::memory_order_acq_rel)) return;
    const uint32_t left = slot.requests.load(std::memory_order_relaxed) - 1;
    slot.requests.store(left, std::memory_order_relaxed);
    slot.key.store(left == 0 ? 0 : its, std::memory_order_release);
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
      4'096;  // 96 KiB; far more requests than that at once meet limits.requests first
  static constexpr uint64_t kAmbiguous = 0;
  static constexpr uint64_t kBusy = 2;  // keys are odd
  struct Slot {
    std::atomic<uint64_t> key{0}, span{0};
    std::atomic<uint32_t> requests{0};
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
