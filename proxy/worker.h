// worker.h: a thread with a loop, its listeners and its DataPath. The main thread speaks to it only
// by posting.
//
// Thread: every public function belongs to the main thread; what it starts runs on the worker's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/io/tcp.h"
#include "net/io/tls_context.h"
#include "net/io/workers.h"
#include "proxy/data_path.h"

namespace hms::proxy {

/// What a worker tells about itself, by value.
struct WorkerReport {
  Counters counters;
  std::vector<EndpointState> endpoints;
  std::vector<std::string> routes;
  uint64_t routes_folded = 0;
  std::vector<std::string> routes_news;  // for the learner of all workers
  size_t sessions = 0;
  bool has_delta = false;
  telemetry::RecorderDelta delta;
};

class ProxyWorker {
 public:
  ProxyWorker(size_t index, std::string proxy_tag, TracesInFlight& traces, PortMemory& ports,
              OwnConnections& own_connections, SnapshotPtr snapshot);
  ~ProxyWorker();

  net::Result<net::SocketAddress> listen(telemetry::Direction direction,
                                         const net::SocketAddress& address, bool reuse_port,
                                         std::shared_ptr<net::TlsSource> tls = nullptr);
  void set_own_addresses(std::vector<net::SocketAddress> inbound,
                         std::vector<net::SocketAddress> outbound);
  void apply(SnapshotPtr snapshot);
  /// Verdicts of the active health checks.
  void set_failed_checks(std::vector<std::string> addresses);
  /// What all workers have learned together, instead of what this one has.
  void adopt_routes(LearnedRoutesPtr routes);
  enum class Detail { counters, everything, delta };
  /// `tell` runs on the worker's thread: it posts the report on.
  void report(Detail detail, std::function<void(std::unique_ptr<WorkerReport>)> tell);
  void begin_drain();
  /// First of two steps: new connections are ignored, those under way still come.
  void ignore_new(telemetry::Direction direction);
  void stop_accepting(telemetry::Direction direction);
  void close_idle_sessions(uint64_t quiet_millis);
  /// Cuts what runs, returns how many requests that were.
  size_t cut_all();

 private:
  struct Listener {
    telemetry::Direction direction;
    std::unique_ptr<net::Acceptor> acceptor;
    bool deferred = false;
  };
  /// A listener whose callers all speak first takes connections with their requests, which saves a
  /// wake-up; where the service may speak first that would stall it.
  void follow_protocol();
  net::Worker worker_;
  // Of the worker's thread:
  std::unique_ptr<DataPath> data_;
  std::vector<Listener> listeners_;
  bool ending_ = false;
};

}  // namespace hms::proxy
