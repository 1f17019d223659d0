#include "collector/app.h"

#include <utility>
#include <vector>

#include "collector/api/health_api.h"
#include "collector/api/ingest_api.h"
#include "collector/api/jaeger_api.h"
#include "collector/api/ledger_api.h"
#include "collector/api/logs_api.h"
#include "collector/api/map_api.h"
#include "collector/api/prometheus_api.h"
#include "collector/api/static_files.h"
#include "collector/api/stream_api.h"
#include "collector/executor.h"
#include "collector/live/hub.h"
#include "collector/live/publisher.h"
#include "collector/live/window.h"
#include "collector/store/engine.h"
#include "collector/store/log_store.h"
#include "collector/store/series_store.h"
#include "collector/store/span_edges.h"
#include "collector/store/span_store.h"
#include "net/core/log.h"
#include "net/http/server.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

constexpr size_t kExecutorThreads =
    2;  // decoding and queries share them; the machine is the services', not ours
constexpr size_t kExecutorQueue = 2'000;
constexpr net::Millis kDrainDeadline{10'000};

SeriesStoreOptions series_options(const CollectorOptions& options) {
  SeriesStoreOptions out;
  out.retention_days = options.retention_days;
  return out;
}

class AppImpl final : public App {
 public:
  AppImpl(net::Loop& loop, const CollectorOptions& options)
      : loop_(loop),
        options_(options),
        spans_(make_span_store()),
        logs_(make_log_store()),
        edges_(make_service_edge_store()),
        series_(make_series_store(series_options(options))),
        executor_(make_executor(kExecutorThreads, kExecutorQueue)),
        window_(make_live_window()),
        hub_(loop) {}

  ~AppImpl() override { close_storage(); }

  Result<void> open() {
    EngineOptions engine_options;
    engine_options.kv.directory = options_.data;
    engine_options.kv.memory_bytes = options_.memory_bytes;
    engine_options.retention_days = options_.retention_days;
    auto engine =
        open_engine(engine_options, {spans_.get(), logs_.get(), edges_.get(), series_.get()});
    if (!engine.ok()) return std::move(engine).error();
    engine_ = std::move(engine).value();
    engine_->observe(
        [this](const AcceptedBatch& batch) { loop_.post([this, batch] { window_->add(batch); }); });
    publisher_ = std::make_unique<LivePublisher>(loop_, *window_, hub_, [](int64_t) {});
    ReceiverOptions receiver;
    receiver.retention_days = options_.retention_days;
    ingest_ = std::make_unique<IngestApi>(loop_, *executor_, *engine_, receiver, net::Clock());
    return listen();
  }

  std::string listen_address() const override { return listen_address_; }
  std::string otlp_address() const override { return otlp_address_; }

  void drain() override {
    if (health_.draining) return;
    health_.draining = true;
    servers_left_ = otlp_server_ ? 2 : 1;
    const auto drained = [this] {
      if (--servers_left_ == 0) finish();
    };
    server_->drain(kDrainDeadline, drained);
    if (otlp_server_) otlp_server_->drain(kDrainDeadline, drained);
  }

  void reload() override {}

 private:
  Result<void> listen() {
    net::ServerOptions server_options;
    server_options.decode_bodies = false;  // the receiver does, off the loop
    server_ = net::HttpServer::create(loop_, server_options);
    register_routes();
    if (auto bound = bind(*server_, options_.listen, listen_address_); !bound.ok()) return bound;
    if (options_.otlp_listen == "off") return {};
    otlp_server_ = net::HttpServer::create(loop_, server_options);
    ingest_->register_routes(*otlp_server_, false);
    return bind(*otlp_server_, options_.otlp_listen, otlp_address_);
  }

  static Result<void> bind(net::HttpServer& server, const std::string& text,
                           std::string& bound_text) {
    auto address = net::SocketAddress::parse(text);
    if (!address.ok()) return std::move(address).error();
    auto bound = server.listen(address.value());
    if (!bound.ok()) return std::move(bound).error();
    bound_text = bound.value().to_string();
    return {};
  }

  void register_routes() {
    ingest_->register_routes(*server_, true);
    register_ledger_api(*server_, *engine_);
    register_jaeger_api(*server_, loop_, *executor_, *spans_, *edges_);
    register_logs_api(*server_, loop_, *executor_, *logs_);
    register_map_api(*server_, loop_, *executor_, *edges_);
    register_prometheus_api(*server_, loop_, *executor_, *series_);
    register_stream_api(*server_, hub_);
    register_static_files(*server_);
    health_.metrics.emplace_back([this](telemetry::PromWriter& writer) {
      write_engine_metrics(writer, *engine_);
      write_series_metrics(writer, *series_);
      ingest_->write_metrics(writer);
      write_server_metrics(writer, "api", server_->counters());
      if (otlp_server_) write_server_metrics(writer, "otlp", otlp_server_->counters());
    });
    register_health_api(*server_, health_, *engine_);
  }

  void close_storage() {
    executor_->close();
    if (engine_) engine_->close();
  }

  void finish() {
    close_storage();
    loop_.stop();
  }

  net::Loop& loop_;
  const CollectorOptions options_;
  HealthState health_;
  // What the engine calls must outlive it; what calls the engine must go before it.
  std::unique_ptr<SpanStore> spans_;
  std::unique_ptr<LogStore> logs_;
  std::unique_ptr<ServiceEdgeStore> edges_;
  std::unique_ptr<SeriesStore> series_;
  std::unique_ptr<StorageEngine> engine_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<LiveWindow> window_;
  LiveHub hub_;
  std::unique_ptr<LivePublisher> publisher_;
  std::unique_ptr<IngestApi> ingest_;
  std::unique_ptr<net::HttpServer> otlp_server_, server_;
  std::string listen_address_, otlp_address_;
  int servers_left_ = 0;
};

}  // namespace

Result<std::unique_ptr<App>> App::start(net::Loop& loop, const CollectorOptions& options) {
  auto app = std::make_unique<AppImpl>(loop, options);
  if (auto opened = app->open(); !opened.ok()) return std::move(opened).error();
  return std::unique_ptr<App>(std::move(app));
}

std::string check_files(const CollectorOptions&) { return {}; }

}  // namespace hms::collector
