#include "proxy/port_memory.h"

#include <string_view>

#include "net/core/random.h"

namespace hms::proxy {

PortMemory::PortMemory() : seed_(net::random_u64()) {}

uint64_t PortMemory::tag_of(const net::SocketAddress& service) const noexcept {
  uint64_t hash = seed_;
  const std::string_view bytes(reinterpret_cast<const char*>(service.raw()), service.raw_length());
  for (const char c : bytes) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x9E3779B97F4A7C15ULL;
    hash ^= hash >> 29;
  }
  return hash << 2;
}

PortKind PortMemory::recall(const net::SocketAddress& service) const noexcept {
  const uint64_t tag = tag_of(service);
  const uint64_t slot = slots_[(tag >> 2) % kSlots].load(std::memory_order_relaxed);
  return (slot & ~uint64_t{3}) == tag ? static_cast<PortKind>(slot & 3) : PortKind::unknown;
}

bool PortMemory::learn(const net::SocketAddress& service, PortKind kind) noexcept {
  const uint64_t tag = tag_of(service);
  const uint64_t wanted = tag | static_cast<uint64_t>(kind);
  std::atomic<uint64_t>& slot = slots_[(tag >> 2) % kSlots];
  if (kind == PortKind::unknown && recall(service) == PortKind::unknown) return false;
  return slot.exchange(wanted, std::memory_order_relaxed) != wanted;
}

}  // namespace hms::proxy
