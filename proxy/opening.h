// opening.h: a new connection of which nobody knows yet what it will speak.
//
// Accepted, the service is connected to at once, and both sides are listened to:
//
//   * the service speaks first: spliced, and its port is remembered
//   * the caller's bytes are HTTP: a Session; the connection to the service goes to the pool
//   * they are anything else: spliced, with what was read
//   * they may be either: timeouts.detect more at most, then spliced
//   * both are silent: nothing is decided; after timeouts.idle it is closed
//   * no connection to the service: HTTP still gets its 502, anything else a reset
//
// So nobody waits for detection: what either side says goes on when it is there. Destinations
// remembered as HTTP never come here, those remembered (or configured) as raw TCP are connected and
// spliced. A host whose address nobody listens on is connected to at its next one. An app that is
// our own listener is not connected to: HTTP gets its 508, anything else a reset. Limit: 8 KiB
// undecided, one read beyond. Thread: the worker's. Owner: Tunnels.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "net/io/stream.h"
#include "net/io/tcp.h"
#include "net/io/timer_wheel.h"
#include "proxy/cluster/endpoint.h"
#include "proxy/detect.h"
#include "proxy/splice.h"

namespace hms::proxy {

class Opening final : public net::StreamHandler, public UpstreamUser {
 public:
  struct Start {
    std::unique_ptr<net::Stream> caller;  // paused, as accepted
    telemetry::Direction direction = telemetry::Direction::inbound;
    Endpoint* service = nullptr;
    std::vector<net::SocketAddress> more;  // of the service's host, in the order to try them
    net::Millis connect_timeout{0};
    bool raw = false;         // nothing to detect
    bool redirected = false;  // intercepted on its way to somebody else than the app
  };
  Opening(Tunnels& tunnels, Start start);
  ~Opening();

  void start();
  /// Resets the caller.
  void cut(TunnelEnd end);
  /// Neither side has said a byte.
  [[nodiscard]] bool silent() const noexcept {
    return !raw_ && wire_ == Wire::undecided && seen_.empty() && !caller_ended_;
  }
  [[nodiscard]] uint64_t opened_millis() const noexcept { return opened_millis_; }
  /// As after timeouts.idle.
  void close() { finish(); }
  [[nodiscard]] telemetry::Direction direction() const noexcept { return direction_; }

  size_t index = 0;  // in Tunnels' list

 private:
  // The caller's side
  void on_bytes(std::string_view bytes) override;
  void on_eof() override;
  void on_closed(const net::Error& error) override;
  // The service's side
  void on_upstream_bytes(std::string_view bytes) override;
  void on_upstream_eof() override;
  void on_upstream_writable() override {}
  void on_upstream_closed(const net::Error& error) override;

  void connect();
  [[nodiscard]] bool leads_back() const noexcept;
  void on_connected(net::Result<std::unique_ptr<net::Stream>> stream);
  bool try_next_address();
  void on_no_service();
  void on_timer();
  void decide(Wire wire, std::string_view from_caller);
  void hand_to_session(std::string_view from_caller);
  void splice(std::string_view from_caller, std::string_view from_service);
  [[nodiscard]] bool caller_allowed();
  void read_caller(bool wanted);
  void drop_service();
  void finish();

  Tunnels& tunnels_;
  std::unique_ptr<net::Stream> caller_;
  std::unique_ptr<net::Connector> connector_;
  std::unique_ptr<UpstreamConnection> service_;
  OwnConnections::Mark mark_;  // of the connection to the service
  Endpoint* endpoint_;
  std::vector<net::SocketAddress> more_;
  net::Timer timer_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // for the TLS handshake's callback
  std::string seen_;  // from the caller, undecided or waiting for the connection
  net::Millis connect_timeout_;
  uint64_t opened_millis_;
  telemetry::Direction direction_;
  Wire wire_ = Wire::undecided;
  bool raw_, redirected_;
  bool reading_ = false;
  bool caller_ended_ = false;
  bool no_service_ = false;  // it could not be connected to, or has left
  bool connect_failed_ = false;
  bool finished_ = false;
};

}  // namespace hms::proxy
