#include "proxy/own_addresses.h"

#include <netinet/in.h>

#include <algorithm>

namespace hms::proxy {
namespace {

bool is_v6(const net::SocketAddress& address) noexcept {
  return address.raw()->sa_family == AF_INET6;
}

bool is_every_address(const net::SocketAddress& address) noexcept {
  if (is_v6(address))
    return IN6_IS_ADDR_UNSPECIFIED(
        &reinterpret_cast<const sockaddr_in6*>(address.raw())->sin6_addr);
  return reinterpret_cast<const sockaddr_in*>(address.raw())->sin_addr.s_addr == INADDR_ANY;
}

bool leads_to(const net::SocketAddress& listener, const net::SocketAddress& address) noexcept {
  if (listener.port() != address.port()) return false;
  if (listener == address) return true;
  // [::] takes IPv4 as well; 0.0.0.0 does not take IPv6.
  if (is_every_address(listener))
    return (is_v6(listener) || !is_v6(address)) && address.is_on_this_machine();
  return is_every_address(address) && listener.is_loopback();  // the kernel connects to loopback
}

}  // namespace

bool OwnListeners::reached_by(const net::SocketAddress& address) const noexcept {
  return std::any_of(bound_.begin(), bound_.end(),
                     [&](const auto& listener) { return leads_to(listener, address); });
}

bool OwnListeners::on_port(uint16_t port) const noexcept {
  return std::any_of(bound_.begin(), bound_.end(),
                     [port](const auto& listener) { return listener.port() == port; });
}

bool OwnConnections::holds(uint16_t port, const net::SocketAddress& address) const {
  const std::lock_guard lock(mutex_);
  const auto [first, last] = connections_.equal_range(port);
  return std::any_of(first, last, [&](const auto& one) { return one.second == address; });
}

void OwnConnections::forget(Key key) noexcept {
  const std::lock_guard lock(mutex_);
  connections_.erase(key);
}

}  // namespace hms::proxy
