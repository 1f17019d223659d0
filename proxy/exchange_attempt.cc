// Which service is asked, over which connection, and whether once more: the attempts of an
// exchange.
#include "proxy/exchange.h"

#include "net/core/clock.h"
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

constexpr uint32_t kMostAddresses = 4;  // more of one host than the first, in one attempt

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
      close_after_ = true;
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
    if (route_->plan->is_split) upstream_name_ = cluster_->name_id;
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
  ++attempts_;
  if (cluster_ != nullptr) {
    endpoint_ = pick_endpoint(*cluster_, endpoint_, data_.loop().now_millis());
    if (endpoint_ == nullptr) return reply_locally(LocalError::no_endpoint, cluster_->plan->name);
    ask_again(*endpoint_, data_.loop().now_millis());
  }
  first_address_ = endpoint_;
  addresses_tried_ = 0;
  ask_endpoint();
}

void Exchange::ask_endpoint() {
  if (endpoint_->leads_back(session_->direction() == Direction::inbound))
    return reply_locally(LocalError::loop_detected, endpoint_->text);
  in_flight_.take(*endpoint_);
  ++endpoint_->requests;
  endpoint_->last_used_millis = data_.loop().now_millis();
  attempt_nanos_ = 0;
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
  const bool has_port = target.back() != ']' && target.rfind(':') != std::string::npos &&
                        target.rfind(':') >= target.rfind(']') + 1;  // no ']': 0
  if (!has_port) target += target.back() == ':' ? "80" : ":80";
  auto parsed = net::parse_host_port(target);
  if (!parsed.ok()) return reply_locally(LocalError::no_route, parsed.error().detail);
  authority_ = std::move(target);
  if (auto literal = net::SocketAddress::parse(authority_); literal.ok())
    return on_resolved(HostNames::Addresses{*literal});
  HostNames& names = data_.host_names();
  if (const HostNames::Answer* known = names.find(authority_)) return on_resolved(*known);
  if (!request_complete_) session_->pause(Session::connecting);
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
  if (!request_complete_) session_->pause(Session::connecting);
  connector_ = data_.pool().open(*endpoint_, allowed,
                                 [this](net::Result<std::unique_ptr<net::Stream>> stream) {
                                   on_connected(std::move(stream));
                                 });
}

void Exchange::on_connected(net::Result<std::unique_ptr<net::Stream>> stream) {
  data_.loop().retire(std::move(connector_));
  if (stream.ok()) {
    endpoint_->refusals = 0;
    endpoint_->refused_until_millis = 0;
    if (cluster_ == nullptr && addresses_tried_ > 0)
      data_.host_names().prefer(authority_, endpoint_->address);
    use(data_.pool().adopt(*endpoint_, std::move(stream).value()));
    return;
  }
  if (stream.error().code == net::Code::overloaded) {  // ours, and nothing against the service
    ++data_.count.out_of_descriptors;
    return reply_locally(LocalError::overloaded, stream.error().detail);
  }
  ++endpoint_->connect_failures;
  note_failure();
  data_.forget_port(endpoint_->address);
  endpoint_->latency.observe(
      1'000'000'000,
      data_.loop().now_millis());  // a refusal is quick, and must not look attractive
  if (try_next_address()) return;
  const uint32_t allowed =
      route_ != nullptr
          ? (route_->plan->config.retries.on_connect ? route_->plan->config.retries.attempts : 0)
          : 1;
  const bool elsewhere = cluster_ != nullptr && cluster_->hosts > 1;
  if (elsewhere && attempts_ <= allowed && replayable_) {
    if (budget_allows()) {
      ++data_.count.retries_connect;
      start_attempt();
      return;
    }
    ++data_.count.retries_denied;
  }
  const bool slow = stream.error().code == net::Code::connect_timeout;
  reply_locally(slow ? LocalError::connect_timeout : LocalError::connect_failed,
                stream.error().detail);
}

/// A host may have addresses that nobody listens on (localhost is ::1 as well as 127.0.0.1). They
/// are tried in turn and are one attempt: nothing was sent yet, so no budget has a say.
bool Exchange::try_next_address() {
  if (!replayable_ || ++addresses_tried_ > kMostAddresses) return false;
  Endpoint* next = nullptr;
  if (cluster_ != nullptr) {
    next = &cluster_->other_address(*endpoint_);
    if (next != endpoint_) pass_over(*endpoint_, data_.loop().now_millis());
  } else if (const auto* address = data_.host_names().after(authority_, endpoint_->address)) {
    if (!data_.is_own_outbound(*address)) next = &data_.dynamic_endpoint(*address);
  }
  if (next == nullptr || next == endpoint_ || next == first_address_) return false;
  ++data_.count.retries_address;
  endpoint_ = next;
  ask_endpoint();
  return true;
}

void Exchange::note_failure() {
  ++endpoint_->failures;
  if (cluster_ != nullptr)
    proxy::note_failure(*cluster_, *endpoint_, data_.loop().now_millis(), data_.outliers);
}

void Exchange::use(std::unique_ptr<UpstreamConnection> connection) {
  upstream_ = std::move(connection);
  upstream_->set_user(this);
  reused_ = upstream_->requests > 0;
  sent_before_ = upstream_->stream().bytes_written();
  upstream_eof_ = reply_bytes_seen_ = tail_sent_ = false;
  if (reply_codec_dirty_) reply_codec_->start_over(data_.http_limits());
  reply_codec_dirty_ = true;  // until its message has ended well
  if (is_head_) reply_codec_->expect_reply_to("HEAD");
  const bool measures =
      view_->snapshot->config.access_log || (cluster_ != nullptr && cluster_->endpoints.size() > 1);
  if (measures) {
    attempt_nanos_ = net::monotonic_nanos();
    if (times_.connected == 0) times_.connected = attempt_nanos_;
  }
  head_unsent_ = true;
  if (session_->processing())
    return;  // the session flushes when it has seen what else the read brought
  flush_request();
  session_->resume(Session::connecting);
}

// === once more?

bool Exchange::may_repeat() const noexcept {
  const MessageHead& head = request_codec_->head();
  return is_idempotent(head.method) || head.has(KnownHeader::idempotency_key);
}

bool Exchange::budget_allows() {
  return (route_ != nullptr && route_->retry_share.take()) ||
         data_.retry_floor.take(data_.loop().now_millis());
}

/// A service that read the request and died sends FIN like one that was just closing an idle
/// connection. But the FIN of the latter acknowledges nothing of the request.
bool Exchange::service_saw_nothing() noexcept {
  return upstream_->stream().bytes_acknowledged() <= sent_before_;
}

bool Exchange::retry_after_failure(bool clean_end) {
  if (!replayable_ || reply_started_) return false;
  // A kept-alive connection that the service was just closing (docs/http.md).
  if (reused_ && !stale_retried_ && (may_repeat() || (clean_end && service_saw_nothing()))) {
    stale_retried_ = true;
    ++data_.count.retries_stale;
    ++endpoint_->stale;
    ++endpoint_->quiet_closes;
    data_.pool().discard(std::move(upstream_));
    connect();
    return true;
  }
  if (route_ == nullptr || !route_->plan->config.retries.on_reset ||
      attempts_ > route_->plan->config.retries.attempts || !may_repeat())
    return false;
  if (!budget_allows()) {
    ++data_.count.retries_denied;
    return false;
  }
  ++data_.count.retries_reset;
  drop_upstream();
  start_attempt();
  return true;
}

bool Exchange::retry_on_status() {
  if (attempts_ > route_->plan->config.retries.attempts || !replayable_ || !may_repeat())
    return false;
  if (!budget_allows()) {
    ++data_.count.retries_denied;
    return false;
  }
  ++data_.count.retries_status;
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
  head_unsent_ = upstream_paused_ = false;
}

}  // namespace hms::proxy
