// name_keeper.h: the addresses behind the names of endpoints, looked up at the start and every 5 s.
// A name that stops resolving keeps its last addresses: a resolver's hiccup must not take a service
// down. Limit: 64 addresses a name. Thread: the main loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "net/io/tcp.h"
#include "net/io/timer_wheel.h"
#include "proxy/config/snapshot.h"

namespace hms::proxy {

class NameKeeper {
 public:
  NameKeeper(net::Loop& loop, std::function<void()> on_change);
  /// Starts looking up what is new; forgets what is not asked for any more.
  void watch(const std::vector<net::HostPort>& names);
  [[nodiscard]] const Resolved& resolved() const noexcept { return resolved_; }
  /// Every name has been answered at least once, well or not.
  [[nodiscard]] bool settled() const noexcept;

 private:
  struct Entry {
    net::HostPort target;
    std::unique_ptr<net::Resolver> running;
    bool answered = false;
  };
  void look_up(const std::string& key, Entry& entry);
  void refresh();

  net::Loop& loop_;
  std::function<void()> on_change_;
  std::map<std::string, Entry> entries_;
  Resolved resolved_;
  net::Timer timer_;
};

}  // namespace hms::proxy
