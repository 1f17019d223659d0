// sidecar.h: the whole program around its workers: configuration in, telemetry out, admin
// interface, drain.
//
// Everything here runs on the main loop, which carries no request: an export, a reload or a scrape
// never delays a caller. Order of the end: readiness off -> replies ask callers to close -> stop
// accepting -> wait for requests (deadline) -> cut the rest -> flush telemetry -> join the workers.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/http/client.h"
#include "net/http/server.h"
#include "net/io/file_watch.h"
#include "net/io/signals.h"
#include "proxy/cluster/health_check.h"
#include "proxy/config_stream.h"
#include "proxy/instance.h"
#include "proxy/metrics.h"
#include "proxy/name_keeper.h"
#include "proxy/options.h"
#include "proxy/span_queue.h"
#include "proxy/tls_sources.h"
#include "proxy/worker.h"

namespace hms::proxy {

class Sidecar {
 public:
  /// Binds everything. Errors: one sentence for people.
  static net::Result<std::unique_ptr<Sidecar>> start(net::Loop& loop, Options options,
                                                     Config config);
  ~Sidecar();
  /// Runs until it was asked to stop; returns the exit code.
  int run();

 private:
  friend class Admin;
  Sidecar(net::Loop& loop, Options options, Config config);

  net::Result<void> bind();
  void start_telemetry();
  // Configuration
  bool reload(const char* why);
  void publish();
  void keep_what_needs_a_restart(Config& next) const;
  // Reports
  using Reports = std::vector<std::unique_ptr<WorkerReport>>;
  void collect(ProxyWorker::Detail detail, std::function<void(Reports)> done);
  void note(Reports& reports);
  void share_routes(const Reports& reports);
  [[nodiscard]] OwnNumbers numbers(const Reports& reports) const;
  // Telemetry
  [[nodiscard]] static net::Millis until_next_tick();
  void tick();
  /// Which of our own metrics go along: none, all, or, when nothing was measured, one that says we
  /// are there.
  enum class OwnMetrics : uint8_t { none, heartbeat, all };
  void export_deltas(Reports reports, OwnMetrics what);
  void export_step();
  void encode_spans_a_little();
  void finish_export();
  [[nodiscard]] telemetry::ResourceIdentity resource() const;
  // Admin
  net::Result<net::SocketAddress> start_admin();
  void admin_metrics(const net::Request& request, const net::ReplyPtr& reply);
  void admin_config(const net::ReplyPtr& reply);
  void admin_routes(const net::ReplyPtr& reply);
  void admin_upstreams(const net::ReplyPtr& reply);
  void admin_loglevel(const net::Request& request, const net::ReplyPtr& reply);
  // The end
  void terminate();
  void begin_drain();
  void drain_step();
  void end(size_t cut);

  net::Loop& loop_;
  Options options_;
  Config config_;
  Instance instance_;
  TlsSources tls_;
  std::unique_ptr<net::HttpClient> client_;
  std::unique_ptr<telemetry::Exporter> exporter_;
  std::unique_ptr<net::HttpServer> admin_;
  std::unique_ptr<net::Signals> signals_;
  std::unique_ptr<net::FileWatch> watch_;
  std::unique_ptr<ConfigStream> config_stream_;
  std::unique_ptr<NameKeeper> names_;
  std::unique_ptr<HealthChecker> health_;
  TracesInFlight traces_;           // outlives the workers
  PortMemory ports_;                // this too
  OwnConnections own_connections_;  // and this
  std::vector<std::unique_ptr<ProxyWorker>> workers_;
  // The learner of all workers together.
  telemetry::NameTable learner_names_;
  RouteLearner learner_{learner_names_};
  LearnedRoutesPtr learned_;
  net::Timer tick_timer_, drain_timer_;
  std::unique_ptr<SpanQueue> span_queue_;
  SnapshotPtr snapshot_;
  CanaryWeights canaries_;
  RequestTotals totals_;
  net::SocketAddress inbound_, outbound_address_, admin_address_;
  uint64_t generation_ = 0;
  uint64_t ticks_ = 0;
  uint64_t spans_dropped_ = 0, series_folded_ = 0, reloads_ok_ = 0, reloads_refused_ = 0;
  uint64_t start_unix_nanos_ = 0;
  uint64_t drain_began_millis_ = 0;
  std::string waited_for_ = "nothing";  // at the last look of the drain that found something
  uint64_t requests_at_drain_ = 0;
  std::string last_reload_error_;
  int terminations_ = 0;
  bool ready_ = false;
  bool draining_ = false;
  bool ignoring_ = false;
  bool accepting_ = true;
  bool ended_ = false;
};

}  // namespace hms::proxy
