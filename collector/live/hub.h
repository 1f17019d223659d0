// hub.h: the live stream's fan-out: each event is made into text once, kept for ten minutes, and
// every subscriber is a place in that ring.
//
// A subscriber that resumes (Last-Event-ID) starts at its place; one that cannot, or that stopped
// reading for 10 s, is told with a `gap` event and goes on at the newest. So a slow reader costs at
// most 256 KiB of its connection's queue and no memory of ours. Ids are `<epoch>-<sequence>`; the
// epoch is new at each start of the collector. `gap`:
// {"ts","reason":"unknown"|"expired"|"slow","from","to"} (ms; from may be null). Limits: 10 min or
// 32 MiB of events, 512 subscribers (beyond: 503). Thread: the loop's.
//
// Wiring:  LiveHub hub(loop);   register_stream_api(server, hub);   (collector/api/stream_api.h)
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "net/core/clock.h"
#include "net/http/server.h"
#include "net/io/loop.h"

namespace hms::collector {

struct HubOptions {
  net::Clock clock;  // Unix nanoseconds; default the wall clock
  net::Millis keep{600'000};
  size_t max_bytes = 32UL * 1024 * 1024;
  size_t max_subscribers = 512;
  net::Millis keep_alive{
      10'000};  // a comment after this long without an event; promised: every 15 s
  net::Millis stalled_after{10'000};
};

struct HubStats {
  uint64_t subscribers = 0, events = 0, bytes_kept = 0, gaps = 0, refused = 0;
};

/// Which events a subscriber hears; empty: all. An event without a service (or route) passes every
/// filter.
struct HubFilter {
  std::string service, route;
};

class LiveHub {
 public:
  explicit LiveHub(net::Loop& loop, HubOptions options = {});
  ~LiveHub();
  /// `event` empty: an unnamed event, a browser's onmessage.
  void publish(std::string_view event, std::string_view service, std::string_view route,
               std::string_view json);
  /// Starts the stream on `reply`. False when there are too many subscribers; nothing was sent
  /// then.
  [[nodiscard]] bool subscribe(const net::ReplyPtr& reply, HubFilter filter,
                               std::string_view last_event_id);
  [[nodiscard]] HubStats stats() const;
  [[nodiscard]] const std::string& epoch() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hms::collector
