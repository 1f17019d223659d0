// access_log.h: one JSON line a request on stdout (`access_log: on`): response flags as Envoy's,
// timers as HAProxy's.
//
// TR head read, Tw waiting for a route and an endpoint, Tc connecting, Tr the service's time to its
// head, Ta all of it: milliseconds, -1 = not reached. No value can break out of its line: control
// bytes, quotes and anything beyond ASCII are escaped; texts are cut at 512 bytes. Thread: any; the
// scratch string belongs to the caller.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hms::proxy {

struct AccessEntry {
  bool outbound = false;
  uint64_t start_unix_nanos = 0, duration_nanos = 0;
  std::string_view method, target, host, x_trace, user_agent, route, peer, endpoint, upstream,
      flags, error;
  uint16_t status = 0;
  uint32_t attempts = 0;
  uint64_t request_bytes = 0, reply_bytes = 0;
  int64_t head_nanos = -1, wait_nanos = -1, connect_nanos = -1, reply_nanos = -1;
};

[[nodiscard]] std::string_view format_access_line(const AccessEntry& entry, std::string& scratch);
void write_access_line(const AccessEntry& entry, std::string& scratch);

}  // namespace hms::proxy
