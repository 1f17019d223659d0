// An exchange from its start to its end; what happens in between is in exchange_request.cc (the
// caller's side), exchange_attempt.cc (which service, which connection, once more or not),
// exchange_reply.cc (the service's side), exchange_tunnel.cc and exchange_measure.cc.
#include "proxy/exchange.h"

#include "net/core/clock.h"
#include "proxy/data_path.h"
#include "proxy/session.h"

namespace hms::proxy {

using net::BodyKind;
using net::H1Codec;

namespace {

constexpr net::Millis kProbeAfter{500};  // most half-closing callers have their reply by then
constexpr net::Millis kProbeAgain{100};
constexpr uint8_t kProbes = 2;

}  // namespace

Exchange::Exchange(DataPath& data, const net::HttpLimits& limits)
    : data_(data),
      request_codec_(std::make_unique<H1Codec>(H1Codec::Kind::request, limits)),
      reply_codec_(std::make_unique<H1Codec>(H1Codec::Kind::response, limits)),
      deadline_(data.loop(),
                [this] {
                  if (reply_begun())
                    on_reply_fault(LocalError::timeout, {});
                  else
                    reply_locally(LocalError::timeout,
                                  endpoint_ != nullptr ? endpoint_->text : std::string());
                }),
      probe_(data.loop(), [this] { probe_caller(); }) {}

Exchange::~Exchange() = default;

void Exchange::freshen(const net::HttpLimits& limits) {
  if (request_codec_dirty_) request_codec_->start_over(limits);
  request_codec_dirty_ = false;
}

void Exchange::begin(Session& session) {
  session_ = &session;
  view_ = data_.view();
  ++view_->pins;
  route_ = nullptr;
  cluster_ = nullptr;
  endpoint_ = nullptr;
  times_ = {.start = net::monotonic_nanos()};
  request_ = {};
  reply_ = {};
  attempt_ = {};
  outcome_ = {};
  kept_.start_over();
  from_caller_ = FromCaller::head;
  to_service_ = ToService::nowhere;
  from_service_ = FromService::silent;
  to_caller_ = ToCaller::nothing;
  probes_sent_ = 0;
}

// === a reply of our own

void Exchange::reply_locally(LocalError error, std::string_view detail) {
  const LocalErrorEntry& entry = local_error(error);
  ++data_.count.local_replies[static_cast<size_t>(error)];
  outcome_.error = error;
  outcome_.status = entry.status;
  const bool body_follows =
      head_seen() && !request_complete() && request_codec_->head().body != BodyKind::none;
  if (!head_seen() || body_follows || !request_.keep_alive || data_.draining() ||
      session_->asks_no_more())
    reply_.closes = true;
  const std::string text =
      format_local_reply({.error = error,
                          .detail = detail,
                          .x_trace = head_seen() ? trace_.x_trace() : std::string_view{},
                          .head_only = request_.is_head,
                          .close = reply_.closes,
                          .say_keep_alive = request_.http_1_0 && !reply_.closes});
  drop_upstream();
  session_->stream().write(text);
  advance(to_caller_, ToCaller::complete);
  deadline_.disarm();
  probe_.disarm();
  session_->resume(Session::connecting);
  session_->resume(Session::upstream_slow);
  // A request without a body is complete with the codec's next step; the session asks for it.
  if (!reply_.closes && !request_complete()) return;
  finish(!reply_.closes);
}

// === the caller half-closes or leaves

void Exchange::on_downstream_eof() {
  if (reply_begun()) return;
  // An HTTP/1.0 caller knows no interim replies, and one that leaves later is past the probes.
  session_->stream().watch_peer();
  if (!request_.http_1_0) probe_.arm(kProbeAfter);
}

/// A caller that half-closed still reads; one that is gone answers an interim reply with a reset.
/// Nothing tells us of that but the next write, so there are two: the second one fails if nobody is
/// there, which ends the session and cancels the call.
void Exchange::probe_caller() {
  if (reply_begun()) return;
  session_->stream().write("HTTP/1.1 100 Continue\r\n\r\n");
  if (++probes_sent_ < kProbes) probe_.arm(kProbeAgain);
}

void Exchange::on_downstream_gone() {
  if (head_seen()) {
    ++data_.count.client_disconnects;
    outcome_.caller_left = !reply_complete();  // a caller may stop an upload that has its answer
    if (!reply_begun()) outcome_.status = 0;
  }
  drop_upstream();
  measure();
  recycle();
}

// === the end

void Exchange::finish(bool keep_alive) {
  Session& session = *session_;
  const bool caller_closes = request_complete() && !request_.keep_alive;
  measure();
  recycle();
  session.exchange_ended(keep_alive, caller_closes);
}

void Exchange::recycle() {
  deadline_.disarm();
  probe_.disarm();
  data_.count.request_bytes += request_.bytes;
  data_.count.reply_bytes += reply_.bytes;
  const bool ended_well = request_complete() && request_codec_->head().keep_alive;
  request_codec_dirty_ = limits_changed_ || !ended_well;
  reply_codec_dirty_ = reply_codec_dirty_ || limits_changed_;
  limits_changed_ = false;
  if (!request_codec_dirty_) request_codec_->next_message();
  if (kept_.bytes.capacity() > kReplayBytes) kept_.bytes = std::string();
  data_.unpin(*view_);
  view_ = nullptr;
  session_ = nullptr;
  data_.recycle(*this);
}

}  // namespace hms::proxy
