#include "proxy/cluster/pool.h"

#include <algorithm>

#include "net/core/log.h"
#include "net/io/tls_stream.h"

namespace hms::proxy {

namespace {
constexpr net::Millis kSweepEvery{500};
constexpr uint64_t kQuietCloseMillis = 100;
constexpr uint64_t kLeastLearnedMillis =
    500;  // a restarted service closes everything at once: that says nothing about its limit
constexpr uint64_t kRememberMillis = 600'000;
constexpr uint64_t kTellEveryMillis = 60'000;
}  // namespace

// === UpstreamConnection

UpstreamConnection::UpstreamConnection(Pool& pool, Endpoint& endpoint,
                                       std::unique_ptr<net::Stream> stream)
    : pool_(pool), endpoint_(endpoint), stream_(std::move(stream)) {
  ++endpoint_.connections;
  stream_->set_handler(this);
  stream_->resume_reading();
}

UpstreamConnection::~UpstreamConnection() { --endpoint_.connections; }

void UpstreamConnection::on_bytes(std::string_view bytes) {
  if (user_ != nullptr)
    user_->on_upstream_bytes(bytes);
  else
    pool_.idle_ended(*this);  // an answer that nobody asked for: this connection cannot be trusted
}

void UpstreamConnection::on_eof() {
  if (user_ != nullptr)
    user_->on_upstream_eof();
  else
    pool_.idle_ended(*this);
}

void UpstreamConnection::on_writable() {
  if (user_ != nullptr) user_->on_upstream_writable();
}

void UpstreamConnection::on_closed(const net::Error& error) {
  if (user_ != nullptr)
    user_->on_upstream_closed(error);
  else
    pool_.idle_ended(*this);
}

// === Pool

Pool::Pool(net::Loop& loop, telemetry::NameTable& names, Dial dial)
    : loop_(loop), names_(names), dial_(std::move(dial)), sweep_timer_(loop, [this] { sweep(); }) {
  if (!dial_) {
    dial_ = [this](const net::SocketAddress& address, net::Millis timeout,
                   net::Connector::OnConnect on_connect) {
      return net::Connector::connect(loop_, address, timeout, std::move(on_connect));
    };
  }
}

Pool::~Pool() { close_idle(); }

Endpoint& Pool::endpoint(const net::SocketAddress& address,
                         const std::shared_ptr<net::TlsSource>& tls,
                         const std::string& server_name) {
  std::string text = address.to_string();
  std::string key = text;
  // The source stays alive with its endpoint: its address is its name.
  if (tls != nullptr)
    key += " " + server_name + " " + std::to_string(reinterpret_cast<uintptr_t>(tls.get()));
  auto& entry = endpoints_[key];
  if (!entry) {
    entry = std::make_unique<Endpoint>();
    entry->address = address;
    entry->tls = tls;
    entry->server_name = server_name;
    entry->name_id = names_.intern_peer(text);
    entry->text = std::move(text);
  }
  return *entry;
}

std::unique_ptr<UpstreamConnection> Pool::lease(Endpoint& endpoint, bool look_first) {
  while (!endpoint.idle.empty()) {
    auto connection = std::move(endpoint.idle.back());
    endpoint.idle.pop_back();
    const uint64_t age = loop_.now_millis() - connection->idle_since_millis;
    const bool young = age < idle_limit(endpoint);
    // Read from in this very turn of the loop: there was hardly time for an end that the reading
    // would not have seen.
    const bool fresh = age == 0 && !look_first;
    if (young && (fresh || connection->stream().idle_and_open())) {
      ++endpoint.reused;
      return connection;
    }
    if (young) ++endpoint.stale;
    discard(std::move(connection));
  }
  return nullptr;
}

std::unique_ptr<net::Connector> Pool::open(Endpoint& endpoint, net::Millis timeout,
                                           net::Connector::OnConnect on_connect) {
  ++endpoint.connects;
  if (endpoint.tls != nullptr) {
    return net::connect_tls(loop_, endpoint.address, timeout, endpoint.tls->get(),
                            endpoint.server_name, std::move(on_connect));
  }
  return dial_(endpoint.address, timeout, std::move(on_connect));
}

std::unique_ptr<UpstreamConnection> Pool::adopt(Endpoint& endpoint,
                                                std::unique_ptr<net::Stream> stream) {
  endpoint.refusals = 0;
  endpoint.refused_until_millis = 0;
  return std::make_unique<UpstreamConnection>(*this, endpoint, std::move(stream));
}

void Pool::give_back(std::unique_ptr<UpstreamConnection> connection) {
  Endpoint& endpoint = connection->endpoint();
  connection->set_user(nullptr);
  if (!endpoint.referenced || endpoint.idle.size() >= idle_connections_) {
    discard(std::move(connection));
    return;
  }
  connection->idle_since_millis = loop_.now_millis();
  endpoint.idle.push_back(std::move(connection));
  if (!sweep_timer_.armed()) sweep_timer_.arm(kSweepEvery);
}

void Pool::discard(std::unique_ptr<UpstreamConnection> connection) {
  connection->set_user(nullptr);
  connection->stream().set_handler(nullptr);
  loop_.retire(std::move(connection));
}

void Pool::idle_ended(UpstreamConnection& connection) {
  Endpoint& endpoint = connection.endpoint();
  const auto found =
      std::find_if(endpoint.idle.begin(), endpoint.idle.end(),
                   [&connection](const auto& idle) { return idle.get() == &connection; });
  if (found == endpoint.idle.end()) return;
  const uint64_t age = loop_.now_millis() - connection.idle_since_millis;
  const uint64_t limit = age * 8 / 10;
  const uint64_t known = endpoint.idle_limit_millis();
  if (age >= kLeastLearnedMillis && (known == 0 || limit < known)) {
    endpoint.idle_limit_seen_millis = limit;
    endpoint.idle_limit_seen_at_millis = loop_.now_millis();
    tell_idle_limit(endpoint, "service_closed_after_ms", age);
  }
  if (age < kQuietCloseMillis && connection.requests > 0) ++endpoint.quiet_closes;
  auto ended = std::move(*found);
  endpoint.idle.erase(found);
  discard(std::move(ended));
}

void Pool::learn_idle_limit(Endpoint& endpoint, uint64_t seconds) {
  const uint64_t limit = std::min<uint64_t>(seconds, 3'600) * 800;
  if (limit == 0 || endpoint.idle_limit_said_millis == limit) return;
  endpoint.idle_limit_said_millis = limit;
  tell_idle_limit(endpoint, "service_says_s", seconds);
}

/// Once a minute: replies of several services behind one address may say different things in turn.
void Pool::tell_idle_limit(Endpoint& endpoint, std::string_view reason, uint64_t value) const {
  const uint64_t now = loop_.now_millis();
  if (endpoint.idle_limit_told_at_millis != 0 &&
      now - endpoint.idle_limit_told_at_millis < kTellEveryMillis)
    return;
  endpoint.idle_limit_told_at_millis = now;
  net::log_info("idle limit learned", {{"endpoint", endpoint.text},
                                       {reason, value},
                                       {"pool_set_to_ms", endpoint.idle_limit_millis()}});
}

/// One early end (a restart, a burst of load) must not make connections short-lived for ever.
uint64_t Pool::idle_limit(Endpoint& endpoint) const noexcept {
  if (endpoint.idle_limit_seen_millis != 0 &&
      loop_.now_millis() - endpoint.idle_limit_seen_at_millis > kRememberMillis)
    endpoint.idle_limit_seen_millis = 0;
  const uint64_t known = endpoint.idle_limit_millis();
  return known != 0 ? known : idle_cap_millis_;
}

void Pool::set_limits(net::Millis idle, size_t idle_connections) {
  idle_cap_millis_ = static_cast<uint64_t>(idle.count());
  idle_connections_ = idle_connections;
}

void Pool::sweep() {
  const uint64_t now = loop_.now_millis();
  bool any = false;
  for (auto& [text, endpoint] : endpoints_) {
    auto& idle = endpoint->idle;
    size_t old = 0;  // the oldest are in front
    while (old < idle.size() &&
           (!endpoint->referenced || now - idle[old]->idle_since_millis >= idle_limit(*endpoint)))
      discard(std::move(idle[old++]));
    idle.erase(idle.begin(), idle.begin() + static_cast<std::ptrdiff_t>(old));
    any = any || !idle.empty();
  }
  if (any) sweep_timer_.arm(kSweepEvery);
}

void Pool::forget_unused() {
  for (auto at = endpoints_.begin(); at != endpoints_.end();) {
    Endpoint& endpoint = *at->second;
    if (!endpoint.referenced) {
      for (auto& connection : endpoint.idle) discard(std::move(connection));
      endpoint.idle.clear();
    }
    // Retired connections still name their endpoint until the end of the turn: it goes on a later
    // call.
    const bool unused =
        !endpoint.referenced && endpoint.in_flight == 0 && endpoint.connections == 0;
    at = unused ? endpoints_.erase(at) : std::next(at);
  }
}

void Pool::close_idle() {
  for (auto& [text, endpoint] : endpoints_) {
    for (auto& connection : endpoint->idle) connection->stream().set_handler(nullptr);
    endpoint->idle.clear();
  }
}

}  // namespace hms::proxy
