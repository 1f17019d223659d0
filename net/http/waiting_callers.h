// waiting_callers.h: which connections of a server wait for their caller, and for what: when the
// server is full, the one that has waited longest makes room for a new one. Otherwise a few callers
// that open connections and say nothing would keep everybody out, the kubelet's probe first.
//
// Owner: ServerCore. Thread: the loop's. Cost: nothing is allocated after `add`; every step is
// O(1), but `who_makes_room`, which passes over connections whose last answer is still being read.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>

#include "net/core/clock.h"

namespace hms::net {

class ServerConnection;

enum class CallerWait : uint8_t {
  nothing,       // it waits for us: a request that is handled, an answer on its way
  next_request,  // idle after an answer
  end,           // it has all, and our FIN: its own is missing
  head,          // since the head's first byte; a new connection: since it was accepted
  body,          // since the last piece of it
};

class WaitingCallers {
  /// Closing at once, with bytes of the caller unread, could take the answer from it.
  static constexpr uint64_t kMillisToTakeTheEnd = 250;

  struct Caller {
    ServerConnection* connection;
    uint64_t since_millis;
    CallerWait wait;
  };

 public:
  using Place = std::list<Caller>::iterator;

  [[nodiscard]] Place add(ServerConnection& connection) {
    auto& list = of(CallerWait::nothing);
    return list.insert(list.end(), {&connection, 0, CallerWait::nothing});
  }
  void remove(Place place) { of(place->wait).erase(place); }
  [[nodiscard]] static CallerWait wait_of(Place place) noexcept { return place->wait; }
  /// It waits for this from now on.
  void enter(Place place, CallerWait wait, uint64_t now_millis) noexcept {
    auto& list = of(wait);
    list.splice(list.end(), of(place->wait), place);
    place->wait = wait;
    place->since_millis = now_millis;
  }
  /// Idle ones first, then those that should close, then unfinished heads, then bodies that came no
  /// further for `stalled`; of each the one that has waited longest and `may_go` (it, and for what
  /// it waits). Null if there is none.
  template <class MayGo>
  [[nodiscard]] ServerConnection* who_makes_room(uint64_t now_millis, Millis stalled,
                                                 const MayGo& may_go) const {
    for (const CallerWait wait :
         {CallerWait::next_request, CallerWait::end, CallerWait::head, CallerWait::body}) {
      const uint64_t least = wait == CallerWait::body  ? static_cast<uint64_t>(stalled.count())
                             : wait == CallerWait::end ? kMillisToTakeTheEnd
                                                       : 0;
      for (const Caller& caller : of(wait)) {
        if (now_millis - caller.since_millis < least) break;
        if (may_go(*caller.connection, wait)) return caller.connection;
      }
    }
    return nullptr;
  }

 private:
  [[nodiscard]] std::list<Caller>& of(CallerWait wait) noexcept {
    return lists_[static_cast<size_t>(wait)];
  }
  [[nodiscard]] const std::list<Caller>& of(CallerWait wait) const noexcept {
    return lists_[static_cast<size_t>(wait)];
  }
  std::array<std::list<Caller>, 5> lists_;
};

}  // namespace hms::net
