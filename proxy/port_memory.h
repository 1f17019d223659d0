// port_memory.h: what the services behind their ports were seen to speak, shared by the workers of
// a process.
//
// Only what a service says counts: a caller's bytes alone never decide for the next caller. A port
// whose service cannot be connected to is forgotten: what comes back may be something else. One
// word a slot, found by a seeded hash of the destination; a collision forgets the older one.
// Limit: 1,024 destinations (8 KiB). Thread: any, without locks.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "net/io/address.h"

namespace hms::proxy {

enum class PortKind : uint8_t { unknown, http, tcp };

class PortMemory {
 public:
  PortMemory();
  [[nodiscard]] PortKind recall(const net::SocketAddress& service) const noexcept;
  /// Returns whether that was news.
  bool learn(const net::SocketAddress& service, PortKind kind) noexcept;
  void forget(const net::SocketAddress& service) noexcept { learn(service, PortKind::unknown); }

 private:
  static constexpr size_t kSlots = 1'024;
  [[nodiscard]] uint64_t tag_of(const net::SocketAddress& service) const noexcept;

  std::array<std::atomic<uint64_t>, kSlots> slots_{};  // a tag of 62 bits, and the kind
  uint64_t seed_;
};

}  // namespace hms::proxy
