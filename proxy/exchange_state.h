// exchange_state.h: how far an exchange is on each of its four sides, and every step there is.
//
//   caller -- from_caller --> exchange -- to_service ----> service
//   caller <-- to_caller ---- exchange <-- from_service -- service
//
//   from_caller:   head -> body -> complete
//   to_service:    nowhere -> head_waits -> body -> complete; from each of them back to nowhere
//   from_service:  silent -> talking -> complete -> spent, or talking -> spent; back to silent with
//                  another attempt
//   to_caller:     nothing -> begun -> complete, or nothing -> complete: a reply of our own
//
// Together, while the exchange lasts:
//
//   to_caller  from_caller     what is going on
//   nothing    head            the caller has not said what it wants
//   nothing    body, complete  somebody is being asked; another attempt may be made
//   begun      body, complete  the service's reply is passed on: to_service is not nowhere, and a
//                              fault cuts the reply
//   complete   body            answered early; what still comes is sent on (to_service: body) or
//                              thrown away (nowhere: the service, or we ourselves, want none of it)
//   complete   complete        over (Exchange::finish)
//
// Thread: any, values.
#pragma once

#include <cstdint>

#include "net/core/check.h"

namespace hms::proxy {

/// What is awaited of the request.
enum class FromCaller : uint8_t { head, body, complete };

enum class ToService : uint8_t {
  nowhere,     // no connection, not yet or not any more
  head_waits,  // there is one; the head goes out with the next flush
  body,        // the head is sent
  complete,    // all is sent
};

/// Of this attempt.
enum class FromService : uint8_t {
  silent,    // not a byte
  talking,   // interim replies, a part of the reply
  complete,  // the reply is here, and the connection may serve another request
  spent,     // the reply is here, and the connection must not
};

/// Of the final reply; interim ones are not counted.
enum class ToCaller : uint8_t { nothing, begun, complete };

[[nodiscard]] constexpr bool leads_to(FromCaller now, FromCaller next) noexcept {
  return static_cast<int>(next) == static_cast<int>(now) + 1;
}

[[nodiscard]] constexpr bool leads_to(ToService now, ToService next) noexcept {
  return next == ToService::nowhere || static_cast<int>(next) == static_cast<int>(now) + 1;
}

[[nodiscard]] constexpr bool leads_to(FromService now, FromService next) noexcept {
  switch (now) {
    case FromService::silent:
      return next == FromService::silent || next == FromService::talking;
    case FromService::talking:
      return true;
    case FromService::complete:
    case FromService::spent:
      return next == FromService::spent;
  }
  return false;
}

[[nodiscard]] constexpr bool leads_to(ToCaller now, ToCaller next) noexcept { return next > now; }

/// The only way to change a side. A step that is not listed above is a fault of ours.
template <class Side>
void advance(Side& side, Side next) noexcept {
  HMS_ENSURE(leads_to(side, next));
  side = next;
}

}  // namespace hms::proxy
