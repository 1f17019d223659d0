// tunnels.h: a worker's connections that are not, not yet, or no longer HTTP: who owns them, and
// what is told of them.
//
// They count as connections (limits.connections) and keep a drain waiting until its deadline, as
// requests do. A raw connection leaves a span and, with access_log, a line. Thread: the worker's.
// Owner: DataPath.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "proxy/opening.h"
#include "proxy/splice.h"

namespace hms::proxy {

class DataPath;

/// What is told of a raw connection when it is over.
struct TunnelRecord {
  TunnelKind kind = TunnelKind::tcp;
  telemetry::Direction direction = telemetry::Direction::inbound;
  TunnelEnd end = TunnelEnd::clean;
  uint64_t start_nanos = 0;  // monotonic
  uint64_t received = 0, sent = 0;
  std::string_view peer, server_name;
  uint32_t peer_id = 0, peer_identity_id = 0, endpoint_id = 0;
  std::string_view endpoint;
};

class Tunnels {
 public:
  explicit Tunnels(DataPath& data);
  ~Tunnels();

  [[nodiscard]] DataPath& data() noexcept { return data_; }
  [[nodiscard]] size_t open() const noexcept { return splices_.size() + openings_.size(); }
  /// A new connection whose protocol is to be found out.
  void detect(Opening::Start start);
  /// Ties the two sides together. What either had sent for the other before goes first.
  void splice(SpliceStart start, std::string_view from_caller, std::string_view from_service);
  /// Connections on which nobody has said a byte for `quiet_millis`.
  void close_silent(uint64_t quiet_millis);
  /// Resets everything; returns how many tunnels there were.
  size_t cut_all();

  // For what is owned here.
  void remove(Splice& splice);
  void remove(Opening& opening);
  /// A raw connection turned out to carry TLS.
  void now_tls(telemetry::Direction direction);
  void record(const TunnelRecord& record);
  void note_unconnected(net::Stream& caller, telemetry::Direction direction,
                        const Endpoint& endpoint);

 private:
  DataPath& data_;
  std::vector<std::unique_ptr<Splice>> splices_;
  std::vector<std::unique_ptr<Opening>> openings_;
};

}  // namespace hms::proxy
