#include "proxy/exchange.h"

#include "net/core/clock.h"
#include "net/core/random.h"
#include "net/http/url.h"
#include "proxy/access_log.h"
#include "proxy/balance/balancer.h"
#include "proxy/data_path.h"
#include "proxy/router.h"
#include "proxy/session.h"

namespace hms::proxy {

using net::BodyKind;
using net::H1Codec;
using net::KnownHeader;
using net::MessageHead;
using telemetry::Direction;

namespace {

constexpr net::Millis kProbeAfter{500};  // most half-closing callers have their reply by then
constexpr net::Millis kProbeAgain{100};

bool is_idempotent(std::string_view method) noexcept {
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "TRACE" ||
         method == "PUT" || method == "DELETE";
}

}  // namespace

Exchange::Exchange(DataPath& data, const net::HttpLimits& limits)
    : data_(data),
      request_codec_(std::make_unique<H1Codec>(H1Codec::Kind::request, limits)),
      reply_codec_(std::make_unique<H1Codec>(H1Codec::Kind::response, limits)),
      deadline_(data.loop(),
                [this] {
                  if (reply_started_)
                    on_reply_fault(LocalError::timeout, {});
                  else
                    reply_locally(LocalError::timeout,
                                  endpoint_ != nullptr ? endpoint_->text : std::string());
                }),
      probe_(data.loop(), [this] { probe_caller(); }) {}

Exchange::~Exchange() = default;

void Exchange::freshen(const net::HttpLimits& limits) {
  if (request_codec_dirty_) *request_codec_ = H1Codec(H1Codec::Kind::request, limits);
  request_codec_dirty_ = false;
}

void Exchange::begin(Session& session) {
  session_ = &session;
  view_ = data_.view();
  ++view_->pins;
  route_ = nullptr;
  cluster_ = nullptr;
  endpoint_ = nullptr;
  start_nanos_ = net::monotonic_nanos();
  times_ = {};
  request_bytes_ = reply_bytes_ = attempt_nanos_ = 0;
  attempts_ = upstream_name_ = 0;
  status_ = 0;
  error_ = LocalError::none;
  head_seen_ = request_complete_ = chunked_request_ = caller_minor_0_ = is_head_ = wants_tunnel_ =
      false;
  caller_keep_alive_ = replayable_ = true;
  head_unsent_ = tail_sent_ = stale_retried_ = reused_ = upstream_eof_ = reply_bytes_seen_ = false;
  reply_started_ = reply_complete_ = reply_chunked_ = close_after_ = upstream_paused_ = false;
  probed_ = false;
  tunnel_ = tunnel_caller_ended_ = tunnel_upstream_ended_ = measured_ = false;
  replay_.clear();
}

// === the request

void Exchange::on_request_head() {
  head_seen_ = true;
  request_codec_->keep_head();
  const MessageHead& head = request_codec_->head();
  ++data_.count.requests[static_cast<size_t>(session_->direction())];
  if (view_->snapshot->config.access_log) times_.head = net::monotonic_nanos();
  caller_minor_0_ = head.version_minor == 0;
  caller_keep_alive_ = head.keep_alive;
  chunked_request_ = head.body == BodyKind::chunked;
  is_head_ = head.method == "HEAD";
  trace_ =
      telemetry::read_trace_context({.x_trace = head.get(KnownHeader::x_trace),
                                     .traceparent = head.get(KnownHeader::traceparent),
                                     .tracestate = head.get(KnownHeader::tracestate),
                                     .b3 = head.get(KnownHeader::b3),
                                     .b3_trace_id = head.get(KnownHeader::x_b3_traceid),
                                     .b3_span_id = head.get(KnownHeader::x_b3_spanid),
                                     .b3_parent_span_id = head.get(KnownHeader::x_b3_parentspanid),
                                     .b3_sampled = head.get(KnownHeader::x_b3_sampled),
                                     .b3_flags = head.get(KnownHeader::x_b3_flags)});
  join_trace();
  if (head.method == "CONNECT") {
    close_after_ = true;  // what follows is not HTTP
    return reply_locally(LocalError::not_implemented, "CONNECT");
  }
  if (head.has(KnownHeader::via) && via_names(head, data_.via_name(session_->direction()))) {
    return reply_locally(LocalError::loop_detected, data_.via_name(session_->direction()));
  }
  wants_tunnel_ = head.upgrade && head.body == BodyKind::none &&
                  !upgrades_to_http2(head.get(KnownHeader::upgrade));
  choose_route();
}

/// A call that names a trace but no parent span belongs to the request of that trace that is being
/// served here, if there is just one.
void Exchange::join_trace() {
  if (data_.traces == nullptr) return;
  if (session_->direction() == Direction::inbound) {
    data_.traces->begin(trace_.trace_id, trace_.span_id);
  } else if (trace_.parent_span_id.is_zero() && !trace_.started_here) {
    trace_.parent_span_id = data_.traces->find(trace_.trace_id);
  }
}

void Exchange::choose_route() {
  const MessageHead& head = request_codec_->head();
  const bool outbound = session_->direction() == Direction::outbound;
  const RouteQuery query{.outbound = outbound,
                         .method = head.method,
                         .host = host_of(head),
                         .path = net::target_path(head.target)};
  route_ = find_route(*view_, query);
  if (route_ != nullptr) {
    if (route_->plan->config.timeout.count() > 0) deadline_.arm(route_->plan->config.timeout);
    data_.retry_budget.request(route_->plan->config.retries.budget);
  }
  choose_cluster();
}

void Exchange::choose_cluster() {
  const MessageHead& head = request_codec_->head();
  if (route_ != nullptr && !route_->plan->split.empty()) {
    const uint32_t chosen = pick_split(*route_->plan, head, trace_);
    cluster_ = &view_->clusters[chosen];
    if (route_->plan->is_split) upstream_name_ = cluster_->name_id;
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
  }
  if (endpoint_->own_inbound && session_->direction() == Direction::inbound)
    return reply_locally(LocalError::loop_detected, endpoint_->text);
  ++endpoint_->in_flight;
  ++endpoint_->requests;
  endpoint_->last_used_millis = data_.loop().now_millis();
  attempt_nanos_ = 0;
  if (view_->snapshot->config.access_log && times_.chosen == 0)
    times_.chosen = net::monotonic_nanos();
  // A service that keeps closing right after its replies, unannounced: what could not be repeated
  // does not take the chance.
  const bool avoid_reuse = endpoint_->quiet_closes > 0 && !may_repeat();
  auto connection = avoid_reuse ? nullptr : data_.pool().lease(*endpoint_);
  if (connection)
    use(std::move(connection));
  else
    connect();
}

void Exchange::resolve_and_connect(std::string_view authority) {
  std::string target(authority);
  if (target.empty()) return reply_locally(LocalError::no_route, "no host");
  const bool has_port = target.back() != ']' && target.rfind(':') != std::string::npos &&
                        target.rfind(':') > target.rfind(']') + 1;
  if (!has_port) target += target.back() == ':' ? "80" : ":80";
  auto parsed = net::parse_host_port(target);
  if (!parsed.ok()) return reply_locally(LocalError::no_route, parsed.error().detail);
  authority_ = std::move(target);
  if (auto literal = net::SocketAddress::parse(authority_); literal.ok())
    return connect_to(*literal);
  if (const net::SocketAddress* known = data_.cached_name(authority_)) return connect_to(*known);
  if (!request_complete_) session_->pause(Session::connecting);
  resolver_ = net::Resolver::resolve(
      data_.loop(), *parsed, [this](net::Result<std::vector<net::SocketAddress>> found) {
        data_.loop().retire(std::move(resolver_));
        if (!found.ok()) return reply_locally(LocalError::resolve_failed, found.error().detail);
        if (found->empty()) return reply_locally(LocalError::resolve_failed, authority_);
        data_.remember_name(authority_, found->front());
        connect_to(found->front());
      });
}

void Exchange::connect_to(const net::SocketAddress& address) {
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
    use(data_.pool().adopt(*endpoint_, std::move(stream).value()));
    return;
  }
  ++endpoint_->connect_failures;
  ++endpoint_->failures;
  endpoint_->latency.observe(
      1'000'000'000,
      data_.loop().now_millis());  // a refusal is quick, and must not look attractive
  const uint32_t allowed =
      route_ != nullptr
          ? (route_->plan->config.retries.on_connect ? route_->plan->config.retries.attempts : 0)
          : 1;
  const bool elsewhere = cluster_ != nullptr && cluster_->endpoints.size() > 1;
  if (elsewhere && attempts_ <= allowed && replayable_) {
    if (data_.retry_budget.take(data_.loop().now_millis())) {
      ++data_.count.retries_connect;
      --endpoint_->in_flight;
      start_attempt();
      return;
    }
    ++data_.count.retries_denied;
  }
  const bool slow = stream.error().code == net::Code::connect_timeout;
  reply_locally(slow ? LocalError::connect_timeout : LocalError::connect_failed,
                stream.error().detail);
}

void Exchange::use(std::unique_ptr<UpstreamConnection> connection) {
  upstream_ = std::move(connection);
  upstream_->set_user(this);
  reused_ = upstream_->requests > 0;
  upstream_eof_ = reply_bytes_seen_ = tail_sent_ = false;
  if (reply_codec_dirty_) *reply_codec_ = H1Codec(H1Codec::Kind::response, data_.http_limits());
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

/// Head, and what was kept of the body, into the gather.
void Exchange::emit_head() {
  head_unsent_ = false;
  const MessageHead& head = request_codec_->head();
  RequestEdit edit;
  edit.trace = &trace_;
  edit.outbound = session_->direction() == Direction::outbound;
  edit.tls = session_->stream().tls() != nullptr;
  edit.trust_forwarded = view_->snapshot->config.trust_forwarded;
  edit.keep_upgrade = wants_tunnel_;
  edit.peer_ip = session_->peer_ip();
  edit.via_line = data_.via_line(session_->direction());
  edit.authority = authority_of(head.target);
  if (edit.authority.empty() && !head.has(KnownHeader::host))
    edit.authority = endpoint_->text;  // HTTP/1.0 without Host
  added_.clear();
  add_request_head(head, edit, added_, data_.request_out);
  if (!replay_.empty()) {
    emit_body(replay_);
    data_.request_out.flush(upstream_->stream());  // replay_ may move
  }
  if (request_complete_) emit_tail();
}

void Exchange::emit_body(std::string_view piece) {
  Gather& out = data_.request_out;
  if (chunked_request_) {
    out.add_chunk_size(piece.size());
    out.add(piece);
    out.add("\r\n");
  } else {
    out.add(piece);
  }
}

void Exchange::emit_tail() {
  if (!chunked_request_ || tail_sent_) return;
  tail_sent_ = true;
  data_.request_out.add("0\r\n");
  data_.request_out.add(request_codec_->trailers());
  data_.request_out.add("\r\n");
}

void Exchange::on_request_body(std::string_view piece) {
  request_bytes_ += piece.size();
  if (reply_complete_ || piece.empty()) return;  // answered early: nobody wants the rest
  if (upstream_ == nullptr) {
    replay_.append(piece);  // bounded: the session pauses while we connect
    return;
  }
  if (head_unsent_) emit_head();
  emit_body(piece);
  const bool worth_keeping =
      replayable_ && (reused_ || (route_ != nullptr && route_->plan->config.retries.attempts > 0));
  if (worth_keeping && replay_.size() + piece.size() <= kReplayBytes) {
    replay_.append(piece);
  } else if (replayable_) {
    replayable_ = false;
    replay_.clear();
  }
  if (!data_.request_out.roomy()) flush_request();
}

void Exchange::on_request_end() {
  request_complete_ = true;
  if (upstream_ != nullptr && !reply_complete_) {
    if (head_unsent_)
      emit_head();
    else
      emit_tail();
    flush_request();
  }
  if (reply_complete_) finish(caller_keep_alive_ && !close_after_);
}

void Exchange::flush_request() {
  if (upstream_ == nullptr) return;
  if (head_unsent_) emit_head();
  data_.request_out.flush(upstream_->stream());
  pause_caller_if_upstream_full();
}

void Exchange::pause_caller_if_upstream_full() {
  if ((request_complete_ && !tunnel_) || !upstream_->stream().above_high_watermark()) return;
  session_->pause(Session::upstream_slow);
  ++data_.count.pauses_downstream;
}

void Exchange::on_upstream_writable() { session_->resume(Session::upstream_slow); }

void Exchange::fail_request(LocalError error, std::string_view detail) {
  if (reply_started_) {
    on_reply_fault(error, detail);
    return;
  }
  close_after_ = true;
  reply_locally(error, detail);
}

// === the reply

void Exchange::on_upstream_bytes(std::string_view bytes) {
  if (tunnel_) {
    session_->stream().write(bytes);
    reply_bytes_ += bytes.size();
    pause_upstream_if_caller_full();
    return;
  }
  reply_bytes_seen_ = true;
  read_replies(bytes);
}

void Exchange::read_replies(std::string_view& input) {
  while (true) {
    switch (reply_codec_->next(input)) {
      case H1Codec::Step::need_more:
        data_.reply_out.flush(session_->stream());
        pause_upstream_if_caller_full();
        return;
      case H1Codec::Step::head:
        if (!on_reply_head()) return;
        break;
      case H1Codec::Step::body:
        send_reply_piece(reply_codec_->body());
        break;
      case H1Codec::Step::trailers:
        break;  // kept by the codec until the end
      case H1Codec::Step::end:
        if (reply_codec_->head().status < 200) {
          data_.reply_out.flush(session_->stream());
          reply_codec_->next_message();
          break;
        }
        on_reply_end(input.empty());
        return;
      case H1Codec::Step::upgrade:
        start_tunnel(input);
        return;
      case H1Codec::Step::failed: {
        const std::string_view site = reply_codec_->fault().site;
        on_reply_fault(LocalError::upstream_protocol, site);
        return;
      }
    }
  }
}

/// False if this attempt is over.
bool Exchange::on_reply_head() {
  const MessageHead& head = reply_codec_->head();
  if (head.status == 101) {
    if (!wants_tunnel_) {
      on_reply_fault(LocalError::upstream_protocol, "unasked_upgrade");
      return false;
    }
    status_ = 101;
    reply_started_ = true;
    added_.clear();
    add_reply_head(head, {.x_trace = trace_.x_trace(), .upgrade = true}, added_, data_.reply_out);
    return true;
  }
  if (head.status < 200) {
    if (!caller_minor_0_) forward_interim_head();
    return true;
  }
  if (attempt_nanos_ != 0) {
    const uint64_t now = net::monotonic_nanos();
    times_.reply = now;
    endpoint_->latency.observe(now - attempt_nanos_, data_.loop().now_millis());
  }
  if (head.status >= 500) ++endpoint_->failures;
  if (route_ != nullptr && head.status < 600 &&
      route_->plan->config.retries.on_status.test(head.status) && retry_on_status())
    return false;
  learn_keep_alive(head);
  forward_reply_head();
  return true;
}

void Exchange::learn_keep_alive(const MessageHead& head) {
  if (!head.has(KnownHeader::keep_alive)) return;
  const std::string_view value = head.get(KnownHeader::keep_alive);
  const size_t at = value.find("timeout=");
  if (at == std::string_view::npos) return;
  uint64_t seconds = 0;
  for (const char c : value.substr(at + 8, 5)) {
    if (c < '0' || c > '9') break;
    seconds = seconds * 10 + static_cast<uint64_t>(c - '0');
  }
  data_.pool().learn_idle_limit(*endpoint_, seconds);
}

void Exchange::forward_interim_head() {
  added_.clear();
  add_reply_head(reply_codec_->head(), {}, added_, data_.reply_out);
}

void Exchange::forward_reply_head() {
  const MessageHead& head = reply_codec_->head();
  status_ = head.status;
  reply_started_ = true;
  probe_.disarm();
  ReplyEdit edit;
  edit.x_trace = trace_.x_trace();
  edit.strip_own_error = session_->direction() == Direction::inbound;
  if (head.body == BodyKind::chunked || head.body == BodyKind::until_close) {
    edit.framing = caller_minor_0_ ? ReplyFraming::until_close : ReplyFraming::chunked;
    reply_chunked_ = !caller_minor_0_;
    if (caller_minor_0_) close_after_ = true;
  }
  // An early refusal: the rest of the upload will not be read, so say that the connection ends.
  if (!request_complete_ && head.status >= 400) close_after_ = true;
  if (!caller_keep_alive_ || data_.draining() || session_->peer_sent_eof()) close_after_ = true;
  edit.close = close_after_;
  edit.say_keep_alive = caller_minor_0_ && !close_after_;
  added_.clear();
  add_reply_head(head, edit, added_, data_.reply_out);
}

void Exchange::send_reply_piece(std::string_view piece) {
  Gather& out = data_.reply_out;
  reply_bytes_ += piece.size();
  if (reply_chunked_) {
    out.add_chunk_size(piece.size());
    out.add(piece);
    out.add("\r\n");
  } else {
    out.add(piece);
  }
  if (!out.roomy()) out.flush(session_->stream());
}

void Exchange::pause_upstream_if_caller_full() {
  net::Stream& caller = session_->stream();
  if (caller.queued_bytes() > 0) session_->schedule(view_->snapshot->config.timeouts.write_stall);
  if (upstream_paused_ || upstream_ == nullptr || !caller.above_high_watermark()) return;
  upstream_paused_ = true;
  upstream_->stream().pause_reading();
  ++data_.count.pauses_upstream;
}

void Exchange::on_downstream_writable() {
  if (!upstream_paused_ || upstream_ == nullptr) return;
  upstream_paused_ = false;
  upstream_->stream().resume_reading();
}

void Exchange::on_reply_end(bool nothing_left) {
  Gather& out = data_.reply_out;
  if (reply_chunked_) {
    out.add("0\r\n");
    out.add(reply_codec_->trailers());
    out.add("\r\n");
  }
  out.flush(session_->stream());
  reply_complete_ = true;
  const bool reusable =
      nothing_left && reply_codec_->head().keep_alive && request_complete_ && !upstream_eof_;
  if (reply_codec_->head().keep_alive) {
    reply_codec_->next_message();
    reply_codec_dirty_ = false;
  }
  ++upstream_->requests;
  if (reused_) endpoint_->quiet_closes = 0;
  if (upstream_paused_) {
    upstream_paused_ = false;
    upstream_->stream().resume_reading();
  }
  --endpoint_->in_flight;
  if (reusable) {
    data_.pool().give_back(std::move(upstream_));
  } else {
    if (!request_complete_) upstream_->stream().mark_for_reset();
    data_.pool().discard(std::move(upstream_));
  }
  if (!request_complete_) ++data_.count.early_replies;
  finish(request_complete_ && caller_keep_alive_ && !close_after_);
}

void Exchange::on_upstream_eof() {
  upstream_eof_ = true;
  if (tunnel_) {
    tunnel_upstream_ended_ = true;
    session_->stream().shutdown_write();
    return;
  }
  if (!reply_bytes_seen_) {
    if (retry_after_failure(true)) return;
    ++endpoint_->failures;
    return reply_locally(LocalError::upstream_closed, std::string(endpoint_->text));
  }
  switch (reply_codec_->finish()) {
    case H1Codec::Step::end:
      return on_reply_end(true);
    case H1Codec::Step::need_more:  // between messages: only interim replies came
    default:
      break;
  }
  ++endpoint_->failures;
  on_reply_fault(LocalError::upstream_closed, "the reply was cut");
}

void Exchange::on_upstream_closed(const net::Error& error) {
  if (tunnel_) {
    Session& session = *session_;
    const bool clean = tunnel_caller_ended_ && tunnel_upstream_ended_;
    finish_tunnel();
    if (clean)
      session.exchange_ended(false);
    else
      session.abort();
    return;
  }
  if (!reply_bytes_seen_ && retry_after_failure(false)) return;
  ++endpoint_->failures;
  on_reply_fault(
      error.code == net::Code::reset ? LocalError::upstream_reset : LocalError::upstream_closed,
      error.detail);
}

void Exchange::on_reply_fault(LocalError error, std::string_view detail) {
  if (!reply_started_) {
    data_.reply_out.flush(session_->stream());  // interim replies
    return reply_locally(error, detail);
  }
  data_.reply_out.flush(session_->stream());
  ++data_.count.replies_cut;
  error_ = error;
  Session& session = *session_;
  drop_upstream();
  measure();
  recycle();
  session.abort();
}

// === attempts

bool Exchange::may_repeat() const noexcept {
  const MessageHead& head = request_codec_->head();
  return is_idempotent(head.method) || head.has(KnownHeader::idempotency_key);
}

bool Exchange::retry_after_failure(bool clean_end) {
  if (!replayable_ || reply_started_) return false;
  // A kept-alive connection that the service was just closing. Its FIN came before anything else:
  // the request was not worked on (docs/http.md).
  if (reused_ && !stale_retried_ && (clean_end || may_repeat())) {
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
  if (!data_.retry_budget.take(data_.loop().now_millis())) {
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
  if (!data_.retry_budget.take(data_.loop().now_millis())) {
    ++data_.count.retries_denied;
    return false;
  }
  ++data_.count.retries_status;
  drop_upstream();
  if (cluster_ == nullptr) reply_bytes_seen_ = false;
  start_attempt();
  return true;
}

void Exchange::drop_upstream() {
  data_.request_out.clear();
  // Destroyed here and not retired: a retired one could still call back in this turn, when this
  // exchange serves somebody else.
  resolver_.reset();
  if (connector_) {
    connector_.reset();
    --endpoint_->in_flight;
  } else if (upstream_) {
    upstream_->stream().mark_for_reset();  // a message that was not finished must not look finished
    data_.pool().discard(std::move(upstream_));
    --endpoint_->in_flight;
  }
  head_unsent_ = upstream_paused_ = false;
}

void Exchange::reply_locally(LocalError error, std::string_view detail) {
  const LocalErrorEntry& entry = local_error(error);
  ++data_.count.local_replies[static_cast<size_t>(error)];
  error_ = error;
  status_ = entry.status;
  const bool body_follows =
      head_seen_ && !request_complete_ && request_codec_->head().body != BodyKind::none;
  if (!head_seen_ || body_follows || !caller_keep_alive_ || data_.draining() ||
      session_->peer_sent_eof())
    close_after_ = true;
  const std::string text =
      format_local_reply({.error = error,
                          .detail = detail,
                          .x_trace = head_seen_ ? trace_.x_trace() : std::string_view{},
                          .head_only = is_head_,
                          .close = close_after_,
                          .say_keep_alive = caller_minor_0_ && !close_after_});
  drop_upstream();
  session_->stream().write(text);
  reply_started_ = reply_complete_ = true;
  deadline_.disarm();
  probe_.disarm();
  session_->resume(Session::connecting);
  session_->resume(Session::upstream_slow);
  // A request without a body is complete with the codec's next step; the session asks for it.
  if (!close_after_ && !request_complete_) return;
  finish(!close_after_);
}

// === half-close, tunnels, ends

void Exchange::on_downstream_eof() {
  if (tunnel_) {
    tunnel_caller_ended_ = true;
    if (upstream_) upstream_->stream().shutdown_write();
    return;
  }
  if (!reply_started_ && !caller_minor_0_) probe_.arm(kProbeAfter);
}

/// A caller that half-closed still reads; one that is gone answers an interim reply with a reset.
/// Nothing tells us of that but the next write, so there are two: the second one fails if nobody is
/// there, which ends the session and cancels the call.
void Exchange::probe_caller() {
  if (reply_started_) return;
  session_->stream().write("HTTP/1.1 100 Continue\r\n\r\n");
  if (!probed_) probe_.arm(kProbeAgain);
  probed_ = true;
}

void Exchange::on_downstream_gone() {
  if (head_seen_ && !measured_) {
    ++data_.count.client_disconnects;
    client_gone_ = true;
    if (!reply_started_) status_ = 0;
  }
  if (tunnel_) {
    finish_tunnel();
    return;
  }
  drop_upstream();
  measure();
  recycle();
}

void Exchange::on_tunnel_bytes(std::string_view bytes) {
  request_bytes_ += bytes.size();
  if (upstream_ == nullptr) return;
  upstream_->stream().write(bytes);
  pause_caller_if_upstream_full();
}

void Exchange::start_tunnel(std::string_view early) {
  data_.reply_out.add(early);
  data_.reply_out.flush(session_->stream());
  tunnel_ = true;
  ++data_.count.tunnels;
  ++data_.count.tunnels_open;
  deadline_.disarm();
  measure();
  const std::string stash = session_->take_stash();
  if (!stash.empty()) on_tunnel_bytes(stash);
  if (session_->peer_sent_eof()) on_downstream_eof();
  pause_upstream_if_caller_full();
}

void Exchange::finish_tunnel() {
  --data_.count.tunnels_open;
  if (upstream_) {
    if (!(tunnel_caller_ended_ && tunnel_upstream_ended_)) upstream_->stream().mark_for_reset();
    data_.pool().discard(std::move(upstream_));
    --endpoint_->in_flight;
  }
  recycle();
}

void Exchange::finish(bool keep_alive) {
  Session& session = *session_;
  const bool caller_closes = request_complete_ && !caller_keep_alive_;
  measure();
  recycle();
  session.exchange_ended(keep_alive, caller_closes);
}

void Exchange::measure() {
  if (measured_) return;
  measured_ = true;
  if (head_seen_ && data_.traces != nullptr && session_->direction() == Direction::inbound) {
    data_.traces->end(trace_.trace_id);
  }
  const Config& config = view_->snapshot->config;
  if (!config.telemetry && !config.access_log) return;
  if (!head_seen_) {
    if (config.access_log) write_access_log({}, net::monotonic_nanos() - start_nanos_);
    return;
  }
  const uint64_t duration = net::monotonic_nanos() - start_nanos_;
  const MessageHead& head = request_codec_->head();
  const Direction direction = session_->direction();
  const std::string_view path = net::target_path(head.target);
  const LocalErrorEntry& entry = local_error(error_);
  telemetry::SeriesKey key;
  if (route_ != nullptr && route_->name_id != 0) {
    key.route = route_->name_id;
  } else {
    const bool may_learn = status_ != 404 && entry.type != telemetry::ErrorType::protocol;
    key.route = data_.learner().route(
        direction == Direction::outbound ? host_of(head) : std::string_view{}, path, may_learn);
  }
  key.upstream = static_cast<uint16_t>(upstream_name_);
  key.status = status_;
  key.method = telemetry::method_of(head.method);
  key.direction = direction;
  key.tls = direction == Direction::inbound ? session_->stream().tls() != nullptr
                                            : endpoint_ != nullptr && endpoint_->tls != nullptr;
  key.error_type = client_gone_ ? telemetry::ErrorType::client_disconnect : entry.type;
  if (config.telemetry) {
    telemetry::Recorder& recorder = data_.recorder();
    recorder.add(key, duration);
    telemetry::SpanRecord span;
    span.trace_id = trace_.trace_id;
    span.span_id = trace_.span_id;
    span.parent_span_id = trace_.parent_span_id;
    span.start_unix_nanos = start_nanos_ + data_.unix_offset_nanos;
    span.duration_nanos = duration;
    span.key = key;
    span.request_bytes = static_cast<uint32_t>(std::min<uint64_t>(request_bytes_, UINT32_MAX));
    span.response_bytes = static_cast<uint32_t>(std::min<uint64_t>(reply_bytes_, UINT32_MAX));
    span.peer_identity = session_->peer_identity_id();
    if (direction == Direction::inbound)
      span.peer = session_->peer_name_id();
    else if (endpoint_ != nullptr)
      span.peer = endpoint_->name_id;
    const bool literal =
        trace_.x_trace_text.empty() || telemetry::is_literal_trace_text(trace_.x_trace_text);
    recorder.add_span(span, literal ? std::string_view{} : trace_.x_trace_text, path);
  }
  if (config.access_log) write_access_log(data_.recorder().names().name(key.route), duration);
}

void Exchange::write_access_log(std::string_view route, uint64_t duration_nanos) {
  AccessEntry entry;
  entry.outbound = session_->direction() == Direction::outbound;
  entry.start_unix_nanos = start_nanos_ + data_.unix_offset_nanos;
  entry.duration_nanos = duration_nanos;
  if (head_seen_) {
    const MessageHead& head = request_codec_->head();
    entry.method = head.method;
    entry.target = head.target;
    entry.host = head.get(KnownHeader::host);
    entry.x_trace = trace_.x_trace();
    entry.user_agent = head.get(KnownHeader::user_agent);
  }
  entry.route = route;
  entry.peer = session_->peer_ip();
  if (endpoint_ != nullptr) entry.endpoint = endpoint_->text;
  if (upstream_name_ != 0) entry.upstream = data_.recorder().names().name(upstream_name_);
  entry.status = status_;
  entry.flags = client_gone_ ? std::string_view("DC") : local_error(error_).flag;
  entry.error = local_error(error_).name;
  entry.attempts = attempts_;
  entry.request_bytes = request_bytes_;
  entry.reply_bytes = reply_bytes_;
  const auto between = [](uint64_t from, uint64_t to) {
    return from != 0 && to >= from ? static_cast<int64_t>(to - from) : int64_t{-1};
  };
  entry.head_nanos = between(start_nanos_, times_.head);
  entry.wait_nanos = between(times_.head, times_.chosen);
  entry.connect_nanos = between(times_.chosen, times_.connected);
  entry.reply_nanos = between(times_.connected, times_.reply);
  write_access_line(entry, data_.access_line);
}

void Exchange::recycle() {
  deadline_.disarm();
  probe_.disarm();
  data_.count.request_bytes += request_bytes_;
  data_.count.reply_bytes += reply_bytes_;
  request_codec_dirty_ = !(request_complete_ && request_codec_->head().keep_alive);
  if (!request_codec_dirty_) request_codec_->next_message();
  if (replay_.capacity() > kReplayBytes) replay_ = std::string();
  client_gone_ = false;
  data_.unpin(*view_);
  view_ = nullptr;
  session_ = nullptr;
  data_.recycle(*this);
}

}  // namespace hms::proxy
