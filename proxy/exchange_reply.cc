// The service's side of an exchange: interim replies, the reply, its end or its fault.
#include "proxy/exchange.h"

#include "net/core/clock.h"
#include "proxy/cluster/outlier.h"
#include "proxy/data_path.h"
#include "proxy/session.h"

namespace hms::proxy {

using net::BodyKind;
using net::H1Codec;
using net::KnownHeader;
using net::MessageHead;
using telemetry::Direction;

namespace {

/// A circle of several proxies ends in the one that meets its own name; the caller is at another.
bool tells_of_a_loop(const MessageHead& head) noexcept {
  return head.status == 508 &&
         head.get(KnownHeader::x_hms_error) == local_error(LocalError::loop_detected).name;
}

}  // namespace

void Exchange::on_upstream_bytes(std::string_view bytes) {
  if (reply_complete_) return lose_upload();  // a second answer: whose would it be?
  reply_bytes_seen_ = true;
  read_replies(bytes);
}

void Exchange::read_replies(std::string_view& input) {
  const bool had_begun = reply_started_;
  while (true) {
    switch (reply_codec_->next(input)) {
      case H1Codec::Step::need_more:
        data_.reply_out.flush(session_->stream());
        pause_upstream_if_caller_full();
        // A head that came alone: many servers write the body as a second small piece, which waits
        // for our acknowledgement.
        if (!had_begun && reply_started_ && reply_bytes_ == 0)
          upstream_->stream().acknowledge_now();
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
  if (session_->teaches()) session_->note_http_reply();
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
  if (head.status >= 500)
    note_failure();
  else
    note_success(*endpoint_);
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
  ReplyEdit edit;
  edit.framing = ReplyFraming::until_close;  // no Content-Length: no body follows (RFC 9110 8.6)
  add_reply_head(reply_codec_->head(), edit, added_, data_.reply_out);
}

void Exchange::forward_reply_head() {
  const MessageHead& head = reply_codec_->head();
  status_ = head.status;
  reply_started_ = true;
  probe_.disarm();
  ReplyEdit edit;
  edit.x_trace = trace_.x_trace();
  edit.strip_own_error = session_->direction() == Direction::inbound && !tells_of_a_loop(head);
  if (head.body == BodyKind::chunked || head.body == BodyKind::until_close) {
    edit.framing = caller_minor_0_ ? ReplyFraming::until_close : ReplyFraming::chunked;
    reply_chunked_ = !caller_minor_0_;
    if (caller_minor_0_) close_after_ = true;
  }
  // A final answer instead of 100: will the body come, or the next request in its place?
  if (!request_complete_ && request_bytes_ == 0 && request_codec_->head().has(KnownHeader::expect))
    close_after_ = true;
  if (!caller_keep_alive_ || data_.draining() || session_->asks_no_more()) close_after_ = true;
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
  if (caller.queued_bytes() > 0) session_->expect_reader();
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
  upstream_reusable_ = nothing_left && reply_codec_->head().keep_alive;
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
  if (request_complete_) {
    release_upstream(false);
    return finish(caller_keep_alive_ && !close_after_);
  }
  ++data_.count.early_replies;
  if (close_after_) {
    drop_upstream();
    return finish(false);
  }
  if (!nothing_left) lose_upload();
  // The rest of the upload goes on to the service, which may be reading it (docs/http.md).
}

/// The reply is complete and so is the request. After an early answer the connection is not used
/// again: a service that did not read the body may yet take it for a request of its own, and its
/// answer would be the next caller's.
void Exchange::release_upstream(bool early) {
  in_flight_.release();
  if (upstream_reusable_ && !upstream_eof_ && !early) {
    data_.pool().give_back(std::move(upstream_));
    return;
  }
  if (upstream_->stream().queued_bytes() > 0) upstream_->stream().mark_for_reset();
  data_.pool().discard(std::move(upstream_));
}

/// The service answered early and takes no more of the upload: what still comes of it is thrown
/// away, so that the caller may keep its connection.
void Exchange::lose_upload() {
  drop_upstream();
  session_->resume(Session::upstream_slow);
}

void Exchange::on_upstream_eof() {
  upstream_eof_ = true;
  if (reply_complete_) return;  // it may still read; if not, the next write tells
  if (!reply_bytes_seen_) {
    if (retry_after_failure(true)) return;
    note_failure();
    return reply_locally(LocalError::upstream_closed, std::string(endpoint_->text));
  }
  switch (reply_codec_->finish()) {
    case H1Codec::Step::end:
      return on_reply_end(true);
    case H1Codec::Step::need_more:  // between messages: only interim replies came
    default:
      break;
  }
  note_failure();
  on_reply_fault(LocalError::upstream_closed, "the reply was cut");
}

void Exchange::on_upstream_closed(const net::Error& error) {
  if (reply_complete_) return lose_upload();
  if (!reply_bytes_seen_ && retry_after_failure(error.code == net::Code::closed)) return;
  note_failure();
  on_reply_fault(
      error.code == net::Code::reset ? LocalError::upstream_reset : LocalError::upstream_closed,
      error.detail);
}

void Exchange::on_reply_fault(LocalError error, std::string_view detail) {
  if (reply_complete_) {  // only the upload is at fault
    error_ = error;
    drop_upstream();
    return finish(false);
  }
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

}  // namespace hms::proxy
