// The caller's side of an exchange: its head and body, read, edited and sent on.
#include "proxy/exchange.h"

#include "net/core/clock.h"
#include "net/http/characters.h"
#include "proxy/data_path.h"
#include "proxy/router.h"
#include "proxy/session.h"

namespace hms::proxy {

using net::BodyKind;
using net::KnownHeader;
using net::MessageHead;
using telemetry::Direction;

namespace {

/// "https://..." in absolute form: a caller that takes us for a gateway into TLS. Sent on as it
/// is, in clear, its secrets would travel readable.
bool wants_tls(std::string_view target) noexcept {
  return target.size() > 8 && net::equals_ignoring_case(target.substr(0, 8), "https://");
}

}  // namespace

void Exchange::on_request_head() {
  advance(from_caller_, FromCaller::body);
  request_codec_->keep_head();
  const MessageHead& head = request_codec_->head();
  ++data_.count.requests[static_cast<size_t>(session_->direction())];
  if (view_->snapshot->config.access_log) times_.head = net::monotonic_nanos();
  request_.http_1_0 = head.version_minor == 0;
  request_.keep_alive = head.keep_alive;
  request_.chunked = head.body == BodyKind::chunked;
  request_.is_head = head.method == "HEAD";
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
    reply_.closes = true;  // what follows is not HTTP
    return reply_locally(LocalError::not_implemented, "CONNECT");
  }
  if (wants_tls(head.target) && session_->stream().tls() == nullptr) {
    reply_.closes = true;
    return reply_locally(LocalError::not_implemented, "https in a request that came in clear");
  }
  if (head.has(KnownHeader::via) && via_names(head, data_.via_name(session_->direction()))) {
    return reply_locally(LocalError::loop_detected, data_.via_name(session_->direction()));
  }
  if (hops_left(head) == 0) return reply_locally(LocalError::not_implemented, "Max-Forwards: 0");
  request_.wants_tunnel = head.upgrade && head.body == BodyKind::none &&
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

// === to the service

/// Head, and what was kept of the body, into the gather.
void Exchange::emit_head() {
  advance(to_service_, ToService::body);
  const MessageHead& head = request_codec_->head();
  RequestEdit edit;
  edit.trace = &trace_;
  edit.outbound = session_->direction() == Direction::outbound;
  edit.tls = session_->stream().tls() != nullptr;
  edit.trust_forwarded = view_->snapshot->config.trust_forwarded;
  edit.keep_upgrade = request_.wants_tunnel;
  edit.peer_ip = session_->peer_ip();
  edit.via_line = data_.via_line(session_->direction());
  edit.authority = authority_of(head.target);
  if (edit.authority.empty() && !head.has(KnownHeader::host))
    edit.authority = endpoint_->text;  // HTTP/1.0 without Host
  added_.clear();
  add_request_head(head, edit, added_, data_.request_out);
  if (!kept_.bytes.empty()) {
    emit_body(kept_.bytes);
    data_.request_out.flush(upstream_->stream());  // kept_.bytes may move
  }
  if (request_complete()) emit_tail();
}

void Exchange::emit_body(std::string_view piece) {
  Gather& out = data_.request_out;
  if (request_.chunked) {
    out.add_chunk_size(piece.size());
    out.add(piece);
    out.add("\r\n");
  } else {
    out.add(piece);
  }
}

void Exchange::emit_tail() {
  advance(to_service_, ToService::complete);
  if (!request_.chunked) return;
  data_.request_out.add("0\r\n");
  data_.request_out.add(request_codec_->trailers());
  data_.request_out.add("\r\n");
}

// === body and end

void Exchange::on_request_body(std::string_view piece) {
  request_.bytes += piece.size();
  if (piece.empty()) return;
  if (reply_complete() && upstream_ == nullptr) return throw_away(piece.size());
  if (upstream_ == nullptr) {
    kept_.bytes.append(piece);  // bounded: the session pauses while we connect
    return;
  }
  if (to_service_ == ToService::head_waits) emit_head();
  emit_body(piece);
  const bool worth_keeping =
      kept_.whole && !reply_begun() &&
      (attempt_.reused || (route_ != nullptr && route_->plan->config.retries.attempts > 0));
  if (worth_keeping && kept_.bytes.size() + piece.size() <= kReplayBytes) {
    kept_.bytes.append(piece);
  } else if (kept_.whole) {
    kept_.let_go();
  }
  if (!data_.request_out.roomy()) flush_request();
}

/// Of an upload that was answered early and that the service does not read.
void Exchange::throw_away(size_t bytes) {
  request_.thrown_away += bytes;
  if (request_.thrown_away > kThrownAwayBytes) finish(false);
}

void Exchange::on_request_end() {
  advance(from_caller_, FromCaller::complete);
  if (upstream_ != nullptr) {
    if (to_service_ == ToService::head_waits)
      emit_head();
    else
      emit_tail();
    flush_request();
  }
  if (!reply_complete()) return;
  // Answered early.
  if (upstream_ != nullptr) {
    advance(from_service_, FromService::spent);
    release_upstream();
  }
  finish(!reply_.closes);
}

void Exchange::flush_request() {
  if (upstream_ == nullptr) return;
  if (to_service_ == ToService::head_waits) emit_head();
  data_.request_out.flush(upstream_->stream());
  pause_caller_if_upstream_full();
}

void Exchange::pause_caller_if_upstream_full() {
  if (request_complete() || !upstream_->stream().above_high_watermark()) return;
  session_->pause(Session::upstream_slow);
  ++data_.count.pauses_downstream;
}

void Exchange::on_upstream_writable() { session_->resume(Session::upstream_slow); }

void Exchange::fail_request(LocalError error, std::string_view detail) {
  if (reply_begun()) {
    on_reply_fault(error, detail);
    return;
  }
  reply_.closes = true;
  reply_locally(error, detail);
}

}  // namespace hms::proxy
