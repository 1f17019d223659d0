// splice.h: two connections tied together, bytes copied both ways as they are: an upgraded
// connection, raw TCP, TLS that is not ours.
//
//   both open --one side's FIN--> half open --the other FIN--> flushing --> over
//       \--reset on one side--> the other gets what was sent to it before, then FIN or RST, as it
//       came
//
// A FIN is passed on behind the queue, so last bytes are never lost. The faster side is paused at
// the slower one's watermark: a connection holds at most two queues (128 KiB each). Limits:
// timeouts.tunnel_idle without a byte either way; timeouts.write_stall without a byte taken by a
// side that has bytes waiting; after one side is gone, 2 s without progress and 1 MiB for the rest.
// Thread: the worker's. Owner: Tunnels.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "net/io/stream.h"
#include "net/io/timer_wheel.h"
#include "proxy/cluster/endpoint.h"
#include "proxy/detect.h"
#include "proxy/own_addresses.h"
#include "telemetry/recorder.h"

namespace hms::proxy {

class Tunnels;

enum class TunnelKind : uint8_t { upgrade, tcp, tls };
[[nodiscard]] std::string_view tunnel_kind_name(TunnelKind kind) noexcept;

/// How a tunnel ended.
enum class TunnelEnd : uint8_t {
  clean,
  caller_reset,
  service_reset,
  idle,
  stalled,
  connect_failed,
  drained,
  count_
};
[[nodiscard]] std::string_view tunnel_end_name(TunnelEnd end) noexcept;

struct SpliceStart {
  TunnelKind kind = TunnelKind::tcp;
  telemetry::Direction direction = telemetry::Direction::inbound;
  std::unique_ptr<net::Stream> caller;          // being read (no pause left)
  std::unique_ptr<UpstreamConnection> service;  // its endpoint's in_flight counts this tunnel
  bool caller_ended = false;                    // its FIN was seen before
  OwnConnections::Mark mark = {};               // of the connection to the service
};

class Splice final : public net::StreamHandler, public UpstreamUser {
 public:
  Splice(Tunnels& tunnels, SpliceStart start);
  ~Splice();

  /// Takes both handlers over and sends each side what the other had sent before.
  void start(std::string_view from_caller, std::string_view from_service);
  /// Resets both sides.
  void cut(TunnelEnd end);

  [[nodiscard]] TunnelKind kind() const noexcept { return kind_; }
  [[nodiscard]] telemetry::Direction direction() const noexcept { return direction_; }

  size_t index = 0;  // in Tunnels' list

 private:
  // The caller's side
  void on_bytes(std::string_view bytes) override;
  void on_eof() override;
  void on_writable() override;
  void on_closed(const net::Error& error) override;
  // The service's side
  void on_upstream_bytes(std::string_view bytes) override;
  void on_upstream_eof() override;
  void on_upstream_writable() override;
  void on_upstream_closed(const net::Error& error) override;

  void look_at_first_bytes(std::string_view from_caller);
  void flush_rest(bool cut, TunnelEnd end);
  [[nodiscard]] net::Stream& remaining() noexcept;
  void drop_caller();
  void drop_service();
  void watch_queue();
  void on_timer();
  void look_at_flush();
  void finish(TunnelEnd end);

  Tunnels& tunnels_;
  std::unique_ptr<net::Stream> caller_;
  std::unique_ptr<UpstreamConnection> service_;
  Endpoint& endpoint_;
  OwnConnections::Mark mark_;
  net::Timer timer_;
  std::string hello_;        // TLS: the caller's greeting, until its server name is known
  std::string server_name_;  // as detect.h shows it
  std::string peer_;         // the caller's address
  uint64_t start_nanos_;
  uint64_t received_ = 0, sent_ = 0;  // bytes from the caller, bytes to it
  uint64_t moved_ = 0;                // bytes seen and written, at the timer's last look
  uint64_t quiet_since_ = 0;          // loop's milliseconds
  uint64_t discarded_ = 0;
  uint32_t peer_id_ = 0, peer_identity_id_ = 0;
  TunnelKind kind_;
  telemetry::Direction direction_;
  TunnelEnd end_ = TunnelEnd::clean;
  bool caller_ended_, service_ended_ = false;
  bool caller_paused_ = false, service_paused_ = false;
  bool flushing_ = false, flush_cuts_ = false;
  bool named_ = false;  // nothing more to learn from the caller's first bytes
  bool finished_ = false;
};

}  // namespace hms::proxy
