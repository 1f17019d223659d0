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
  start_nanos_ = net::monotonic_nanos();
  times_ = {};
  request_bytes_ = reply_bytes_ = attempt_nanos_ = thrown_away_ = 0;
  attempts_ = upstream_name_ = 0;
  status_ = 0;
  error_ = LocalError::none;
  head_seen_ = request_complete_ = chunked_request_ = caller_minor_0_ = is_head_ = wants_tunnel_ =
      false;
  caller_keep_alive_ = replayable_ = true;
  head_unsent_ = tail_sent_ = stale_retried_ = reused_ = upstream_eof_ = reply_bytes_seen_ = false;
  reply_started_ = reply_complete_ = reply_chunked_ = close_after_ = upstream_paused_ = false;
  probed_ = false;
  measured_ = false;
  replay_.clear();
}

// === a reply of our own

void Exchange::reply_locally(LocalError error, std::string_view detail) {
  const LocalErrorEntry& entry = local_error(error);
  ++data_.count.local_replies[static_cast<size_t>(error)];
  error_ = error;
  status_ = entry.status;
  const bool body_follows =
      head_seen_ && !request_complete_ && request_codec_->head().body != BodyKind::none;
  if (!head_seen_ || body_follows || !caller_keep_alive_ || data_.draining() ||
      session_->asks_no_more())
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

// === the caller half-closes or leaves

void Exchange::on_downstream_eof() {
  if (reply_started_) return;
  // An HTTP/1.0 caller knows no interim replies, and one that leaves later is past the probes.
  session_->stream().watch_peer();
  if (!caller_minor_0_) probe_.arm(kProbeAfter);
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
    client_gone_ = !reply_complete_;  // a caller may stop an upload that has its answer
    if (!reply_started_) status_ = 0;
  }
  drop_upstream();
  measure();
  recycle();
}

// === the end

void Exchange::finish(bool keep_alive) {
  Session& session = *session_;
  const bool caller_closes = request_complete_ && !caller_keep_alive_;
  measure();
  recycle();
  session.exchange_ended(keep_alive, caller_closes);
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
