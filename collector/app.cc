#include "collector/app.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "collector/alerts/alerts.h"
#include "collector/alerts/rule_files.h"
#include "collector/api/alerts_api.h"
#include "collector/api/audit_api.h"
#include "collector/api/backup_api.h"
#include "collector/api/canary_api.h"
#include "collector/api/config_api.h"
#include "collector/api/health_api.h"
#include "collector/api/ingest_api.h"
#include "collector/api/jaeger_api.h"
#include "collector/api/jaeger_v3_api.h"
#include "collector/api/lake_api.h"
#include "collector/api/ledger_api.h"
#include "collector/api/log_tail.h"
#include "collector/api/logs_api.h"
#include "collector/api/map_api.h"
#include "collector/api/prometheus_api.h"
#include "collector/api/prometheus_status.h"
#include "collector/api/silences_api.h"
#include "collector/api/static_files.h"
#include "collector/api/stream_api.h"
#include "collector/canary/controller.h"
#include "collector/executor.h"
#include "collector/lake/federated.h"
#include "collector/lake/roller.h"
#include "collector/live/hub.h"
#include "collector/live/publisher.h"
#include "collector/live/window.h"
#include "collector/memory_budget.h"
#include "collector/query/promql/engine.h"
#include "collector/status_config.h"
#include "collector/store/damage_told.h"
#include "collector/store/engine.h"
#include "collector/store/log_store.h"
#include "collector/store/series_store.h"
#include "collector/store/span_edges.h"
#include "collector/store/span_store.h"
#include "net/core/log.h"
#include "net/http/server.h"
#include "net/io/descriptors.h"
#include "net/io/timer_wheel.h"

namespace hms::collector {
namespace {

using net::Error;
using net::Result;

// Apart, so that long questions delay neither what comes in nor the rules, and searches through
// traces and logs do not keep the dashboard's curves waiting.
constexpr size_t kDecodeThreads = 2, kQueryThreads = 2, kSearchThreads = 2, kRuleThreads = 1;
constexpr size_t kMaxDecodesQueued = 2'000;
constexpr size_t kMaxQueriesQueued = 500;
constexpr size_t kMaxRulesQueued = 1'000;
constexpr net::Millis kDrainDeadline{10'000};
constexpr net::Millis kLookAtMemoryEvery{1'000};
constexpr uint64_t kMaxQuerySamples = 20'000'000;
constexpr uint64_t kBytesPerSample = 16;
constexpr uint64_t kLeastWaiting = 128ULL * 1024 * 1024;  // the largest request must fit

/// Of each listener: callers must not take the descriptors that the database needs.
uint32_t connections_allowed(uint64_t descriptors) {
  return static_cast<uint32_t>(
      std::clamp<uint64_t>(descriptors / 4, 16, net::ServerOptions().max_connections));
}

class AppImpl final : public App {
 public:
  AppImpl(net::Loop& loop, const CollectorOptions& options)
      : loop_(loop),
        options_(options),
        spans_(make_span_store(
            share_memory(options.memory_bytes).heads, share_memory(options.memory_bytes).chunks,
            options.stored_retention().traces(), share_memory(options.memory_bytes).answers)),
        logs_(make_log_store(share_memory(options.memory_bytes).heads,
                             share_memory(options.memory_bytes).chunks,
                             options.stored_retention().logs())),
        edges_(make_service_edge_store()),
        audit_(options.audit),
        upkeep_(make_executor(1, 4)),
        series_(make_series_store(series_options(options, *upkeep_))),
        decoders_(make_executor(kDecodeThreads, kMaxDecodesQueued)),
        queries_(make_executor(kQueryThreads, kMaxQueriesQueued)),
        searches_(make_executor(kSearchThreads, kMaxQueriesQueued)),
        rule_runner_(make_executor(kRuleThreads, kMaxRulesQueued)),
        window_(make_live_window()),
        hub_(loop),
        shares_(share_memory(options.memory_bytes)),
        memory_(options.memory_bytes),
        memory_timer_(loop, [this] { look_at_memory(); }),
        tail_(loop) {}

  ~AppImpl() override { close_storage(); }

  Result<void> open(OnReady on_ready) {
    on_ready_ = std::move(on_ready);
    net::YamlErrors told_by_the_command_line;
    file_at_start_ = read_file(told_by_the_command_line);
    if (auto listening = listen(); !listening.ok()) return listening;
    for (auto* server : {server_.get(), otlp_server_.get()}) {
      if (server != nullptr) server->answer_all(answer_starting);
    }
    EngineOptions engine_options;
    engine_options.kv.directory = options_.data;
    engine_options.kv.memory_bytes = shares_.storage - 2 * shares_.chunks;
    engine_options.max_waiting_bytes = std::max(shares_.waiting, kLeastWaiting);
    engine_options.retention_days = options_.hot_days();
    engine_options.min_free_bytes = options_.min_free_bytes;
    engine_options.keep_old_days = !options_.lake.empty();
    engine_options.on_broken = [](const Error& error) {
      // As databases do after a failed sync: whoever started us starts us again, and the log tells
      // what is stored. All acknowledged is.
      net::log_error("the disk failed; stopping, to recover from the log at the next start",
                     {{"error", error.detail}});
      std::_Exit(1);
    };
    opener_ = std::thread([this, engine_options] {
      opened_.emplace(open_engine(
          engine_options, {spans_.get(), logs_.get(), edges_.get(), series_.get(), &audit_}));
      if (opened_->ok()) lake_opened_ = open_lake(*opened_->value());
      loop_.post([this] { on_opened(); });
    });
    return {};
  }

  std::string listen_address() const override { return listen_address_; }
  std::string otlp_address() const override { return otlp_address_; }

  void drain() override {
    if (health_.draining) return;
    // Opening cannot be cut short, and changes nothing that a start after a crash would not.
    if (!engine_) std::_Exit(0);
    health_.draining = true;
    tail_.close();
    servers_left_ = otlp_server_ ? 2 : 1;
    const auto drained = [this] {
      if (--servers_left_ == 0) finish();
    };
    server_->drain(kDrainDeadline, drained);
    if (otlp_server_) otlp_server_->drain(kDrainDeadline, drained);
  }

  void reload() override {
    if (!alerts_) return;  // still starting: what is read then is new
    if (rule_files_ && rule_files_->reload().ok()) net::log_info("the rules were read again");
    if (!options_.config.empty()) reload_notifiers();
  }

 private:
  static SeriesStoreOptions series_options(const CollectorOptions& options, Executor& upkeep) {
    SeriesStoreOptions out;
    out.retention_days = std::min(options.retention.metrics(), options.hot_days());
    out.drop_expired = options.retention.metrics() < options.hot_days();
    out.seal_seconds = options.seal_seconds;
    out.keep_expired = !options.lake.empty();
    const uint64_t share = share_memory(options.memory_bytes).series;
    out.seal_bytes = std::min<uint64_t>(out.seal_bytes, share / 4);
    out.max_series_bytes = share / 4 * 3;
    out.run_beside = [&upkeep](std::function<void()> work) {
      return upkeep.try_run(std::move(work));
    };
    return out;
  }

  /// What /api/v1/status tells of how this program was started; no secrets.
  StatusInfo status_info() const {
    StatusInfo out;
    out.flags = {{"data", options_.data},
                 {"listen", listen_address_},
                 {"otlp-listen", otlp_address_.empty() ? "off" : otlp_address_},
                 {"rules", options_.rules},
                 {"config", options_.config},
                 {"log-format", options_.log_format},
                 {"log-level", options_.log_level},
                 {"memory", std::to_string(options_.memory_bytes)},
                 {"retention-days", std::to_string(options_.retention.days)},
                 {"external-url", options_.external_url}};
    out.retention_days = std::min(options_.retention.metrics(), options_.hot_days());
    out.yaml = [this] {
      return config_in_force(options_, listen_address_, otlp_address_, notifiers_);
    };
    return out;
  }

  /// Without a lake days past the retention are dropped, and questions go to the hot stores alone.
  /// Thread: the opener's, so that a slow folder or cache stalls no loop.
  Result<void> open_lake(StorageEngine& engine) {
    if (options_.lake.empty()) return {};
    auto destination = open_destination(lake_settings(options_));
    if (!destination.ok()) return std::move(destination).error();
    std::shared_ptr<BlockCache> cache;
    if (destination.value()->remote())
      cache =
          std::make_shared<BlockCache>(options_.data + "/lake-cache", options_.lake_cache_bytes);
    lake_ = std::make_unique<Lake>(std::move(destination).value(), std::move(cache));
    RollerOptions roller;
    roller.staging_folder = options_.data + "/lake-staging";
    roller.retention_days = options_.hot_days();
    roller.minute_of_day = options_.lake_minute;
    roller.retention = options_.stored_retention();
    roller.min_free_bytes = options_.min_free_bytes;
    roller_ = std::make_unique<Roller>(engine, *series_, *lake_, roller);
    roller_->publish_known_days();
    all_spans_ = federate_spans(*spans_, *lake_);
    all_logs_ = federate_logs(*logs_, *lake_);
    all_edges_ = federate_edges(*edges_, *lake_);
    all_series_ = federate_series(*series_, *lake_);
    return {};
  }
  /// Answers say what is damaged, whether a lake is joined or not.
  void tell_of_damage() {
    const DamageList damage = [this] { return engine_->damage(); };
    told_spans_ = tell_damage(all_spans_ ? *all_spans_ : *spans_, damage);
    told_logs_ = tell_damage(all_logs_ ? *all_logs_ : *logs_, damage);
    told_series_ = tell_damage(
        all_series_ ? *all_series_ : static_cast<const SeriesSource&>(*series_), damage);
  }
  const SpanStore& spans() const { return *told_spans_; }
  const LogStore& logs() const { return *told_logs_; }
  const ServiceEdgeStore& edges() const { return all_edges_ ? *all_edges_ : *edges_; }
  const SeriesSource& series() const { return *told_series_; }

  /// While the data directory is opened.
  static void answer_starting(net::Request& request, const net::ReplyPtr& reply) {
    if (request.path == "/healthz") {
      reply->send(200, "application/json", "{\"status\":\"ok\"}");
      return;
    }
    net::send_error(*reply, 503, "unavailable",
                    "the collector is starting: it reads back what is stored",
                    {{"Retry-After", "1"}});
  }

  void on_opened() {
    opener_.join();
    Result<void> ready = opened_->ok() ? std::move(lake_opened_) : opened_->error();
    if (opened_->ok()) {
      engine_ = std::move(*opened_).value();
      audit_.attach(*engine_);
    }
    if (ready.ok()) ready = start_watching();
    if (ready.ok() && roller_) roller_->start();
    if (ready.ok()) {
      ReceiverOptions receiver;
      receiver.retention_days = options_.hot_days();
      receiver.metric_retention_days = std::min(options_.retention.metrics(), options_.hot_days());
      receiver.closed_metric_days = [this] {
        std::set<uint32_t> days;
        for (const auto& [day, state] : engine_->lake_days()) days.insert(day.day);
        return days;
      };
      ingest_ = std::make_unique<IngestApi>(loop_, *decoders_, *engine_, receiver, net::Clock(),
                                            IngestApi::kMaxMemoryInFlight,
                                            [this] { return memory_.must_wait(); });
      memory_timer_.arm(kLookAtMemoryEvery);
      register_routes();
      for (auto* server : {server_.get(), otlp_server_.get()}) {
        if (server != nullptr) server->answer_all(nullptr);
      }
    }
    on_ready_(std::move(ready));
  }

  /// Ports are taken before anything else: a program that waits for us gets an answer from the
  /// first moment on.
  Result<void> listen() {
    net::ServerOptions server_options;
    server_options.decode_bodies = false;  // the receiver does, off the loop
    server_options.max_connections = connections_allowed(net::raise_descriptor_limit());
    if (!options_.external_url.empty())
      server_options.browsers.allowed_origins.push_back(options_.external_url);
    server_ = net::HttpServer::create(loop_, server_options);
    if (auto bound = bind(*server_, options_.listen, options_.tls, listen_address_); !bound.ok())
      return bound;
    if (options_.otlp_listen == "off") return {};
    otlp_server_ = net::HttpServer::create(loop_, server_options);
    return bind(*otlp_server_, options_.otlp_listen, options_.otlp_tls, otlp_address_);
  }

  Result<void> bind(net::HttpServer& server, const std::string& text,
                    const std::optional<net::TlsSettings>& tls, std::string& bound_text) {
    auto address = net::SocketAddress::parse(text);
    if (!address.ok()) return std::move(address).error();
    std::shared_ptr<net::TlsSource> source;
    if (tls) {
      auto opened = net::TlsSource::open(*tls);
      if (!opened.ok()) return std::move(opened).error();
      source = std::move(opened).value();
      tls_watches_.push_back(net::TlsWatch::watch(loop_, source));
    }
    auto bound = source == nullptr ? server.listen(address.value())
                                   : server.listen(address.value(), std::move(source));
    if (!bound.ok()) return std::move(bound).error();
    bound_text = bound.value().to_string();
    return {};
  }

  /// The live window and those who look at it each second.
  Result<void> start_watching() {
    AlertsOptions alerts_options;
    alerts_options.executor = rule_runner_.get();
    alerts_options.external_url = options_.external_url.empty()
                                      ? (options_.tls ? "https://" : "http://") + listen_address_
                                      : options_.external_url;
    alerts_ = std::make_unique<Alerts>(loop_, *window_, hub_, engine_.get(), series_.get(),
                                       std::move(alerts_options));
    alerts_->set_notifiers(options_.notifiers);
    if (options_.rules.empty()) {
      alerts_->set_rules(default_rules());
    } else {
      auto files = RuleFiles::open(loop_, *alerts_, options_.rules);
      if (!files.ok()) return std::move(files).error();
      rule_files_ = std::move(files).value();
    }
    alerts_->recover_security_logs(*logs_);
    canaries_ = std::make_unique<CanaryController>(loop_, *window_, hub_, engine_.get());
    publisher_ = std::make_unique<LivePublisher>(loop_, *window_, hub_, [this](int64_t second) {
      alerts_->on_second(second);
      canaries_->on_second(second);
    });
    engine_->observe([this](const AcceptedBatch& batch) {
      loop_.post([this, batch] {
        window_->add(batch);
        tail_.on_batch(batch);
        alerts_->on_batch(batch);
        publisher_->look();
      });
    });
    return {};
  }

  void register_routes() {
    tell_of_damage();
    ingest_->register_routes(*server_, true);
    if (otlp_server_) ingest_->register_routes(*otlp_server_, false);
    register_ledger_api(*server_, *engine_);
    register_backup_api(*server_, loop_, *queries_, *engine_, options_.backup_directory);
    register_jaeger_api(*server_, loop_, *searches_, spans(), edges(), &audit_);
    register_jaeger_v3_api(*server_, loop_, *searches_, spans(), &audit_);
    register_logs_api(*server_, loop_, *searches_, logs(), tail_, &audit_);
    register_audit_api(*server_, loop_, *searches_, engine_->reader(), audit_);
    promql::QueryOptions questions;
    questions.max_samples = std::min(kMaxQuerySamples, shares_.queries / kBytesPerSample);
    questions.shared_samples = std::make_shared<std::atomic<int64_t>>(
        static_cast<int64_t>(shares_.queries / kBytesPerSample));
    questions.parallel = make_parallel_for(*queries_, kQueryThreads - 1);
    register_map_api(*server_, loop_, *queries_, edges(), series(), questions);
    register_prometheus_api(*server_, loop_, *queries_, series(), std::move(questions));
    register_prometheus_status(*server_, loop_, *queries_, *series_, status_info());
    if (lake_)
      register_lake_api(*server_, loop_, *queries_, *lake_, *roller_);
    else
      register_no_lake_api(*server_);
    register_stream_api(*server_, hub_);
    register_alerts_api(*server_, *alerts_);
    register_silences_api(*server_, alerts_->silences());
    register_canary_api(*server_, *canaries_);
    config_feed_ = register_config_api(loop_, *server_, *canaries_);
    register_static_files(*server_);
    health_.metrics.emplace_back([this](telemetry::PromWriter& writer) { write_metrics(writer); });
    register_health_api(*server_, health_, *engine_);
  }

  void write_metrics(telemetry::PromWriter& writer) const {
    write_engine_metrics(writer, *engine_);
    ingest_->write_metrics(writer);
    write_series_metrics(writer, *series_);
    writer.gauge("hms_collector_memory_budget_bytes", "What --memory allows.", {},
                 static_cast<double>(memory_.budget()));
    writer.gauge("hms_collector_memory_resident_bytes", "What the process takes.", {},
                 static_cast<double>(memory_.resident()));
    writer.gauge("hms_collector_memory_full", "1 while writers are told to wait for memory.", {},
                 memory_.must_wait() ? 1 : 0);
    if (lake_) write_lake_metrics(writer, *lake_, *roller_);
    write_stream_metrics(writer, hub_, *window_);
    tail_.write_metrics(writer);
    audit_.write_metrics(writer);
    write_retention_metrics(writer);
    write_map_metrics(writer);
    write_alert_metrics(writer, *alerts_);
    write_canary_metrics(writer, *canaries_);
    write_server_metrics(writer, "api", server_->counters());
    if (otlp_server_) write_server_metrics(writer, "otlp", otlp_server_->counters());
  }

  void write_retention_metrics(telemetry::PromWriter& writer) const {
    for (const auto& [signal, counters] :
         {std::pair{"traces", spans_->sweep_counters()}, std::pair{"logs", logs_->sweep_counters()},
          std::pair{"metrics", SweepCounters{.days = series_->stats().expired_days}}}) {
      const telemetry::Labels labels{{"signal", signal}};
      const auto count = [&](const char* name, const char* help, uint64_t value) {
        writer.counter(name, help, labels, static_cast<double>(value));
      };
      count("hms_collector_retention_days_total",
            "Days that records past their own retention were taken out of.", counters.days);
      count("hms_collector_retention_records_total",
            "Records taken out of chunks that have others, by their service's retention.",
            counters.records);
      count("hms_collector_retention_corrupt_chunks_total",
            "Chunks past their retention that could not be read and were left.",
            counters.corrupt_chunks);
    }
  }

  void write_map_metrics(telemetry::PromWriter& writer) const {
    const CallsLeftOut left_out = edges_->left_out();
    for (const auto& [reason, calls] :
         {std::pair{"rows", left_out.rows}, std::pair{"late_rows", left_out.late_rows},
          std::pair{"waiting", left_out.waiting}, std::pair{"unreadable", left_out.unreadable}}) {
      writer.counter("hms_collector_map_calls_left_out_total",
                     "Calls that the service map left out, by the limit that they crossed.",
                     {{"reason", reason}}, static_cast<double>(calls));
    }
  }

  void look_at_memory() {
    memory_timer_.arm(kLookAtMemoryEvery);
    const bool waited = memory_.must_wait();
    uint64_t resident = resident_bytes();
    if (resident > memory_.budget()) {
      give_back_memory();  // what was freed but kept for later is nobody's
      resident = resident_bytes();
    }
    if (resident > 0) memory_.look(resident);
    if (memory_.must_wait() != waited) {
      net::log_warn(waited ? "there is memory again; writers go on"
                           : "more memory is taken than --memory allows; writers are told to wait",
                    {{"resident", memory_.resident()}, {"memory", memory_.budget()}});
    }
  }

  [[nodiscard]] CollectorOptions read_file(net::YamlErrors& errors) const {
    CollectorOptions read;
    if (options_.config.empty()) return read;
    const net::YamlNode root = net::load_yaml(options_.config, errors);
    if (root.present()) read_config(root, read);
    return read;
  }

  void reload_notifiers() {
    net::YamlErrors errors;
    CollectorOptions fresh = read_file(errors);
    if (!errors.empty()) {
      net::log_error("the configuration is refused; the old one stays in force",
                     {{"error", errors.text()}});
      return;
    }
    if (const std::string keys = keys_that_need_a_restart(file_at_start_, fresh); !keys.empty())
      net::log_warn("some changes need a restart", {{"keys", keys}});
    notifiers_ = std::move(fresh.notifiers);
    alerts_->set_notifiers(notifiers_);
    net::log_info("the notifiers were read again");
  }

  /// After this no thread but the loop's touches anything here.
  void close_storage() {
    if (opener_.joinable()) opener_.join();
    for (auto* executor :
         {decoders_.get(), queries_.get(), searches_.get(), rule_runner_.get(), upkeep_.get()})
      executor->close();
    if (roller_) roller_->stop();
    if (engine_) engine_->close();
  }

  void finish() {
    close_storage();
    loop_.stop();
  }

  net::Loop& loop_;
  const CollectorOptions options_;
  std::vector<NotifierConfig> notifiers_ = options_.notifiers;  // SIGHUP reads them again
  CollectorOptions file_at_start_;                              // without flags and environment
  HealthState health_;
  // What the engine calls must outlive it; what calls the engine must go before it.
  std::unique_ptr<SpanStore> spans_;
  std::unique_ptr<LogStore> logs_;
  std::unique_ptr<ServiceEdgeStore> edges_;
  AuditLog audit_;
  std::unique_ptr<Executor> upkeep_;  // packs past days for the series store
  std::unique_ptr<SeriesStore> series_;
  std::thread opener_;
  std::optional<Result<std::unique_ptr<StorageEngine>>>
      opened_;  // the opener's, until it is joined, as what follows
  Result<void> lake_opened_;
  OnReady on_ready_;
  std::unique_ptr<StorageEngine> engine_;
  std::unique_ptr<Lake> lake_;            // null: none
  std::unique_ptr<Roller> roller_;        // null without a lake, as what follows
  std::unique_ptr<SpanStore> all_spans_;  // hot and lake
  std::unique_ptr<LogStore> all_logs_;
  std::unique_ptr<ServiceEdgeStore> all_edges_;
  std::unique_ptr<SeriesSource> all_series_;
  std::unique_ptr<SpanStore> told_spans_;  // with what is damaged
  std::unique_ptr<LogStore> told_logs_;
  std::unique_ptr<SeriesSource> told_series_;
  std::unique_ptr<Executor> decoders_, queries_, searches_, rule_runner_;
  std::unique_ptr<LiveWindow> window_;
  LiveHub hub_;
  const MemoryShares shares_;
  MemoryGuard memory_;
  net::Timer memory_timer_;
  LogTail tail_;
  std::unique_ptr<Alerts> alerts_;
  std::unique_ptr<RuleFiles> rule_files_;
  std::unique_ptr<CanaryController> canaries_;
  std::unique_ptr<LivePublisher> publisher_;
  std::unique_ptr<IngestApi> ingest_;
  std::unique_ptr<ConfigFeed> config_feed_;
  std::vector<std::unique_ptr<net::TlsWatch>> tls_watches_;
  std::unique_ptr<net::HttpServer> otlp_server_, server_;
  std::string listen_address_, otlp_address_;
  int servers_left_ = 0;
};

}  // namespace

Result<std::unique_ptr<App>> App::start(net::Loop& loop, const CollectorOptions& options,
                                        OnReady on_ready) {
  auto app = std::make_unique<AppImpl>(loop, options);
  if (auto opened = app->open(std::move(on_ready)); !opened.ok()) return std::move(opened).error();
  return std::unique_ptr<App>(std::move(app));
}

std::string check_files(const CollectorOptions& options) {
  net::YamlErrors errors;
  if (!options.rules.empty()) static_cast<void>(load_rules(options.rules, errors));
  std::string faults = errors.text();
  const auto add = [&faults](const std::string& fault) {
    faults += (faults.empty() ? "" : "\n") + fault;
  };
  std::error_code ignored;
  if (!options.backup_directory.empty() &&
      !std::filesystem::is_directory(options.backup_directory, ignored))
    add("backup_dir: " + options.backup_directory + " is no directory; make it beforehand");
  if (options.lake.empty()) return faults;
  if (const auto lake = check_destination(lake_settings(options)); !lake.ok())
    add(lake.error().detail);
  return faults;
}

}  // namespace hms::collector
