#include "proxy/data_path.h"

#include <algorithm>

#include "net/core/clock.h"
#include "net/core/log.h"
#include "proxy/balance/balancer.h"

namespace hms::proxy {

namespace {
constexpr uint64_t kDynamicMillis = 60'000;
constexpr size_t kRefusedAtOnce = 256;  // that get their 503 in peace; beyond, a reset
constexpr size_t kFreeExchanges =
    256;  // kept for reuse; beyond a burst they are given back to the heap
}  // namespace

DataPath::DataPath(net::Loop& loop, Options options)
    : unix_offset_nanos(net::unix_nanos() - net::monotonic_nanos()),
      traces(options.traces),
      loop_(loop),
      learner_(recorder_.names()),
      pool_(loop, recorder_.names(), std::move(options.dial)),
      host_names_(loop, count, std::move(options.look_up)),
      tunnels_(*this),
      own_connections_(options.own_connections),
      ports_(options.ports) {
  for (const auto direction : {telemetry::Direction::inbound, telemetry::Direction::outbound}) {
    const auto i = static_cast<size_t>(direction);
    via_names_[i] = options.proxy_tag + (i == 0 ? "-in" : "-out");
    via_lines_[i] = "via: 1.1 " + via_names_[i] + "\r\n";
  }
  access_line.reserve(2'048);
}

DataPath::~DataPath() {
  cut_all();
  free_exchanges_.clear();
  exchanges_.clear();
  sessions_.clear();
}

void DataPath::apply(SnapshotPtr snapshot) {
  const Config& config = snapshot->config;
  const net::HttpLimits limits{
      .start_line_bytes = static_cast<uint32_t>(config.limits.request_line),
      .head_bytes = static_cast<uint32_t>(config.limits.head),
      .fields = static_cast<uint16_t>(config.limits.fields)};
  const bool same_limits = limits.start_line_bytes == limits_.start_line_bytes &&
                           limits.head_bytes == limits_.head_bytes &&
                           limits.fields == limits_.fields;
  limits_ = limits;
  if (!same_limits) {
    std::erase_if(exchanges_, [this](const auto& exchange) {
      return std::find(free_exchanges_.begin(), free_exchanges_.end(), exchange.get()) !=
             free_exchanges_.end();
    });
    free_exchanges_.clear();
    for (size_t i = 0; i < exchanges_.size(); ++i) {  // the running ones, which moved up
      exchanges_[i]->index = i;
      exchanges_[i]->limits_changed();
    }
  }
  pool_.set_limits(config.timeouts.upstream_idle, config.limits.idle_upstream);
  auto next = make_view(std::move(snapshot), pool_, recorder_.names());
  for (const auto& [text, endpoint] : pool_.endpoints()) endpoint->referenced = endpoint->dynamic;
  for (Cluster& cluster : next->clusters) {
    for (Endpoint* endpoint : cluster.endpoints) {
      endpoint->referenced = true;
      endpoint->dynamic = false;
    }
  }
  mark_own_endpoints();
  if (view_ && view_->pins > 0) old_views_.push_back(std::move(view_));
  view_ = std::move(next);
  if (old_views_.empty()) pool_.forget_unused();
}

void DataPath::unpin(View& view) {
  if (--view.pins > 0 || &view == view_.get()) return;
  std::erase_if(old_views_, [&view](const auto& old) { return old.get() == &view; });
  if (old_views_.empty()) pool_.forget_unused();
}

void DataPath::accept(std::unique_ptr<net::Stream> stream, telemetry::Direction direction) {
  const auto i = static_cast<size_t>(direction);
  ++count.connections_accepted[i];
  const auto redirected = redirected_from(*stream, direction);
  if (redirected && leads_back(*stream, *redirected)) {
    ++count.loops_refused;
    return stream->mark_for_reset();
  }
  const Protocol protocol =
      direction == telemetry::Direction::inbound ? config().inbound_protocol : Protocol::detect;
  Endpoint* const service =
      protocol == Protocol::http ? nullptr : raw_destination(direction, redirected);
  const PortKind kind = service == nullptr          ? PortKind::http
                        : protocol == Protocol::tcp ? PortKind::tcp
                                                    : ports_->recall(service->address);
  if (sessions_open() - refused_open_ >= config().limits.connections)
    return refuse(std::move(stream), direction, kind != PortKind::tcp);
  if (kind == PortKind::http) {
    const Destination destination{redirected.value_or(net::SocketAddress()), false, true};
    return begin_session(std::move(stream), direction, redirected ? &destination : nullptr);
  }
  const Timeouts& timeouts = config().timeouts;
  tunnels_.detect({std::move(stream), direction, service,
                   redirected ? std::vector<net::SocketAddress>() : other_addresses(*service),
                   service->address.is_loopback() ? timeouts.connect_loopback : timeouts.connect,
                   kind == PortKind::tcp, redirected.has_value()});
}

void DataPath::begin_session(std::unique_ptr<net::Stream> stream, telemetry::Direction direction,
                             const Destination* destination, std::string_view early) {
  ++count.connections_open[static_cast<size_t>(direction)];
  sessions_.push_back(std::make_unique<Session>(*this, std::move(stream), direction));
  Session& session = *sessions_.back();
  session.index = static_cast<uint32_t>(sessions_.size() - 1);
  if (destination != nullptr) session.set_destination(*destination);
  session.start(early);
}

std::optional<net::SocketAddress> DataPath::redirected_from(net::Stream& stream,
                                                            telemetry::Direction direction) {
  const bool inbound = direction == telemetry::Direction::inbound;
  if (!(inbound ? config().inbound_transparent : config().outbound_transparent))
    return std::nullopt;
  auto original = stream.original_destination();
  // The app's own port: as configured, with its routes, its health and its pool.
  if (inbound && original && view_->snapshot->has_app) {
    for (const Endpoint* app : view_->clusters.front().endpoints) {
      if (app->address.port() == original->port()) return std::nullopt;
    }
  }
  return original;
}

/// To one of our own listeners, or made by ourselves because our own calls are redirected as well.
bool DataPath::leads_back(const net::Stream& stream, const net::SocketAddress& destination) {
  const bool own_port =
      own_inbound_.on_port(destination.port()) || own_outbound_.on_port(destination.port());
  if (own_port && destination.is_on_this_machine()) return true;
  return own_connections_ != nullptr && own_connections_->holds(stream.peer().port(), destination);
}

Endpoint* DataPath::raw_destination(telemetry::Direction direction,
                                    const std::optional<net::SocketAddress>& redirected) {
  if (ports_ == nullptr) return nullptr;
  if (redirected) return &dynamic_endpoint(*redirected);
  if (direction != telemetry::Direction::inbound || !view_->snapshot->has_app) return nullptr;
  return pick_endpoint(view_->clusters.front(), nullptr, loop_.now_millis());
}

std::vector<net::SocketAddress> DataPath::other_addresses(Endpoint& app) const {
  std::vector<net::SocketAddress> others;
  const Cluster& cluster = view_->clusters.front();
  if (!cluster.several_addresses) return others;
  for (Endpoint* next = &cluster.other_address(app);
       next != &app && others.size() < kMostOtherAddresses && !next->leads_back(true);
       next = &cluster.other_address(*next))
    others.push_back(next->address);
  return others;
}

bool DataPath::callers_speak_first(telemetry::Direction direction) {
  const Protocol protocol = config().inbound_protocol;
  const bool inbound = direction == telemetry::Direction::inbound;
  if (inbound ? config().inbound_transparent : config().outbound_transparent) return false;
  if (!inbound || protocol == Protocol::http) return true;
  if (protocol == Protocol::tcp) return false;
  const Endpoint* const service = raw_destination(direction, std::nullopt);
  return service == nullptr || ports_->recall(service->address) == PortKind::http;
}

void DataPath::learn_port(const net::SocketAddress& service, PortKind kind) {
  if (ports_ == nullptr || !ports_->learn(service, kind)) return;
  net::log_info("protocol learned", {{"service", service.to_string()},
                                     {"protocol", kind == PortKind::http ? "http" : "tcp"}});
}

bool DataPath::note_connect_failure(Endpoint& service, const net::Error& error) {
  if (error.code == net::Code::overloaded) {
    ++count.out_of_descriptors;
    return false;
  }
  ++service.connect_failures;
  if (ports_ != nullptr)
    ports_->forget(service.address);  // who listens there next may speak otherwise
  return true;
}

void DataPath::note_tls_failure(const net::Error& error) {
  // Rare enough in a healthy mesh to be told, and bounded against a stranger who tries for long.
  const uint64_t failures = ++count.tls_failures;
  if (failures <= 10 || failures % 1'000 == 0)
    net::log_warn("a caller was refused by TLS", {{"error", error.detail}, {"count", failures}});
}

void DataPath::refuse(std::unique_ptr<net::Stream> stream, telemetry::Direction direction,
                      bool in_http) {
  ++count.connections_refused;
  if (!in_http || refused_open_ >= kRefusedAtOnce) {
    stream->mark_for_reset();
    loop_.retire(std::move(stream));
    return;
  }
  ++refused_open_;
  ++count.connections_open[static_cast<size_t>(direction)];
  sessions_.push_back(std::make_unique<Session>(*this, std::move(stream), direction));
  sessions_.back()->index = static_cast<uint32_t>(sessions_.size() - 1);
  sessions_.back()->start_refused(LocalError::overloaded, "connections");
}

void DataPath::remove(Session& session) {
  if (session.refused()) --refused_open_;
  --count.connections_open[static_cast<size_t>(session.direction())];
  const uint32_t index = session.index;
  auto gone = std::move(sessions_[index]);
  if (index + 1 != sessions_.size()) {
    sessions_[index] = std::move(sessions_.back());
    sessions_[index]->index = index;
  }
  sessions_.pop_back();
  loop_.retire(std::move(gone));
}

Exchange* DataPath::take_exchange(Session& session) {
  if (running_ >= config().limits.requests) return nullptr;
  if (free_exchanges_.empty()) {
    exchanges_.push_back(std::make_unique<Exchange>(*this, limits_));
    free_exchanges_.push_back(exchanges_.back().get());
    exchanges_.back()->index = exchanges_.size() - 1;
  }
  Exchange* exchange = free_exchanges_.back();
  free_exchanges_.pop_back();
  ++running_;
  exchange->freshen(limits_);
  exchange->begin(session);
  return exchange;
}

void DataPath::recycle(Exchange& exchange) {
  --running_;
  if (free_exchanges_.size() < kFreeExchanges) {
    free_exchanges_.push_back(&exchange);
    return;
  }
  const size_t index = exchange.index;
  auto surplus =
      std::move(exchanges_[index]);  // it is still in its own call: it goes at the end of the turn
  if (index + 1 != exchanges_.size()) {
    exchanges_[index] = std::move(exchanges_.back());
    exchanges_[index]->index = index;
  }
  exchanges_.pop_back();
  loop_.retire(std::move(surplus));
}

// === drain

void DataPath::begin_drain() { draining_ = true; }

void DataPath::close_idle_sessions(uint64_t quiet_millis) {
  const uint64_t now = loop_.now_millis();
  for (const auto& session : sessions_) {
    if (session->idle() && now - session->idle_since() >= quiet_millis) session->close_gracefully();
  }
  tunnels_.close_silent(quiet_millis);
}

size_t DataPath::cut_all() {
  size_t cut = 0;
  while (!sessions_.empty()) cut += sessions_.back()->cut() ? 1 : 0;
  cut += tunnels_.cut_all();
  pool_.close_idle();
  return cut;
}

// === numbers

Counters DataPath::counters() const {
  Counters copy = count;
  copy.requests_running[0] = running_;
  copy.ejections = outliers.ejections;
  copy.ejections_not_made = outliers.kept;
  return copy;
}

std::vector<EndpointState> DataPath::endpoint_states() const {
  std::vector<EndpointState> states;
  const uint64_t now = loop_.now_millis();
  for (const Cluster& cluster : view_->clusters) {
    for (const Endpoint* endpoint : cluster.endpoints) {
      EndpointState& state = states.emplace_back(state_of(*endpoint, now));
      state.upstream = cluster.plan->name;
      state.weight = 100.0 / static_cast<double>(cluster.endpoints.size());
      state.check_failed = cluster.fails_check(*endpoint);
      state.panic = cluster.panic;
    }
  }
  for (const auto& [text, endpoint] : pool_.endpoints()) {
    if (endpoint->dynamic) states.push_back(state_of(*endpoint, now));
  }
  return states;
}

void DataPath::set_failed_checks(const std::vector<std::string>& endpoints) {
  for (Cluster& cluster : view_->clusters) {
    std::vector<const Endpoint*> failed;
    for (const Endpoint* endpoint : cluster.endpoints) {
      const std::string key = cluster.plan->name + " " + endpoint->text;
      if (std::find(endpoints.begin(), endpoints.end(), key) != endpoints.end())
        failed.push_back(endpoint);
    }
    if (failed == cluster.check_failed) continue;
    cluster.check_failed = std::move(failed);
    ++pool_.health_generation;
  }
}

telemetry::RecorderDelta DataPath::flip() {
  const uint64_t now = net::unix_nanos();
  unix_offset_nanos = now - net::monotonic_nanos();
  forget_dynamic_endpoints();
  return recorder_.flip(now);
}

// === outbound hosts

Endpoint& DataPath::dynamic_endpoint(const net::SocketAddress& address) {
  Endpoint& endpoint = pool_.endpoint(address);
  if (!endpoint.referenced) {
    endpoint.dynamic = true;
    endpoint.referenced = true;
  }
  return endpoint;
}

void DataPath::forget_dynamic_endpoints() {
  bool any = false;
  for (const auto& [text, endpoint] : pool_.endpoints()) {
    if (endpoint->dynamic && endpoint->in_flight == 0 &&
        loop_.now_millis() - endpoint->last_used_millis > kDynamicMillis) {
      endpoint->dynamic = endpoint->referenced = false;
      any = true;
    }
  }
  if (any && old_views_.empty()) pool_.forget_unused();
}

void DataPath::set_own_addresses(std::vector<net::SocketAddress> inbound,
                                 std::vector<net::SocketAddress> outbound) {
  own_inbound_ = OwnListeners(std::move(inbound));
  own_outbound_ = OwnListeners(std::move(outbound));
  mark_own_endpoints();
}

void DataPath::mark_own_endpoints() {
  for (const auto& [text, endpoint] : pool_.endpoints()) {
    endpoint->own_inbound = own_inbound_.reached_by(endpoint->address);
    endpoint->own_outbound = own_outbound_.reached_by(endpoint->address);
  }
}

}  // namespace hms::proxy
