// Which service is asked, over which connection, and whether once more: the attempts of an
// exchange.
#include "proxy/exchange.h"

#include "net/core/clock.h"
#include "net/core/host_port.h"
#include "net/http/url.h"
#include "proxy/balance/balancer.h"
#include "proxy/cluster/outlier.h"
#include "proxy/data_path.h"
#include "proxy/policy.h"
#include "proxy/router.h"
#include "proxy/session.h"

namespace hms::proxy {

using net::KnownHeader;
using net::MessageHead;
using telemetry::Direction;

namespace {

// A refusal is quick, and must not look attractive.
constexpr uint64_t kRefusalNanos = 1'000'000'000;

bool is_idempotent(std::string_view method) noexcept {
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "TRACE" ||
         method == "PUT" || method == "DELETE";
}

bool has_allow(const RouteView* route) noexcept {
  return route != nullptr && !route->plan->config.allow.empty();
}

}  // namespace

void Exchange::choose_route() {
  const MessageHead& head = request_codec_->head();
  const bool outbound = session_->direction() == Direction::outbound;
  const PathReadings path = read_path(net::target_path(head.target), data_.path_scratch);
  const RouteQuery query{
      .outbound = outbound, .method = head.method, .host = host_of(head), .path = path.normal};
  route_ = find_route(*view_, query);
  if (route_ != nullptr) {
    if (route_->plan->config.timeout.count() > 0) deadline_.arm(route_->plan->config.timeout);
    route_->retry_share.request(route_->plan->config.retries.budget);
  }
  switch (refusal_of(path, query)) {
    case LocalError::none:
      return choose_cluster();
    case LocalError::forbidden:
      return reply_locally(LocalError::forbidden, session_->peer_identity());
    default:
      reply_.closes = true;
      return reply_locally(LocalError::bad_request, "ambiguous_path");
  }
}

/// Where the path decides who may call, it does so however the service reads it
/// (docs/security.md): a caller must be allowed by each reading.
LocalError Exchange::refusal_of(const PathReadings& path, RouteQuery query) {
  if (!caller_allowed(route_)) return LocalError::forbidden;
  if (path.plain || query.outbound || !view_->snapshot->allows_by_path) return LocalError::none;
  if (path.ambiguous) return LocalError::bad_request;
  query.path = path.bare;
  const RouteView* const bare = find_route(*view_, query);
  if (bare != route_ && (has_allow(bare) || has_allow(route_))) return LocalError::bad_request;
  query.path = path.climbing;
  const RouteView* const climbing = find_route(*view_, query);
  if (climbing != route_ && !caller_allowed(climbing)) return LocalError::forbidden;
  return LocalError::none;
}

/// By the names in the caller's certificate; without a list, everybody may.
bool Exchange::caller_allowed(const RouteView* route) {
  if (session_->direction() != Direction::inbound) return true;
  const Config& config = view_->snapshot->config;
  const bool own_list = has_allow(route);
  const std::vector<std::string>& allow =
      own_list ? route->plan->config.allow : config.inbound_allow;
  return allow.empty() || is_allowed(allow, session_->caller_names());
}

void Exchange::choose_cluster() {
  const MessageHead& head = request_codec_->head();
  if (route_ != nullptr && !route_->plan->split.empty()) {
    const uint32_t chosen = pick_split(*route_->plan, head, trace_);
    cluster_ = &view_->clusters[chosen];
    if (route_->plan->is_split) outcome_.upstream = cluster_->name_id;
    return start_attempt();
  }
  if (const net::SocketAddress* const redirected = session_->redirected_from()) {
    endpoint_ = &data_.dynamic_endpoint(*redirected);
    return start_attempt();
  }
  if (session_->direction() == Direction::outbound) {
    const std::string_view authority = authority_of(head.target);
    return resolve_and_connect(authority.empty() ? head.get(KnownHeader::host) : authority);
  }
  if (!view_->snapshot->has_app) return reply_locally(LocalError::no_route, {});
  cluster_ = &view_->clusters.front();
  start_attempt();
}

void Exchange::start_attempt() {
  ++attempt_.number;
  if (cluster_ != nullptr) {
    endpoint_ = pick_endpoint(*cluster_, endpoint_, data_.loop().now_millis());
    if (endpoint_ == nullptr) return reply_locally(LocalError::no_endpoint, cluster_->plan->name);
    ask_again(*endpoint_, data_.loop().now_millis());
  }
  attempt_.first_address = endpoint_;
  attempt_.addresses_tried = 0;
  ask_endpoint();
}

void Exchange::ask_endpoint() {
  if (endpoint_->leads_back(session_->direction() == Direction::inbound))
    return reply_locally(LocalError::loop_detected, endpoint_->text);
  in_flight_.take(*endpoint_);
  ++endpoint_->requests;
  endpoint_->last_used_millis = data_.loop().now_millis();
  attempt_.asked_nanos = 0;
  if (view_->snapshot->config.access_log && times_.chosen == 0)
    times_.chosen = net::monotonic_nanos();
  // A service that keeps closing right after its replies, unannounced: what could not be repeated
  // does not take the chance.
  const bool avoid_reuse = endpoint_->quiet_closes > 0 && !may_repeat();
  auto connection = avoid_reuse ? nullptr : data_.pool().lease(*endpoint_, !may_repeat());
  if (connection)
    use(std::move(connection));
  else
    connect();
}

void Exchange::resolve_and_connect(std::string_view authority) {
  std::string target(authority);
  if (target.empty()) return reply_locally(LocalError::no_route, "no host");
  if (net::split_host_port(target).port().empty()) target += target.back() == ':' ? "80" : ":80";
  auto parsed = net::parse_host_port(target);
  if (!parsed.ok()) return reply_locally(LocalError::no_route, parsed.error().detail);
  authority_ = std::move(target);
  if (auto literal = net::SocketAddress::parse(authority_); literal.ok())
    return on_resolved(HostNames::Addresses{*literal});
  HostNames& names = data_.host_names();
  if (const HostNames::Answer* known = names.find(authority_)) return on_resolved(*known);
  if (!request_complete()) session_->pause(Session::connecting);
  look_up_ = names.ask(authority_, *parsed,
                       [this](const HostNames::Answer& found) { on_resolved(found); });
  if (look_up_ == nullptr) reply_locally(LocalError::overloaded, "look-ups of names");
}

void Exchange::on_resolved(const HostNames::Answer& found) {
  look_up_.reset();
  if (!found.ok()) return reply_locally(LocalError::resolve_failed, found.error().detail);
  const net::SocketAddress& address = found->front();
  if (data_.is_own_outbound(address))
    return reply_locally(LocalError::loop_detected, address.to_string());
  endpoint_ = &data_.dynamic_endpoint(address);
  start_attempt();
}

void Exchange::connect() {
  const Timeouts& timeouts = view_->snapshot->config.timeouts;
  net::Millis allowed =
      endpoint_->address.is_loopback() ? timeouts.connect_loopback : timeouts.connect;
  if (cluster_ != nullptr && cluster_->plan->connect_timeout.count() > 0)
    allowed = cluster_->plan->connect_timeout;
  if (!request_complete()) session_->pause(Session::connecting);
  connector_ = data_.pool().open(*endpoint_, allowed,
                                 [this](net::Result<std::unique_ptr<net::Stream>> stream) {
                                   on_connected(std::move(stream));
                                 });
}

void Exchange::on_connected(net::Result<std::unique_ptr<net::Stream>> stream) {
  data_.loop().retire(std::move(connector_));
  if (!stream.ok()) return on_connect_failed(stream.error());
  if (cluster_ == nullptr && attempt_.addresses_tried > 0)
    data_.host_names().prefer(authority_, endpoint_->address);
  use(data_.pool().adopt(*endpoint_, std::move(stream).value()));
}

void Exchange::on_connect_failed(const net::Error& error) {
  if (!data_.note_connect_failure(*endpoint_, error))
    return reply_locally(LocalError::overloaded, error.detail);
  blame_endpoint();
  endpoint_->latency.observe(kRefusalNanos, data_.loop().now_millis());
  if (try_next_address() || retry_elsewhere()) return;
  const bool slow = error.code == net::Code::connect_timeout;
  reply_locally(slow ? LocalError::connect_timeout : LocalError::connect_failed, error.detail);
}

/// A host may have addresses that nobody listens on (localhost is ::1 as well as 127.0.0.1). They
/// are tried in turn and are one attempt: nothing was sent yet, so no budget has a say.
bool Exchange::try_next_address() {
  if (!kept_.whole || ++attempt_.addresses_tried > kMostOtherAddresses) return false;
  Endpoint* next = nullptr;
  if (cluster_ != nullptr) {
    next = &cluster_->other_address(*endpoint_);
    if (next != endpoint_) pass_over(*endpoint_, data_.loop().now_millis());
  } else if (const auto* address = data_.host_names().after(authority_, endpoint_->address)) {
    if (!data_.is_own_outbound(*address)) next = &data_.dynamic_endpoint(*address);
  }
  if (next == nullptr || next == endpoint_ || next == attempt_.first_address) return false;
  ++data_.count.retries_address;
  endpoint_ = next;
  ask_endpoint();
  return true;
}

void Exchange::blame_endpoint() {
  ++endpoint_->failures;
  if (cluster_ != nullptr)
    note_failure(*cluster_, *endpoint_, data_.loop().now_millis(), data_.outliers);
}

void Exchange::use(std::unique_ptr<UpstreamConnection> connection) {
  upstream_ = std::move(connection);
  upstream_->set_user(this);
  attempt_.reused = upstream_->requests > 0;
  attempt_.written_before = upstream_->stream().bytes_written();
  advance(to_service_, ToService::head_waits);
  advance(from_service_, FromService::silent);
  if (reply_codec_dirty_) reply_codec_->start_over(data_.http_limits());
  reply_codec_dirty_ = true;  // until its message has ended well
  if (request_.is_head) reply_codec_->expect_reply_to("HEAD");
  const bool measures =
      view_->snapshot->config.access_log || (cluster_ != nullptr && cluster_->endpoints.size() > 1);
  if (measures) {
    attempt_.asked_nanos = net::monotonic_nanos();
    if (times_.connected == 0) times_.connected = attempt_.asked_nanos;
  }
  if (session_->processing())
    return;  // the session flushes when it has seen what else the read brought
  flush_request();
  // An attempt before may have stopped the caller, and this connection has all that came.
  if (!upstream_->stream().above_high_watermark()) session_->resume(Session::upstream_slow);
  session_->resume(Session::connecting);
}

// === once more?

bool Exchange::may_repeat() const noexcept {
  const MessageHead& head = request_codec_->head();
  return is_idempotent(head.method) || head.has(KnownHeader::idempotency_key);
}

/// Counts in `counter` if it does.
bool Exchange::budget_allows(uint64_t& counter) {
  const bool allowed = (route_ != nullptr && route_->retry_share.take()) ||
                       data_.retry_floor.take(data_.loop().now_millis());
  ++(allowed ? counter : data_.count.retries_denied);
  return allowed;
}

/// Nobody could be connected to: another endpoint of the upstream is asked. Without a route once.
bool Exchange::retry_elsewhere() {
  if (cluster_ == nullptr || cluster_->hosts < 2 || !kept_.whole) return false;
  uint32_t allowed = 1;
  if (route_ != nullptr) {
    const RetryConfig& retries = route_->plan->config.retries;
    allowed = retries.on_connect ? retries.attempts : 0;
  }
  if (attempt_.number > allowed || !budget_allows(data_.count.retries_connect)) return false;
  start_attempt();
  return true;
}

/// A service that read the request and died sends FIN like one that was just closing an idle
/// connection. But the FIN of the latter acknowledges nothing of the request.
bool Exchange::service_saw_nothing() noexcept {
  return upstream_->stream().bytes_acknowledged() <= attempt_.written_before;
}

/// A kept-alive connection that the service was just closing (docs/http.md): the same endpoint,
/// over a fresh one, once.
bool Exchange::retry_stale(bool clean_end) {
  if (!attempt_.reused || attempt_.stale_repeated) return false;
  if (!may_repeat() && !(clean_end && service_saw_nothing())) return false;
  attempt_.stale_repeated = true;
  ++data_.count.retries_stale;
  ++endpoint_->stale;
  ++endpoint_->quiet_closes;
  advance(to_service_, ToService::nowhere);
  data_.pool().discard(std::move(upstream_));
  connect();
  return true;
}

bool Exchange::retry_after_failure(bool clean_end) {
  if (!kept_.whole || reply_begun()) return false;
  if (retry_stale(clean_end)) return true;
  if (route_ == nullptr || !route_->plan->config.retries.on_reset) return false;
  return repeat(data_.count.retries_reset);
}

bool Exchange::retry_on_status(uint16_t status) {
  if (route_ == nullptr || status >= 600 || !kept_.whole) return false;
  if (!route_->plan->config.retries.on_status.test(status)) return false;
  return repeat(data_.count.retries_status);
}

/// What the service may have begun to work on is asked for once more, where the route says so.
bool Exchange::repeat(uint64_t& counter) {
  if (attempt_.number > route_->plan->config.retries.attempts || !may_repeat()) return false;
  if (!budget_allows(counter)) return false;
  drop_upstream();
  start_attempt();
  return true;
}

void Exchange::drop_upstream() {
  data_.request_out.clear();
  // Destroyed here and not retired: a retired one could still call back in this turn, when this
  // exchange serves somebody else.
  look_up_.reset();
  connector_.reset();
  if (upstream_) {
    upstream_->stream().mark_for_reset();  // a message that was not finished must not look finished
    data_.pool().discard(std::move(upstream_));
  }
  in_flight_.release();
  advance(to_service_, ToService::nowhere);
  reply_.paused = false;
}

}  // namespace hms::proxy
