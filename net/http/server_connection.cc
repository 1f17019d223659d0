// A caller's requests on their way in; what goes back to it is in server_connection_answer.cc.
#include "net/http/server_connection.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "net/core/check.h"
#include "net/core/log.h"
#include "net/http/reply_text.h"
#include "net/http/server_guard.h"
#include "net/http/server_reply.h"
#include "net/io/tls_stream.h"

namespace hms::net {
namespace {

constexpr size_t kMaxPendingBytes = 64 * 1024;
constexpr int kRequestsPerTurn = 64;  // one pipelining caller must not starve the loop
constexpr Millis kClosingTime{2'000};
constexpr Millis kProbeAfter{500};  // most callers that half-close have their answer by then
constexpr int kProbes = 2;
constexpr uint64_t kMaxDiscardedBytes = 1024 * 1024;
constexpr size_t kBodyReserve = 1024 * 1024;  // an announced length is believed up to here

}  // namespace

// === ServerConnection: life

ServerConnection::ServerConnection(ServerCore& core, std::unique_ptr<Stream> stream,
                                   bool on_loopback)
    : core_(core),
      stream_(std::move(stream)),
      codec_(H1Codec::Kind::request, HttpLimits()),
      place_(core.waiting.add(*this)),
      on_loopback_(on_loopback),
      phase_timer_(core.loop, [this] { on_phase_timeout(); }),
      write_timer_(core.loop, [this] { on_write_timeout(); }),
      continue_timer_(core.loop, [this] { run_pending(); }) {}

ServerConnection::~ServerConnection() {
  // Always retired after drop() or abandon(), perhaps after the server itself: core_ may be no
  // more.
  HMS_ENSURE(state_ == State::gone && reply_ == nullptr);
}

void ServerConnection::start() {
  stream_->set_handler(this);
  arm_for_reading();
  stream_->resume_reading();
}

void ServerConnection::drain() {
  close_after_ = true;
  if (state_ == State::handling && streaming_) {
    ServerReply* const reply = reply_;
    finish_stream();
    if (reply != nullptr) reply->caller_left();
  } else if (state_ == State::reading && codec_.at_message_start() && pending_.empty()) {
    if (stream_->queued_bytes() == 0) {
      drop();
    } else {
      begin_closing();
    }
  }
}

void ServerConnection::silence() {
  state_ = State::gone;
  phase_timer_.disarm();
  write_timer_.disarm();
  continue_timer_.disarm();
  forget_body();
  core_.counters.queued_reply_bytes -= std::exchange(queued_bytes_, 0);
  stream_->set_handler(nullptr);
}

void ServerConnection::abandon() {
  if (state_ == State::gone) return;
  silence();
  if (reply_ != nullptr) reply_->detach();
}

void ServerConnection::drop() {
  if (state_ == State::gone) return;
  silence();
  // Out of the map first: what the callbacks below do may look at the server.
  core_.waiting.remove(place_);
  if (refused_) --core_.refused_open;
  const auto place = core_.connections.find(this);
  if (place != core_.connections.end()) {
    core_.loop.retire(std::move(place->second));
    core_.connections.erase(place);
    core_.counters.connections_open = core_.connections.size();
  }
  const auto on_gone = core_.on_connection_gone;
  if (reply_ != nullptr) reply_->caller_left();
  if (on_gone) on_gone();
}

/// FIN after what is queued, then wait a little for the caller's own end.
void ServerConnection::begin_closing() {
  if (state_ == State::closing || state_ == State::gone) return;
  state_ = State::closing;
  wait_for(CallerWait::end);
  pending_ = std::string();
  forget_body();
  stream_->shutdown_write();
  watch_writes();  // what was held back for the turn's end may have found the socket full since
  phase_timer_.arm(kClosingTime);
  update_reading();
}

// === stream

void ServerConnection::on_bytes(std::string_view bytes) {
  switch (state_) {
    case State::gone:
      return;
    case State::closing:
      discarded_bytes_ += bytes.size();
      if (discarded_bytes_ > kMaxDiscardedBytes && stream_->queued_bytes() == 0) drop();
      return;
    case State::handling:
      pending_.append(bytes);
      update_reading();
      return;
    case State::reading:
      if (pending_.empty()) {
        run(bytes);
      } else {
        pending_.append(bytes);
        run_pending();
      }
      return;
  }
}

void ServerConnection::on_eof() {
  eof_ = true;
  close_after_ = true;
  switch (state_) {
    case State::reading:
      if (pending_.empty()) begin_closing();
      return;
    case State::handling:
      // Nobody half-closes an event stream: its reader left.
      if (streaming_) {
        drop();
      } else {
        phase_timer_.arm(kProbeAfter);
      }
      return;
    case State::closing:
    case State::gone:
      return;
  }
}

const std::string& ServerConnection::peer_name() {
  if (!peer_known_) {
    peer_known_ = true;
    TlsStream* const tls = stream_->tls();
    if (tls != nullptr) {
      TlsPeer peer = tls->peer_identity();
      if (peer.verified) peer_name_ = std::move(peer.name);
    }
  }
  return peer_name_;
}

void ServerConnection::on_writable() {
  account_queue();
  if (state_ == State::reading && !pending_.empty()) continue_timer_.arm(Millis{0});
}

void ServerConnection::on_closed(const Error& error) {
  if (error.code == Code::tls) {
    // Rare enough in a healthy mesh to be told, and bounded against a stranger who tries for long.
    const uint64_t count = ++core_.counters.tls_failures;
    if (count <= 10 || count % 1000 == 0)
      log_warn("a caller was refused by TLS", {{"error", error.detail}, {"count", count}});
  }
  drop();
}

void ServerConnection::update_reading() {
  if (state_ == State::gone) return;
  const bool want_pause =
      state_ != State::closing &&
      (pending_.size() >= kMaxPendingBytes || (state_ == State::reading && !pending_.empty()));
  if (want_pause == paused_) return;
  paused_ = want_pause;
  if (want_pause) {
    stream_->pause_reading();
  } else {
    stream_->resume_reading();
  }
}

// === reading requests

void ServerConnection::run_pending() {
  if (state_ != State::reading || running_) return;
  const std::string text = std::exchange(pending_, std::string());
  run(text);
}

void ServerConnection::run(std::string_view input) {
  running_ = true;
  int requests = 0;
  bool more = true;
  while (more && state_ == State::reading) {
    // Only between messages: a step that waits inside the codec would not be asked for again.
    const bool enough = requests == kRequestsPerTurn || stream_->above_high_watermark();
    if (enough && codec_.at_message_start()) break;
    const H1Codec::Step step = codec_.next(input);
    more = step != H1Codec::Step::need_more;
    if (step == H1Codec::Step::end) ++requests;
    if (more) take_step(step);
  }
  running_ = false;
  if (state_ == State::gone || state_ == State::closing) return;
  pending_.assign(input);
  if (state_ == State::reading) {
    if (!pending_.empty() && !stream_->above_high_watermark()) continue_timer_.arm(Millis{0});
    if (pending_.empty() && eof_) {
      begin_closing();
      return;
    }
    arm_for_reading();
  }
  update_reading();
}

/// Which clock runs: the head's from its first byte on, the body's since the last piece, else the
/// idle one. And what is waited for, should somebody have to make room.
void ServerConnection::arm_for_reading() {
  if (codec_.at_message_start()) {
    wait_for(!pending_.empty() ? CallerWait::nothing
             : had_request_    ? CallerWait::next_request
                               : CallerWait::head);
    timing_head_ = false;
    phase_timer_.arm(had_request_ ? core_.options.idle_timeout : core_.options.header_timeout);
  } else if (request_.method.empty()) {
    wait_for(CallerWait::head);
    if (!timing_head_) phase_timer_.arm(core_.options.header_timeout);
    timing_head_ = true;
  } else {
    core_.waiting.enter(place_, CallerWait::body,
                        core_.loop.now_millis());  // again with each piece
    phase_timer_.arm(core_.options.body_timeout);
  }
}

/// A caller that drips does not become younger by it.
void ServerConnection::wait_for(CallerWait wait) {
  if (WaitingCallers::wait_of(place_) != wait)
    core_.waiting.enter(place_, wait, core_.loop.now_millis());
}

/// A caller that half-closed still waits for its answer; one that is gone meets an interim reply
/// with a reset, which the stream or the next write tells us of. Then whoever works on the answer
/// is told (on_gone).
void ServerConnection::probe_caller() {
  if (!eof_ || streaming_ || old_version_ || probes_ == kProbes) return;
  ++probes_;
  phase_timer_.arm(kProbeAfter);
  stream_->write("HTTP/1.1 100 Continue\r\n\r\n");
}

void ServerConnection::on_phase_timeout() {
  switch (state_) {
    case State::gone:
      return;
    case State::handling:
      probe_caller();
      return;
    case State::closing:
      if (stream_->queued_bytes() == 0) {
        drop();
      } else {
        phase_timer_.arm(kClosingTime);  // write_timer_ ends a reader that takes nothing
      }
      return;
    case State::reading:
      break;
  }
  if (!pending_.empty()) return;  // waits for us, not for the caller
  if (codec_.at_message_start()) {
    if (!had_request_) ++core_.counters.timeouts;
    begin_closing();
    return;
  }
  ++core_.counters.timeouts;
  refuse_and_close({408, "timeout", "the request did not arrive in time", {}});
}

void ServerConnection::take_step(H1Codec::Step step) {
  switch (step) {
    case H1Codec::Step::head:
      on_head();
      return;
    case H1Codec::Step::body:
      on_body(codec_.body());
      return;
    case H1Codec::Step::end:
      on_request_complete();
      return;
    case H1Codec::Step::failed:
      ++core_.counters.bad_requests;
      refuse_and_close({codec_.fault().status,
                        "bad_data",
                        "the request breaks a rule of HTTP: " + std::string(codec_.fault().site),
                        {}});
      return;
    case H1Codec::Step::trailers:
    case H1Codec::Step::upgrade:
    case H1Codec::Step::need_more:
      return;
  }
}

void ServerConnection::on_head() {
  const MessageHead& head = codec_.head();
  ++core_.counters.requests;
  had_request_ = true;
  timing_head_ = false;
  request_ = Request();
  request_.method = head.method;
  request_.target = head.target;
  request_.headers.reserve(head.field_count);
  for (uint16_t i = 0; i < head.field_count; ++i) {
    request_.headers.emplace_back(head.name(head.fields[i]), head.value(head.fields[i]));
  }
  old_version_ = head.version_minor == 0;
  head_only_ = head.method == "HEAD";
  gzip_accepted_ = accepts_gzip(head.get(KnownHeader::accept_encoding));
  close_after_ = close_after_ || !head.keep_alive || core_.draining;
  handler_ = nullptr;

  if (auto refusal = refuse_by_head(head, core_, on_loopback_, request_, handler_)) {
    // With a body on its way the connection ends here: reading it only to throw it away serves
    // nobody.
    if (head.body != BodyKind::none)
      refuse_and_close(*refusal);
    else
      refusal_ = std::move(refusal);
    return;
  }
  if (head.body == BodyKind::length) {
    request_.body.reserve(std::min<size_t>(static_cast<size_t>(head.content_length), kBodyReserve));
  }
  if (head.expects_continue && head.body != BodyKind::none) {
    stream_->write("HTTP/1.1 100 Continue\r\n\r\n");
  }
}

void ServerConnection::on_body(std::string_view piece) {
  if (request_.body.size() + piece.size() > core_.options.max_body_bytes) {
    ++core_.counters.bodies_refused;
    refuse_and_close(body_too_large(core_.options));
    return;
  }
  if (core_.buffered_bytes + piece.size() > core_.options.max_buffered_bytes) {
    ++core_.counters.bodies_refused;
    refuse_and_close({503,
                      "unavailable",
                      "too many request bodies are on their way; try again",
                      {{"Retry-After", "1"}}});
    return;
  }
  core_.buffered_bytes += piece.size();
  accounted_bytes_ += piece.size();
  request_.body.append(piece);
}

void ServerConnection::forget_body() {
  core_.buffered_bytes -= accounted_bytes_;
  accounted_bytes_ = 0;
}

void ServerConnection::on_request_complete() {
  phase_timer_.disarm();
  state_ = State::handling;
  wait_for(CallerWait::nothing);
  if (eof_) phase_timer_.arm(kProbeAfter);
  if (!refusal_) refusal_ = decode_body(request_, core_);
  forget_body();
  if (refusal_) {
    refuse(*std::exchange(refusal_, std::nullopt));
    return;
  }
  dispatch();
}

void ServerConnection::dispatch() {
  request_.peer = stream_->peer().to_string();
  request_.peer_name = peer_name();
  const ReplyPtr reply = std::make_shared<ServerReply>(this);
  Request request = std::move(request_);
  request_ = Request();
  const RouteTable::HandlerPtr handler = std::move(handler_);
  // Handlers use libraries that throw; one bad request must not end the program.
  try {
    (*handler)(request, reply);
  } catch (const std::exception& thrown) {
    log_error("request handler failed",
              {{"method", request.method}, {"path", request.path}, {"error", thrown.what()}});
    send_error(*reply, 500, "internal", "the request could not be handled");
  }
}

void ServerConnection::refuse(const Refusal& refusal) {
  send_whole(refusal.status, "application/json", error_body(refusal.error_type, refusal.sentence),
             refusal.fields);
}

/// Answers now, although the request is not complete; nothing more is read as HTTP.
void ServerConnection::refuse_and_close(const Refusal& refusal) {
  close_after_ = true;
  state_ = State::handling;
  wait_for(CallerWait::nothing);
  forget_body();
  refuse(refusal);
}

void ServerConnection::refuse_connection() {
  refused_ = true;
  ++core_.refused_open;
  refuse_and_close({503, "unavailable", "too many connections are open", {{"Retry-After", "1"}}});
}

}  // namespace hms::net
