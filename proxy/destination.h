// destination.h: where a caller was going before it came here.
#pragma once

#include "net/io/address.h"

namespace hms::proxy {

struct Destination {
  net::SocketAddress address;
  bool teaches = false;     // nobody knows yet what is spoken there
  bool redirected = false;  // intercepted, and not on its way to the app
};

}  // namespace hms::proxy
