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
  if (reply_complete()) return lose_upload();  // a second answer: whose would it be?
  advance(from_service_, FromService::talking);
  read_replies(bytes);
}

void Exchange::read_replies(std::string_view& input) {
  const bool had_begun = reply_begun();
  while (true) {
    switch (reply_codec_->next(input)) {
      case H1Codec::Step::need_more:
        data_.reply_out.flush(session_->stream());
        pause_upstream_if_caller_full();
        // A head that came alone: many servers write the body as a second small piece, which waits
        // for our acknowledgement.
        if (!had_begun && reply_begun() && reply_.bytes == 0) upstream_->stream().acknowledge_now();
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
        on_reply_end(input.empty() ? Behind::nothing : Behind::bytes);
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
    if (!request_.wants_tunnel) {
      on_reply_fault(LocalError::upstream_protocol, "unasked_upgrade");
      return false;
    }
    outcome_.status = 101;
    advance(to_caller_, ToCaller::begun);
    added_.clear();
    add_reply_head(head, {.x_trace = trace_.x_trace(), .upgrade = true}, added_, data_.reply_out);
    return true;
  }
  if (head.status < 200) {
    if (!request_.http_1_0) forward_interim_head();
    return true;
  }
  if (attempt_.asked_nanos != 0) {
    const uint64_t now = net::monotonic_nanos();
    times_.reply = now;
    endpoint_->latency.observe(now - attempt_.asked_nanos, data_.loop().now_millis());
  }
  if (head.status >= 500)
    blame_endpoint();
  else
    note_success(*endpoint_);
  if (retry_on_status(head.status)) return false;
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
  outcome_.status = head.status;
  advance(to_caller_, ToCaller::begun);
  probe_.disarm();
  ReplyEdit edit;
  edit.x_trace = trace_.x_trace();
  edit.strip_own_error = session_->direction() == Direction::inbound && !tells_of_a_loop(head);
  if (head.body == BodyKind::chunked || head.body == BodyKind::until_close) {
    edit.framing = request_.http_1_0 ? ReplyFraming::until_close : ReplyFraming::chunked;
    reply_.chunked = !request_.http_1_0;
    if (request_.http_1_0) reply_.closes = true;
  }
  // A final answer instead of 100: will the body come, or the next request in its place?
  if (!request_complete() && request_.bytes == 0 && request_codec_->head().has(KnownHeader::expect))
    reply_.closes = true;
  if (!request_.keep_alive || data_.draining() || session_->asks_no_more()) reply_.closes = true;
  edit.close = reply_.closes;
  edit.say_keep_alive = request_.http_1_0 && !reply_.closes;
  added_.clear();
  add_reply_head(head, edit, added_, data_.reply_out);
}

void Exchange::send_reply_piece(std::string_view piece) {
  Gather& out = data_.reply_out;
  reply_.bytes += piece.size();
  if (reply_.chunked) {
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
  if (reply_.paused || upstream_ == nullptr || !caller.above_high_watermark()) return;
  reply_.paused = true;
  upstream_->stream().pause_reading();
  ++data_.count.pauses_upstream;
}

void Exchange::on_downstream_writable() {
  if (!reply_.paused || upstream_ == nullptr) return;
  reply_.paused = false;
  upstream_->stream().resume_reading();
}

void Exchange::on_reply_end(Behind behind) {
  Gather& out = data_.reply_out;
  if (reply_.chunked) {
    out.add("0\r\n");
    out.add(reply_codec_->trailers());
    out.add("\r\n");
  }
  out.flush(session_->stream());
  const bool keep_alive = reply_codec_->head().keep_alive;
  advance(to_caller_, ToCaller::complete);
  advance(from_service_,
          keep_alive && behind == Behind::nothing ? FromService::complete : FromService::spent);
  if (keep_alive) {
    reply_codec_->next_message();
    reply_codec_dirty_ = false;
  }
  ++upstream_->requests;
  if (attempt_.reused) endpoint_->quiet_closes = 0;
  if (reply_.paused) {
    reply_.paused = false;
    upstream_->stream().resume_reading();
  }
  if (request_complete()) {
    release_upstream();
    return finish(!reply_.closes);
  }
  ++data_.count.early_replies;
  if (reply_.closes) {
    drop_upstream();
    return finish(false);
  }
  if (behind == Behind::bytes) lose_upload();
  // The rest of the upload goes on to the service, which may be reading it (docs/http.md).
}

/// The reply is complete and so is the request.
void Exchange::release_upstream() {
  in_flight_.release();
  advance(to_service_, ToService::nowhere);
  if (from_service_ == FromService::complete) {
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
  if (reply_complete()) {  // it may still read; if not, the next write tells
    advance(from_service_, FromService::spent);
    return;
  }
  if (from_service_ == FromService::silent) {
    if (retry_after_failure(true)) return;
    blame_endpoint();
    return reply_locally(LocalError::upstream_closed, std::string(endpoint_->text));
  }
  switch (reply_codec_->finish()) {
    case H1Codec::Step::end:
      return on_reply_end(Behind::fin);
    case H1Codec::Step::need_more:  // between messages: only interim replies came
    default:
      break;
  }
  blame_endpoint();
  on_reply_fault(LocalError::upstream_closed, "the reply was cut");
}

void Exchange::on_upstream_closed(const net::Error& error) {
  if (reply_complete()) return lose_upload();
  if (from_service_ == FromService::silent && retry_after_failure(error.code == net::Code::closed))
    return;
  blame_endpoint();
  on_reply_fault(
      error.code == net::Code::reset ? LocalError::upstream_reset : LocalError::upstream_closed,
      error.detail);
}

void Exchange::on_reply_fault(LocalError error, std::string_view detail) {
  if (reply_complete()) {  // only the upload is at fault
    outcome_.error = error;
    drop_upstream();
    return finish(false);
  }
  if (!reply_begun()) {
    data_.reply_out.flush(session_->stream());  // interim replies
    return reply_locally(error, detail);
  }
  data_.reply_out.flush(session_->stream());
  ++data_.count.replies_cut;
  outcome_.error = error;
  Session& session = *session_;
  drop_upstream();
  measure();
  recycle();
  session.abort();
}

}  // namespace hms::proxy
