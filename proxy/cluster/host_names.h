// host_names.h: the addresses behind the hosts that a service calls without a route.
//
// Those who ask for a name while it is being looked up share the one look-up. An answer is kept for
// 5 s, a failure for 1 s; a look-up that takes longer than 5 s has failed. The address that could
// be reached last is tried first, also after the next look-up. Limits: 1,024 names (beyond, kept
// answers are forgotten), 64 look-ups at once (libuv has four threads for them; beyond: an error).
// Counted: Counters::lookups_*. Thread: the worker's. Owner: DataPath.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/io/tcp.h"
#include "net/io/timer_wheel.h"
#include "proxy/counters.h"

namespace hms::proxy {

class HostNames {
 public:
  using Addresses = std::vector<net::SocketAddress>;
  using Answer = net::Result<Addresses>;  // never an empty list
  using LookUp = std::function<std::unique_ptr<net::Resolver>(const net::HostPort&,
                                                              net::Resolver::OnResolved)>;
  /// One who asked; destroying it means that the answer is not wanted any more.
  class Waiter;

  /// `look_up`: empty: the system's.
  HostNames(net::Loop& loop, Counters& count, LookUp look_up);
  ~HostNames();

  /// What is known now of `name` ("host:port"); null: ask.
  [[nodiscard]] const Answer* find(const std::string& name) const;
  /// The answer comes later, once. Null: too many look-ups are running.
  [[nodiscard]] std::unique_ptr<Waiter> ask(const std::string& name, const net::HostPort& target,
                                            std::function<void(const Answer&)> done);
  /// The address to try when `failed` could not be reached; null: there is no other.
  [[nodiscard]] const net::SocketAddress* after(const std::string& name,
                                                const net::SocketAddress& failed) const;
  /// This one could be reached: it comes first from now on.
  void prefer(const std::string& name, const net::SocketAddress& address);

 private:
  struct Entry;
  void start(const std::string& name, Entry& entry, const net::HostPort& target);
  void answer(Entry& entry, Answer answer, uint64_t keep_millis);
  void make_room();

  net::Loop& loop_;
  Counters& count_;
  LookUp look_up_;
  size_t running_ = 0;
  std::map<std::string, Entry> entries_;
};

class HostNames::Waiter {
 public:
  ~Waiter();
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

 private:
  friend class HostNames;
  Waiter(Entry& entry, std::function<void(const Answer&)> done);
  Entry* entry_;  // null: answered
  std::function<void(const Answer&)> done_;
};

}  // namespace hms::proxy
