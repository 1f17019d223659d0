// own_addresses.h: what leads back to this process, for the loop guard: its own listeners, and the
// raw connections that it opened itself (of which nothing in the bytes tells; HTTP has `Via`).
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "net/io/address.h"

namespace hms::proxy {

/// The addresses that a direction's listeners are bound to. Thread: the worker's.
class OwnListeners {
 public:
  OwnListeners() = default;
  explicit OwnListeners(std::vector<net::SocketAddress> bound) : bound_(std::move(bound)) {}

  /// Would a connection to `address` come here? The kernel is asked whose address it is only where
  /// the port is ours and the listener takes every address.
  [[nodiscard]] bool reached_by(const net::SocketAddress& address) const noexcept;
  [[nodiscard]] bool on_port(uint16_t port) const noexcept;

 private:
  std::vector<net::SocketAddress> bound_;
};

/// Raw connections that a process has opened and that a redirection of the machine might bring back
/// to it, to whichever worker. Limit: limits.connections a worker. Thread: any.
class OwnConnections {
 public:
  using Key = std::multimap<uint16_t, net::SocketAddress>::iterator;

  /// Forgets its connection when it goes.
  class Mark {
   public:
    Mark() = default;
    Mark(OwnConnections& owner, Key key) : owner_(&owner), key_(key) {}
    ~Mark() { clear(); }
    Mark(Mark&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)), key_(other.key_) {}
    Mark& operator=(Mark&& other) noexcept {
      clear();
      owner_ = std::exchange(other.owner_, nullptr);
      key_ = other.key_;
      return *this;
    }
    void clear() noexcept {
      if (owner_ != nullptr) std::exchange(owner_, nullptr)->forget(key_);
    }

   private:
    OwnConnections* owner_ = nullptr;
    Key key_{};
  };

  /// `connect` begins a connection to `address` and returns the port that it comes from (0: none).
  /// Under the lock: who accepts it, however soon, and asks `holds`, is told.
  template <class Connect>
  [[nodiscard]] Mark open(const net::SocketAddress& address, const Connect& connect) {
    const std::lock_guard lock(mutex_);
    const uint16_t port = connect();
    if (port == 0) return {};
    return Mark(*this, connections_.emplace(port, address));
  }
  /// Is `port` where one of our own connections to `address` comes from?
  [[nodiscard]] bool holds(uint16_t port, const net::SocketAddress& address) const;

 private:
  void forget(Key key) noexcept;

  mutable std::mutex mutex_;
  std::multimap<uint16_t, net::SocketAddress> connections_;  // by the port they come from
};

}  // namespace hms::proxy
