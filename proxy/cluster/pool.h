// pool.h: a worker's endpoints and their connections: lease, give back, open, forget.
//
// A connection idles at most as long as the service is known to keep it: 80 % of its `Keep-Alive:
// timeout=N`, or of the idle age at which it was seen to close, and `timeouts.upstream_idle` (3 s)
// while nothing is known. What was seen counts before what is said, and is forgotten after ten
// minutes. Before reuse the socket is peeked at (Stream::idle_and_open). Limit:
// `limits.idle_upstream` idle connections an endpoint. Thread: the worker's.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "net/io/tcp.h"
#include "net/io/timer_wheel.h"
#include "proxy/cluster/endpoint.h"
#include "telemetry/recorder.h"

namespace hms::proxy {

class Pool {
 public:
  using Dial = std::function<std::unique_ptr<net::Connector>(const net::SocketAddress&, net::Millis,
                                                             net::Connector::OnConnect)>;

  Pool(net::Loop& loop, telemetry::NameTable& names, Dial dial);
  ~Pool();

  /// With `tls`, connections speak it, and to nobody whose certificate is not for `server_name` (or
  /// the names that the settings list).
  Endpoint& endpoint(const net::SocketAddress& address,
                     const std::shared_ptr<net::TlsSource>& tls = nullptr,
                     const std::string& server_name = {});
  /// A warm connection, or nothing. `connection->requests > 0` tells that it was used before.
  /// `look_first`: peek even if there was hardly time for the service to close it.
  [[nodiscard]] std::unique_ptr<UpstreamConnection> lease(Endpoint& endpoint, bool look_first);
  /// Opens one; the callback comes later, once.
  [[nodiscard]] std::unique_ptr<net::Connector> open(Endpoint& endpoint, net::Millis timeout,
                                                     net::Connector::OnConnect on_connect);
  /// Of what `open` gave: `endpoint` can be reached.
  [[nodiscard]] std::unique_ptr<UpstreamConnection> adopt(Endpoint& endpoint,
                                                          std::unique_ptr<net::Stream> stream);
  void give_back(std::unique_ptr<UpstreamConnection> connection);
  /// Ends a connection, also from inside its own callback.
  void discard(std::unique_ptr<UpstreamConnection> connection);
  /// The reply said `Keep-Alive: timeout=N`.
  void learn_idle_limit(Endpoint& endpoint, uint64_t seconds);

  void set_limits(net::Millis idle, size_t idle_connections);
  /// Drops endpoints that no view names and nobody uses. Called after `referenced` was set anew.
  void forget_unused();
  void close_idle();
  /// Rises whenever an endpoint's health changes.
  uint64_t health_generation = 1;
  [[nodiscard]] const std::map<std::string, std::unique_ptr<Endpoint>>& endpoints() const noexcept {
    return endpoints_;
  }

 private:
  friend class UpstreamConnection;
  void idle_ended(UpstreamConnection& connection);
  void sweep();
  [[nodiscard]] uint64_t idle_limit(Endpoint& endpoint) const noexcept;
  void tell_idle_limit(Endpoint& endpoint, std::string_view reason, uint64_t value) const;

  net::Loop& loop_;
  telemetry::NameTable& names_;
  Dial dial_;
  net::Timer sweep_timer_;
  uint64_t idle_cap_millis_ = 3'000;
  size_t idle_connections_ = 256;
  std::map<std::string, std::unique_ptr<Endpoint>> endpoints_;
};

}  // namespace hms::proxy
