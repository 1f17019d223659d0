#include "proxy/sidecar.h"

#include <sched.h>

#include <algorithm>

#include "net/core/clock.h"
#include "net/core/log.h"
#include "net/core/log_ready.h"
#include "net/core/random.h"
#include "net/http/url.h"
#include "net/io/descriptors.h"
#include "proxy/version.h"

namespace hms::proxy {

namespace {

constexpr int64_t kTickMillis = 1'000;
constexpr int64_t kLeastTickMillis =
    500;  // the first interval after start, or after the clock moved, is no shorter
constexpr net::Millis kDrainLook{25};
constexpr net::Millis kNamesAtStart{2'000};
constexpr net::Millis kFlush{3'000};
constexpr uint64_t kLastCallMillis = 100;  // connections that are just being made are served
constexpr uint64_t kIdleQuietMillis =
    500;                           // an idle caller is let go once it has been quiet this long
constexpr int kStepsPerTurn = 16;  // of encoding spans: about half a millisecond
constexpr uint64_t kOwnMetricsEvery = 10;  // ticks, while there are no requests

std::string counted(uint64_t count, const char* thing) {
  return std::to_string(count) + " " + thing + (count == 1 ? "" : "s");
}

/// What keeps a drain waiting.
std::string what_is_open(const std::vector<std::unique_ptr<WorkerReport>>& reports) {
  Counters sum;
  uint64_t open = 0;
  for (const auto& report : reports) {
    sum.add(report->counters);
    open += report->sessions;
  }
  const uint64_t requests = sum.requests_running[0];
  const uint64_t tunnels = sum.tunnels_open + sum.tcp_open[0] + sum.tcp_open[1];
  const uint64_t rest = open - std::min(open, requests + tunnels);
  return counted(requests, "request") + ", " + counted(tunnels, "tunnel") + ", " +
         counted(rest, "connection") + " without a request";
}

std::string tag_of(const Instance& instance) {
  return "hms-" + instance.id.substr(instance.id.size() - 8);
}

}  // namespace

Sidecar::Sidecar(net::Loop& loop, Options options, Config config)
    : loop_(loop),
      options_(std::move(options)),
      config_(std::move(config)),
      tls_(&loop),
      tick_timer_(loop, [this] { tick(); }),
      drain_timer_(loop, [this] { drain_step(); }),
      start_unix_nanos_(net::unix_nanos()) {}

Sidecar::~Sidecar() = default;

net::Result<std::unique_ptr<Sidecar>> Sidecar::start(net::Loop& loop, Options options,
                                                     Config config) {
  // One descriptor per connection and side: take what the system allows. The last ones are for
  // the admin interface and our own files.
  net::raise_descriptor_limit();
  net::keep_descriptors_back();
  std::unique_ptr<Sidecar> sidecar(new Sidecar(loop, std::move(options), std::move(config)));
  auto instance = load_instance(sidecar->config_.spool_dir);
  if (!instance.ok()) return instance.error();
  sidecar->instance_ = *instance;
  if (auto opened = sidecar->tls_.take(sidecar->config_); !opened.ok()) return opened.error();
  sidecar->client_ =
      net::HttpClient::create(loop, sidecar->tls_.find(sidecar->config_.collector_tls));
  if (auto level = net::parse_log_level(sidecar->config_.log_level); level.ok())
    net::log_set_level(*level);
  Sidecar* self = sidecar.get();
  sidecar->health_ =
      std::make_unique<HealthChecker>(loop, [self](const std::vector<std::string>& failed) {
        for (auto& worker : self->workers_) worker->set_failed_checks(failed);
      });
  sidecar->names_ = std::make_unique<NameKeeper>(loop, [self] { self->publish(); });
  sidecar->names_->watch(names_to_resolve(sidecar->config_));
  loop.run_until([self] { return self->names_->settled(); }, kNamesAtStart);
  sidecar->publish();
  if (auto bound = sidecar->bind(); !bound.ok()) return bound.error();
  sidecar->start_telemetry();
  return sidecar;
}

net::Result<void> Sidecar::bind() {
  for (uint32_t i = 0; i < config_.threads; ++i)
    workers_.push_back(std::make_unique<ProxyWorker>(i, tag_of(instance_), traces_, ports_,
                                                     own_connections_, snapshot_));
  const auto listen_all = [this](telemetry::Direction direction, const std::string& text,
                                 const char* flag) -> net::Result<net::SocketAddress> {
    auto wanted = net::SocketAddress::parse(text);
    if (!wanted.ok()) return wanted.error();
    const auto named = [flag](const net::Error& error) {
      return net::Error{error.code, error.side, false, std::string(flag) + ": " + error.detail};
    };
    if (workers_.size() > 1) {
      // Several listeners share a port by SO_REUSEPORT, which would also let a second hms-proxy in:
      // one look without it first.
      auto probe = net::Acceptor::listen(loop_, *wanted, {}, [](std::unique_ptr<net::Stream>) {});
      if (!probe.ok()) return named(probe.error());
      wanted = (*probe)->local();
    }
    net::SocketAddress bound = *wanted;
    for (auto& worker : workers_) {
      auto local = worker->listen(
          direction, bound, workers_.size() > 1,
          direction == telemetry::Direction::inbound ? tls_.find(config_.inbound_tls) : nullptr);
      if (!local.ok()) return named(local.error());
      bound = *local;
    }
    return bound;
  };
  auto inbound = listen_all(telemetry::Direction::inbound, config_.inbound_address, "--listen");
  if (!inbound.ok()) return inbound.error();
  inbound_ = *inbound;
  if (!config_.outbound_address.empty()) {
    auto outbound =
        listen_all(telemetry::Direction::outbound, config_.outbound_address, "--outbound");
    if (!outbound.ok()) return outbound.error();
    outbound_address_ = *outbound;
  }
  std::vector<net::SocketAddress> outbound_bound;
  if (!config_.outbound_address.empty()) outbound_bound.push_back(outbound_address_);
  for (auto& worker : workers_) worker->set_own_addresses({inbound_}, outbound_bound);
  auto admin = start_admin();
  if (!admin.ok())
    return net::Error{admin.error().code, admin.error().side, false,
                      "--admin: " + admin.error().detail};
  admin_address_ = *admin;
  return {};
}

int Sidecar::run() {
  signals_ = net::Signals::install(
      loop_, {.on_terminate = [this] { terminate(); }, .on_reload = [this] { reload("SIGHUP"); }});
  if (options_.config_path)
    watch_ =
        net::FileWatch::watch(loop_, *options_.config_path, [this] { reload("changed on disk"); });
  ready_ = true;
  net::log_ready({{"inbound", inbound_.to_string()},
                  {"outbound", config_.outbound_address.empty() ? std::string("off")
                                                                : outbound_address_.to_string()},
                  {"admin", admin_address_.to_string()},
                  {"service", config_.service},
                  {"app", config_.app},
                  {"instance", instance_.id},
                  {"version", kVersion}});
  loop_.run();
  config_stream_.reset();
  watch_.reset();
  signals_.reset();
  return 0;
}

// === configuration

void Sidecar::publish() {
  snapshot_ =
      make_snapshot(config_, names_->resolved(), canaries_.weights, canaries_.version,
                    ++generation_, [this](const auto& settings) { return tls_.find(settings); });
  for (auto& worker : workers_) {
    worker->apply(snapshot_);
    worker->set_failed_checks(health_->failed());
  }
  health_->watch(*snapshot_);
}

void Sidecar::keep_what_needs_a_restart(Config& next) const {
  std::string changed;
  const auto keep = [&changed](auto& wanted, const auto& in_force, const char* key) {
    if (wanted == in_force) return;
    changed += (changed.empty() ? "" : ", ") + std::string(key);
    wanted = in_force;
  };
  keep(next.service, config_.service, "service");
  keep(next.service_version, config_.service_version, "service_version");
  keep(next.resource, config_.resource, "resource");
  keep(next.collector_url, config_.collector_url, "collector.url");
  keep(next.spool_bytes, config_.spool_bytes, "collector.spool");
  keep(next.spool_dir, config_.spool_dir, "collector.spool_dir");
  keep(next.inbound_address, config_.inbound_address, "listeners.inbound.address");
  keep(next.inbound_tls, config_.inbound_tls, "listeners.inbound.tls");
  keep(next.collector_tls, config_.collector_tls, "collector.tls");
  keep(next.outbound_address, config_.outbound_address, "listeners.outbound.address");
  keep(next.admin_address, config_.admin_address, "admin.address");
  keep(next.threads, config_.threads, "threads");
  if (!changed.empty()) net::log_warn("some changes need a restart", {{"keys", changed}});
}

bool Sidecar::reload(const char* why) {
  net::YamlErrors errors;
  Config next = load_config(options_, errors);
  if (next.service.empty()) next.service = config_.service;
  if (!errors.empty()) {
    ++reloads_refused_;
    last_reload_error_ = errors.text();
    for (const net::YamlError& error : errors.all())
      net::log_error("configuration refused; the old one stays in force",
                     {{"error", net::to_string(error)}, {"why", why}});
    return false;
  }
  keep_what_needs_a_restart(next);
  if (auto opened = tls_.take(next); !opened.ok()) {
    ++reloads_refused_;
    last_reload_error_ = opened.error().detail;
    net::log_error("configuration refused; the old one stays in force",
                   {{"error", opened.error().detail}, {"why", why}});
    return false;
  }
  if (next.log_level != config_.log_level) {
    if (auto level = net::parse_log_level(next.log_level); level.ok()) net::log_set_level(*level);
  }
  config_ = std::move(next);
  names_->watch(names_to_resolve(config_));
  publish();
  ++reloads_ok_;
  last_reload_error_.clear();
  net::log_info("configuration taken", {{"why", why},
                                        {"generation", generation_},
                                        {"routes", config_.routes.size()},
                                        {"upstreams", config_.upstreams.size()}});
  return true;
}

// === reports

void Sidecar::collect(ProxyWorker::Detail detail, std::function<void(Reports)> done) {
  struct Gathering {
    Reports reports;
    size_t missing;
    std::function<void(Reports)> done;
  };
  auto gathering = std::make_shared<Gathering>();
  gathering->missing = workers_.size();
  gathering->done = std::move(done);
  for (auto& worker : workers_) {
    worker->report(detail, [&loop = loop_, gathering](std::unique_ptr<WorkerReport> report) {
      auto shared = std::make_shared<std::unique_ptr<WorkerReport>>(std::move(report));
      loop.post([gathering, shared] {
        gathering->reports.push_back(std::move(*shared));
        if (--gathering->missing == 0) gathering->done(std::move(gathering->reports));
      });
    });
  }
}

void Sidecar::note(Reports& reports) {
  if (!ended_) share_routes(reports);
  for (auto& report : reports) {
    if (!report->has_delta) continue;
    spans_dropped_ += report->delta.spans_dropped;
    series_folded_ += report->delta.series_folded;
    totals_.add(report->delta);
  }
}

/// Each worker sees a part of the paths. Here they come together, in one learner, and what that has
/// learned replaces what each of them has: so all of them give a path the same name, and count
/// templates against one limit.
void Sidecar::share_routes(const Reports& reports) {
  if (workers_.size() < 2) return;
  bool any = false;
  for (const auto& report : reports) {
    for (const std::string& news : report->routes_news) {
      learner_.learn(news);
      any = true;
    }
  }
  if (!any) return;
  (void)learner_.take_news();
  auto learned = std::make_shared<const LearnedRoutes>(learner_.learned());
  if (learned_ != nullptr && *learned_ == *learned) return;
  learned_ = std::move(learned);
  for (auto& worker : workers_) worker->adopt_routes(learned_);
}

OwnNumbers Sidecar::numbers(const Reports& reports) const {
  OwnNumbers all;
  for (const auto& report : reports) {
    all.counters.add(report->counters);
    all.routes_folded += report->routes_folded;
  }
  if (exporter_) {
    all.spool = exporter_->counters();
    all.exporter = exporter_->state();
  }
  all.health_checks_good = health_->good;
  all.health_checks_bad = health_->bad;
  all.spans_dropped = spans_dropped_;
  all.series_folded = series_folded_;
  all.reloads_ok = reloads_ok_;
  all.reloads_refused = reloads_refused_;
  all.snapshot_generation = generation_;
  if (admin_) all.admin_displaced = admin_->counters().connections_displaced;
  all.config_stream_connected = config_stream_ && config_stream_->connected();
  all.ready = ready_ && !draining_;
  all.start_unix_seconds = start_unix_nanos_ / 1'000'000'000;
  return all;
}

// === telemetry

void Sidecar::start_telemetry() {
  telemetry::ExporterOptions options;
  options.collector_url = config_.collector_url;
  options.spool_bytes = config_.spool_bytes;
  options.instance_id = instance_.id;
  options.boot_number = instance_.boot_number;
  exporter_ = telemetry::Exporter::create(loop_, *client_, std::move(options));
  span_queue_ = std::make_unique<SpanQueue>(resource());
  if (!config_.collector_url.empty()) {
    std::string url = config_.collector_url;
    while (!url.empty() && url.back() == '/') url.pop_back();
    config_stream_ = std::make_unique<ConfigStream>(
        loop_, *client_, url + "/ops/config/" + net::percent_encode(config_.service),
        [this](CanaryWeights weights) {
          const bool changed = weights.weights != canaries_.weights;
          canaries_ = std::move(weights);
          if (!changed) return;
          publish();
          net::log_info("canary weights taken",
                        {{"version", canaries_.version}, {"splits", canaries_.weights.size()}});
        });
  }
  tick_timer_.arm(until_next_tick());
}

telemetry::ResourceIdentity Sidecar::resource() const {
  telemetry::ResourceIdentity resource;
  resource.service_name = config_.service;
  resource.service_version = config_.service_version;
  resource.service_instance_id = instance_.id;
  resource.extra = config_.resource;
  return resource;
}

/// Intervals end with the wall clock's seconds, so that those of all sidecars cover the same ones
/// and a second is complete right after its end.
net::Millis Sidecar::until_next_tick() {
  const int64_t left = kTickMillis - net::unix_millis() % kTickMillis;
  return net::Millis(left < kLeastTickMillis ? left + kTickMillis : left);
}

void Sidecar::tick() {
  tick_timer_.arm(until_next_tick());
  collect(ProxyWorker::Detail::delta, [this](Reports reports) {
    note(reports);
    const bool all = ticks_++ % kOwnMetricsEvery == 0;
    export_deltas(std::move(reports), all ? OwnMetrics::all : OwnMetrics::heartbeat);
  });
}

void Sidecar::export_deltas(Reports reports, OwnMetrics what) {
  if (!config_.telemetry) return;
  std::vector<telemetry::OwnMetric> own;
  const bool quiet = std::all_of(reports.begin(), reports.end(),
                                 [](const auto& report) { return report->delta.series.empty(); });
  // A second without a finished request says so too: the collector waits for each sidecar's second,
  // and a silent sidecar could be a lost one.
  // Not so when somebody only reads /metrics: that would be one more batch at each look.
  if (what == OwnMetrics::all || (what == OwnMetrics::heartbeat && quiet))
    own = own_metrics(numbers(reports));
  if (what != OwnMetrics::all) {
    std::erase_if(own, [](const telemetry::OwnMetric& metric) {
      return metric.name != "hms_proxy_requests_running";
    });
  }
  std::vector<telemetry::RecorderDelta> deltas;
  uint64_t points = own.size();
  for (auto& report : reports) {
    points += report->delta.series.size();
    if (report->delta.spans_dropped > 0)
      exporter_->count_dropped("spans_limit", report->delta.spans_dropped);
    deltas.push_back(std::move(report->delta));
  }
  // Before the spans leave the deltas: the slowest are the points' exemplars.
  if (points > 0)
    exporter_->add(
        telemetry::Signal::metrics,
        telemetry::encode_metrics(resource(), deltas, own, start_unix_nanos_, net::unix_nanos()),
        points);
  const bool encoding = !span_queue_->empty();
  if (const uint64_t dropped = span_queue_->add(deltas); dropped > 0) {
    spans_dropped_ += dropped;
    exporter_->count_dropped("spans_limit", dropped);
  }
  if (!encoding && !span_queue_->empty()) loop_.post([this] { export_step(); });
}

void Sidecar::encode_spans_a_little() {
  SpanQueue::Batch batch;
  if (span_queue_->step(batch))
    exporter_->add_packed(telemetry::Signal::traces, std::move(batch.packed), batch.spans);
}

/// Where the workers share their core with this thread, they come first after every step.
void Sidecar::export_step() {
  for (int step = 0; step < kStepsPerTurn && !span_queue_->empty(); ++step) {
    encode_spans_a_little();
    sched_yield();
  }
  if (!span_queue_->empty()) loop_.post([this] { export_step(); });
}

void Sidecar::finish_export() {
  while (span_queue_ != nullptr && !span_queue_->empty()) encode_spans_a_little();
}

// === the end

void Sidecar::terminate() {
  if (++terminations_ > 1) {
    size_t cut = 0;
    for (auto& worker : workers_) cut += worker->cut_all();
    net::log_warn("stopped at once", {{"requests_cut", cut}});
    ended_ = true;
    loop_.stop();
    return;
  }
  if (!draining_) begin_drain();
  collect(ProxyWorker::Detail::counters, [this](Reports reports) {  // the workers know by now
    for (const auto& report : reports)
      requests_at_drain_ += report->counters.requests[0] + report->counters.requests[1];
    net::log_info("draining", {{"grace_ms", config_.drain.grace.count()},
                               {"deadline_ms", config_.drain.deadline.count()}});
    drain_began_millis_ = loop_.now_millis();
    drain_timer_.arm(kDrainLook);
  });
}

void Sidecar::begin_drain() {
  draining_ = true;
  for (auto& worker : workers_) worker->begin_drain();
}

void Sidecar::drain_step() {
  const uint64_t waited = loop_.now_millis() - drain_began_millis_;
  const auto grace = static_cast<uint64_t>(config_.drain.grace.count());
  if (waited >= grace && !ignoring_) {
    ignoring_ = true;
    for (auto& worker : workers_) worker->ignore_new(telemetry::Direction::inbound);
  }
  if (waited >= grace + kLastCallMillis && accepting_) {
    accepting_ = false;
    for (auto& worker : workers_) worker->stop_accepting(telemetry::Direction::inbound);
  }
  if (!accepting_) {
    for (auto& worker : workers_) worker->close_idle_sessions(kIdleQuietMillis);
  }
  const bool over = waited >= grace + static_cast<uint64_t>(config_.drain.deadline.count());
  collect(ProxyWorker::Detail::counters, [this, over](Reports reports) {
    if (ended_) return;
    uint64_t open = 0;
    for (const auto& report : reports) open += report->sessions;
    if (open > 0) waited_for_ = what_is_open(reports);
    if (accepting_ || (open > 0 && !over)) {
      drain_timer_.arm(kDrainLook);
      return;
    }
    for (auto& worker : workers_) worker->stop_accepting(telemetry::Direction::outbound);
    size_t cut = 0;
    for (auto& worker : workers_) cut += worker->cut_all();
    end(cut);
  });
}

void Sidecar::end(size_t cut) {
  ended_ = true;
  tick_timer_.disarm();
  collect(ProxyWorker::Detail::delta, [this, cut](Reports reports) {
    note(reports);
    uint64_t requests = 0;
    for (const auto& report : reports)
      requests += report->counters.requests[0] + report->counters.requests[1];
    export_deltas(std::move(reports), OwnMetrics::all);
    finish_export();
    exporter_->flush(kFlush, [this, cut, requests](bool all) {
      net::log_info("drained", {{"requests_finished_while_draining",
                                 requests - std::min(requests, requests_at_drain_)},
                                {"requests_cut", cut},
                                {"requests_total", requests},
                                {"waited_for", waited_for_},
                                {"telemetry_delivered", all},
                                {"telemetry_batches_waiting", exporter_->counters().batches},
                                {"millis", loop_.now_millis() - drain_began_millis_}});
      loop_.stop();
    });
  });
}

}  // namespace hms::proxy
