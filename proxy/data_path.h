// data_path.h: everything one worker needs to serve requests, and the only thing its sessions
// share.
//
// A DataPath belongs to one loop and one thread; several of them never meet. The main thread talks
// to it by posting values: snapshots in, counters and recorder deltas out. It knows no thread and
// no listener, so tests and fuzzers drive it with streams of their own. Limits: limits.connections
// sessions and limits.requests exchanges at the same time; beyond: 503 `overloaded` and a counter
// (256 of those connections at once; beyond, a reset).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/http/h1_codec.h"
#include "proxy/cluster/host_names.h"
#include "proxy/cluster/outlier.h"
#include "proxy/cluster/pool.h"
#include "proxy/cluster/view.h"
#include "proxy/counters.h"
#include "proxy/endpoint_state.h"
#include "proxy/exchange.h"
#include "proxy/gather.h"
#include "proxy/own_addresses.h"
#include "proxy/port_memory.h"
#include "proxy/retry_budget.h"
#include "proxy/route_learner.h"
#include "proxy/session.h"
#include "proxy/traces_in_flight.h"
#include "proxy/tunnels.h"

namespace hms::proxy {

class DataPath {
 public:
  struct Options {
    std::string proxy_tag = "hms";  // for Via: names this process
    Pool::Dial dial;                // empty: real connections
    HostNames::LookUp look_up;      // empty: the system's
    TracesInFlight* traces =
        nullptr;                  // shared by the workers of a process; null: calls are not joined
    PortMemory* ports = nullptr;  // shared as well; null: everything is HTTP
    OwnConnections* own_connections = nullptr;  // shared as well; needed where calls are redirected
  };

  DataPath(net::Loop& loop, Options options);
  ~DataPath();

  void apply(SnapshotPtr snapshot);
  void accept(std::unique_ptr<net::Stream> stream, telemetry::Direction direction);
  /// True while every new connection of the listener is HTTP: it may be accepted with its request.
  [[nodiscard]] bool callers_speak_first(telemetry::Direction direction);
  /// Where the listeners are bound: some calls to them would come back (Endpoint::leads_back).
  void set_own_addresses(std::vector<net::SocketAddress> inbound,
                         std::vector<net::SocketAddress> outbound);

  /// Replies ask callers to close; idle sessions end once they were quiet for `quiet_millis`.
  void begin_drain();
  void close_idle_sessions(uint64_t quiet_millis);
  /// Ends everything at once. Returns how many requests were cut.
  size_t cut_all();
  [[nodiscard]] bool draining() const noexcept { return draining_; }
  /// Connections of callers, tunnels included.
  [[nodiscard]] size_t sessions_open() const noexcept { return sessions_.size() + tunnels_.open(); }
  [[nodiscard]] size_t exchanges_running() const noexcept { return running_; }

  [[nodiscard]] Counters counters() const;
  [[nodiscard]] std::vector<EndpointState> endpoint_states() const;
  /// Verdicts of the active checks: which endpoints do not answer
  /// ("upstream address").
  void set_failed_checks(const std::vector<std::string>& endpoints);
  [[nodiscard]] std::vector<std::string> learned_routes() const { return learner_.templates(); }
  [[nodiscard]] uint64_t routes_folded() const noexcept { return learner_.folded(); }
  [[nodiscard]] telemetry::RecorderDelta flip();

  // For sessions and exchanges.
  [[nodiscard]] net::Loop& loop() noexcept { return loop_; }
  [[nodiscard]] View* view() noexcept { return view_.get(); }
  [[nodiscard]] const Config& config() const noexcept { return view_->snapshot->config; }
  [[nodiscard]] Exchange* take_exchange(Session& session);
  /// `destination`: null: not known. `early`: what was read already.
  void begin_session(std::unique_ptr<net::Stream> stream, telemetry::Direction direction,
                     const Destination* destination = nullptr, std::string_view early = {});
  void learn_port(const net::SocketAddress& service, PortKind kind);
  /// False: it could not be made for want of descriptors of ours, and nothing is held against
  /// `service`.
  [[nodiscard]] bool note_connect_failure(Endpoint& service, const net::Error& error);
  void note_tls_failure(const net::Error& error);
  void recycle(Exchange& exchange);
  void remove(Session& session);
  void unpin(View& view);

  Counters count;
  Gather request_out, reply_out;
  RetryFloor retry_floor;
  OutlierCounts outliers;
  uint64_t unix_offset_nanos = 0;  // unix = monotonic + offset, set at each flip
  telemetry::Recorder& recorder() noexcept { return recorder_; }
  RouteLearner& learner() noexcept { return learner_; }
  Pool& pool() noexcept { return pool_; }
  Tunnels& tunnels() noexcept { return tunnels_; }
  [[nodiscard]] std::string_view via_line(telemetry::Direction direction) const noexcept {
    return via_lines_[static_cast<size_t>(direction)];
  }
  /// "hms-1f2e3d4c-in": what a Via field must not hold already.
  [[nodiscard]] std::string_view via_name(telemetry::Direction direction) const noexcept {
    return via_names_[static_cast<size_t>(direction)];
  }
  [[nodiscard]] const net::HttpLimits& http_limits() const noexcept { return limits_; }
  /// The endpoint of an outbound host without a route.
  [[nodiscard]] Endpoint& dynamic_endpoint(const net::SocketAddress& address);
  [[nodiscard]] HostNames& host_names() noexcept { return host_names_; }
  [[nodiscard]] bool is_own_outbound(const net::SocketAddress& address) const noexcept {
    return own_outbound_.reached_by(address);
  }
  /// Where raw connections are noted that a redirection might bring back; null: nothing redirects.
  [[nodiscard]] OwnConnections* own_connections() const noexcept {
    return config().inbound_transparent || config().outbound_transparent ? own_connections_
                                                                         : nullptr;
  }
  std::string access_line, peer_ip;  // scratch
  PathScratch path_scratch;
  TracesInFlight* const traces;

 private:
  void forget_dynamic_endpoints();
  /// Where a raw connection would go: the app or the original destination, null: nowhere.
  [[nodiscard]] Endpoint* raw_destination(telemetry::Direction direction,
                                          const std::optional<net::SocketAddress>& redirected);
  /// The other addresses of an app's host, if it is a host with several; a few at most.
  [[nodiscard]] std::vector<net::SocketAddress> other_addresses(Endpoint& app) const;
  /// Where a redirected connection was going; nothing if it was not, or to the app.
  [[nodiscard]] std::optional<net::SocketAddress> redirected_from(net::Stream& stream,
                                                                  telemetry::Direction direction);
  [[nodiscard]] bool leads_back(const net::Stream& stream, const net::SocketAddress& destination);
  void mark_own_endpoints();
  void refuse(std::unique_ptr<net::Stream> stream, telemetry::Direction direction, bool in_http);

  net::Loop& loop_;
  telemetry::Recorder recorder_;
  RouteLearner learner_;
  Pool pool_;
  HostNames host_names_;
  std::unique_ptr<View> view_;
  std::vector<std::unique_ptr<View>> old_views_;
  std::vector<std::unique_ptr<Session>> sessions_;
  Tunnels tunnels_;
  std::vector<std::unique_ptr<Exchange>> exchanges_;  // all
  std::vector<Exchange*> free_exchanges_;
  size_t running_ = 0;
  size_t refused_open_ = 0;  // sessions that only say no
  net::HttpLimits limits_;
  std::string via_lines_[2], via_names_[2];
  OwnListeners own_inbound_, own_outbound_;
  OwnConnections* own_connections_;
  PortMemory* ports_;
  bool draining_ = false;
};

}  // namespace hms::proxy
