#include "proxy/opening.h"

#include "net/io/tls_stream.h"
#include "proxy/balance/balancer.h"
#include "proxy/data_path.h"
#include "proxy/policy.h"
#include "proxy/tunnels.h"

namespace hms::proxy {

Opening::Opening(Tunnels& tunnels, Start start)
    : tunnels_(tunnels),
      caller_(std::move(start.caller)),
      endpoint_(start.service),
      more_(std::move(start.more)),
      timer_(tunnels.data().loop(), [this] { on_timer(); }),
      connect_timeout_(start.connect_timeout),
      opened_millis_(tunnels.data().loop().now_millis()),
      direction_(start.direction),
      raw_(start.raw),
      redirected_(start.redirected) {
  ++endpoint_->in_flight;
}

Opening::~Opening() = default;

void Opening::start() {
  caller_->set_handler(this);
  timer_.arm(tunnels_.data().config().timeouts.idle);
  if (net::TlsStream* const tls = caller_->tls(); tls != nullptr) {
    // Strangers are turned away before the service hears of them.
    tls->on_established([this, alive = std::weak_ptr<int>(alive_)] {
      if (!alive.expired()) connect();
    });
    read_caller(true);
    return;
  }
  connect();
  if (!raw_ && !finished_) read_caller(true);
}

void Opening::read_caller(bool wanted) {
  if (wanted == reading_) return;
  reading_ = wanted;
  if (wanted)
    caller_->resume_reading();
  else
    caller_->pause_reading();
}

// === the service's side

void Opening::connect() {
  if (leads_back()) {
    connect_failed_ = true;
    return on_no_service();
  }
  DataPath& data = tunnels_.data();
  endpoint_->last_used_millis = data.loop().now_millis();
  const auto dial = [this, &data] {
    connector_ = data.pool().open(*endpoint_, connect_timeout_,
                                  [this](net::Result<std::unique_ptr<net::Stream>> stream) {
                                    on_connected(std::move(stream));
                                  });
    return connector_->local_port();
  };
  if (OwnConnections* const own = data.own_connections(); own != nullptr)
    mark_ = own->open(endpoint_->address, dial);
  else
    dial();
}

bool Opening::leads_back() const noexcept {
  return endpoint_->leads_back(direction_ == telemetry::Direction::inbound);
}

void Opening::on_connected(net::Result<std::unique_ptr<net::Stream>> stream) {
  DataPath& data = tunnels_.data();
  data.loop().retire(std::move(connector_));
  if (!stream.ok()) {
    if (data.note_connect_failure(*endpoint_, stream.error())) {
      ++endpoint_->failures;
      if (try_next_address()) return;
    }
    connect_failed_ = true;
    return wire_ == Wire::http ? hand_to_session(seen_) : on_no_service();
  }
  service_ = data.pool().adopt(*endpoint_, std::move(stream).value());
  service_->set_user(this);
  if (wire_ == Wire::http)
    hand_to_session(seen_);
  else if (raw_ || wire_ != Wire::undecided)
    splice(seen_, {});
}

/// Nothing was sent yet. Whoever comes next goes straight to the address that answers.
bool Opening::try_next_address() {
  if (more_.empty()) return false;
  DataPath& data = tunnels_.data();
  pass_over(*endpoint_, data.loop().now_millis());
  ++data.count.retries_address;
  --endpoint_->in_flight;
  endpoint_ = &data.pool().endpoint(more_.front(), endpoint_->tls, endpoint_->server_name);
  more_.erase(more_.begin());
  ++endpoint_->in_flight;
  connect();
  return true;
}

void Opening::on_upstream_bytes(std::string_view bytes) { splice(seen_, bytes); }

void Opening::on_upstream_eof() {
  drop_service();
  on_no_service();
}

void Opening::on_upstream_closed(const net::Error&) {
  drop_service();
  on_no_service();
}

/// A caller that speaks HTTP, now or within the time that detection has, is told so in HTTP.
void Opening::on_no_service() {
  no_service_ = true;
  if (raw_ || wire_ != Wire::undecided) return cut(TunnelEnd::connect_failed);
  timer_.arm(tunnels_.data().config().timeouts.detect);
}

void Opening::drop_service() {
  mark_.clear();
  if (connector_ != nullptr) connector_.reset();
  if (service_ != nullptr) tunnels_.data().pool().discard(std::move(service_));
}

// === the caller's side

void Opening::on_bytes(std::string_view bytes) {
  const bool first = seen_.empty();
  if (!first) seen_.append(bytes);
  const std::string_view all = first ? bytes : std::string_view(seen_);
  if (raw_ || wire_ != Wire::undecided) {  // waiting for the connection
    if (first) seen_.assign(bytes);
    return read_caller(false);
  }
  const Wire wire = classify(all);
  if (wire != Wire::undecided) return decide(wire, all);
  if (!first) return;
  seen_.assign(bytes);
  if (!no_service_) timer_.arm(tunnels_.data().config().timeouts.detect);
}

void Opening::decide(Wire wire, std::string_view from_caller) {
  wire_ = wire;
  // Nearly always the request needs the connection that is under way.
  if (wire == Wire::http && connector_ == nullptr) return hand_to_session(from_caller);
  if (no_service_) return cut(TunnelEnd::connect_failed);
  if (service_ != nullptr) return splice(from_caller, {});
  if (seen_.empty()) seen_.assign(from_caller);
  read_caller(false);
}

void Opening::on_eof() {
  caller_ended_ = true;
  if (wire_ == Wire::undecided) decide(Wire::other, seen_);
}

void Opening::on_closed(const net::Error& error) {
  if (error.code == net::Code::tls) tunnels_.data().note_tls_failure(error);
  finish();
}

void Opening::on_timer() {
  if (no_service_) {
    // Refused: as a reset. Accepted and closed again: as an end.
    if (connect_failed_) return cut(TunnelEnd::connect_failed);
    return finish();
  }
  if (!seen_.empty()) return decide(Wire::other, seen_);
  finish();
}

// === what became of it

void Opening::hand_to_session(std::string_view from_caller) {
  DataPath& data = tunnels_.data();
  if (service_ != nullptr) data.pool().give_back(std::move(service_));
  read_caller(false);
  std::unique_ptr<net::Stream> caller = std::move(caller_);
  const Destination destination{endpoint_->address, true, redirected_};
  finish();
  data.begin_session(std::move(caller), direction_, &destination, from_caller);
}

/// The listener's list holds for raw connections as well; nobody can be told why.
bool Opening::caller_allowed() {
  if (direction_ != telemetry::Direction::inbound) return true;
  const std::vector<std::string>& allow = tunnels_.data().config().inbound_allow;
  return allow.empty() || is_allowed(allow, net::verified_names(*caller_));
}

void Opening::splice(std::string_view from_caller, std::string_view from_service) {
  if (!caller_allowed()) {
    ++tunnels_.data().count.local_replies[static_cast<size_t>(LocalError::forbidden)];
    return cut(TunnelEnd::caller_reset);
  }
  read_caller(true);
  SpliceStart start{wire_ == Wire::tls ? TunnelKind::tls : TunnelKind::tcp,
                    direction_,
                    std::move(caller_),
                    std::move(service_),
                    caller_ended_,
                    std::move(mark_)};
  ++endpoint_->requests;
  ++endpoint_->in_flight;  // the tunnel's
  finish();
  tunnels_.splice(std::move(start), from_caller, from_service);
}

void Opening::cut(TunnelEnd end) {
  if (leads_back()) ++tunnels_.data().count.loops_refused;
  caller_->mark_for_reset();
  if (end == TunnelEnd::connect_failed) tunnels_.note_unconnected(*caller_, direction_, *endpoint_);
  finish();
}

void Opening::finish() {
  if (finished_) return;
  finished_ = true;
  timer_.disarm();
  alive_.reset();
  drop_service();
  --endpoint_->in_flight;
  if (caller_ != nullptr) {
    caller_->set_handler(nullptr);
    tunnels_.data().loop().retire(std::move(caller_));
  }
  tunnels_.remove(*this);
}

}  // namespace hms::proxy
