#include "net/http/server_connection.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <exception>
#include <utility>

#include "net/core/check.h"
#include "net/core/log.h"
#include "net/http/characters.h"
#include "net/http/compress.h"
#include "net/http/reply_text.h"
#include "net/io/tls_stream.h"

namespace hms::net {
namespace {

constexpr size_t kMaxPendingBytes = 64 * 1024;
constexpr int kRequestsPerTurn = 64;  // one pipelining caller must not starve the loop
constexpr size_t kCompressFrom = 1024;
constexpr size_t kAlwaysQueued = 64 * 1024;  // errors and small answers are never refused
constexpr Millis kClosingTime{2'000};
constexpr uint64_t kMaxDiscardedBytes = 1024 * 1024;
constexpr size_t kBodyReserve = 1024 * 1024;  // an announced length is believed up to here

enum class BodyCoding : uint8_t { identity, gzip, zstd, unknown };

BodyCoding body_coding(std::string_view value) {
  if (value.empty() || equals_ignoring_case(value, "identity")) return BodyCoding::identity;
  if (equals_ignoring_case(value, "gzip") || equals_ignoring_case(value, "x-gzip")) {
    return BodyCoding::gzip;
  }
  return equals_ignoring_case(value, "zstd") ? BodyCoding::zstd : BodyCoding::unknown;
}

}  // namespace

// === ServerReply

class ServerReply final : public Reply {
 public:
  explicit ServerReply(ServerConnection* connection) : connection_(connection) {
    connection_->reply_ = this;
  }
  ~ServerReply() override {
    if (connection_ != nullptr) detach()->reply_abandoned(started_);
  }

  void send(int status, std::string_view content_type, std::string body, Headers extra) override {
    if (connection_ == nullptr || started_) return;
    detach()->send_whole(status, content_type, std::move(body), extra);
  }
  void start(int status, std::string_view content_type, Headers extra) override {
    if (connection_ == nullptr || started_) return;
    started_ = true;
    connection_->start_stream(status, content_type, extra);
  }
  bool write(std::string_view piece) override {
    return connection_ != nullptr && started_ && connection_->write_piece(piece);
  }
  void finish() override {
    if (connection_ == nullptr || !started_) return;
    detach()->finish_stream();
  }
  bool gone() const noexcept override { return gone_; }
  size_t queued_bytes() const noexcept override {
    return connection_ == nullptr ? 0 : connection_->stream_->queued_bytes();
  }
  bool accepts_gzip() const noexcept override {
    return connection_ != nullptr && connection_->gzip_accepted_;
  }
  void on_gone(std::function<void()> callback) override { on_gone_ = std::move(callback); }

  /// The connection is lost before the answer was complete.
  void caller_left() {
    detach();
    gone_ = true;
    if (auto callback = std::exchange(on_gone_, nullptr)) callback();
  }
  ServerConnection* detach() noexcept {
    connection_->reply_ = nullptr;
    return std::exchange(connection_, nullptr);
  }

 private:
  ServerConnection* connection_;  // null once answered or gone
  std::function<void()> on_gone_;
  bool started_ = false;
  bool gone_ = false;
};

// === ServerConnection: life

ServerConnection::ServerConnection(ServerCore& core, std::unique_ptr<Stream> stream,
                                   bool on_loopback)
    : core_(core),
      stream_(std::move(stream)),
      codec_(H1Codec::Kind::request, HttpLimits()),
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
  pending_ = std::string();
  forget_body();
  stream_->shutdown_write();
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
      if (streaming_) drop();
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
/// idle one.
void ServerConnection::arm_for_reading() {
  if (codec_.at_message_start()) {
    timing_head_ = false;
    phase_timer_.arm(had_request_ ? core_.options.idle_timeout : core_.options.header_timeout);
  } else if (request_.method.empty()) {
    if (!timing_head_) phase_timer_.arm(core_.options.header_timeout);
    timing_head_ = true;
  } else {
    phase_timer_.arm(core_.options.body_timeout);
  }
}

void ServerConnection::on_phase_timeout() {
  switch (state_) {
    case State::gone:
    case State::handling:
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
  refuse_and_close(408, "timeout", "the request did not arrive in time");
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
      refuse_and_close(codec_.fault().status, "bad_data",
                       "the request breaks a rule of HTTP: " + std::string(codec_.fault().site));
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

  if (refuse_by_head(head)) {
    // With a body on its way the connection ends here: reading it only to throw it away serves
    // nobody.
    if (head.body != BodyKind::none) {
      refuse_and_close(refused_status_, refused_type_, refused_sentence_, refused_fields_);
    }
    return;
  }
  if (head.body == BodyKind::length) {
    request_.body.reserve(std::min<size_t>(static_cast<size_t>(head.content_length), kBodyReserve));
  }
  if (head.expects_continue && head.body != BodyKind::none) {
    stream_->write("HTTP/1.1 100 Continue\r\n\r\n");
  }
}

/// Everything that can be known before the body. True: refused_* say why not.
bool ServerConnection::refuse_by_head(const MessageHead& head) {
  const auto reject = [this](int status, std::string_view type, std::string sentence,
                             Headers extra = {}) {
    refused_status_ = status;
    refused_type_ = type;
    refused_sentence_ = std::move(sentence);
    refused_fields_ = std::move(extra);
    return true;
  };
  if (auto why = foreign_page(head, core_.options.browsers, on_loopback_)) {
    ++core_.counters.foreign_refused;
    return reject(403, "forbidden", std::move(*why));
  }
  const std::string_view raw_path = target_path(head.target);
  auto path = percent_decode(raw_path);
  if (!path) return reject(400, "bad_data", "path: " + path.error().detail);
  request_.path = std::move(path).value();
  auto query = parse_query(target_query(head.target));
  if (!query) return reject(400, "bad_data", "query: " + query.error().detail);
  request_.query = std::move(query).value();

  auto match = core_.routes.find(head.method, raw_path);
  if (!match) return reject(400, "bad_data", "path: " + match.error().detail);
  if (match->handler == nullptr) {
    if (match->allow.empty()) return reject(404, "not_found", "no such path: " + request_.path);
    return reject(405, "bad_data",
                  "method " + request_.method + " is not allowed here, expected " + match->allow,
                  {{"Allow", match->allow}});
  }
  handler_ = match->handler;
  request_.path_parameters = std::move(match->parameters);

  if (head.has(KnownHeader::expect) && !head.expects_continue && !old_version_) {
    return reject(417, "bad_data", "only Expect: 100-continue is understood");
  }
  if (head.body == BodyKind::none) return false;
  if (head.body == BodyKind::length && head.content_length > core_.options.max_body_bytes) {
    ++core_.counters.bodies_refused;
    return reject(
        413, "bad_data",
        "the body is larger than " + std::to_string(core_.options.max_body_bytes) + " bytes");
  }
  if (core_.options.decode_bodies &&
      body_coding(head.get(KnownHeader::content_encoding)) == BodyCoding::unknown) {
    ++core_.counters.bodies_refused;
    return reject(415, "bad_data", "Content-Encoding is not one of gzip, zstd, identity",
                  {{"Accept-Encoding", "gzip, zstd"}});
  }
  return false;
}

void ServerConnection::on_body(std::string_view piece) {
  if (request_.body.size() + piece.size() > core_.options.max_body_bytes) {
    ++core_.counters.bodies_refused;
    refuse_and_close(
        413, "bad_data",
        "the body is larger than " + std::to_string(core_.options.max_body_bytes) + " bytes");
    return;
  }
  if (core_.buffered_bytes + piece.size() > core_.options.max_buffered_bytes) {
    ++core_.counters.bodies_refused;
    refuse_and_close(503, "unavailable", "too many request bodies are on their way; try again",
                     {{"Retry-After", "1"}});
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
  if (refused_status_ != 0) {
    refuse(refused_status_, refused_type_, refused_sentence_, refused_fields_);
    return;
  }
  if (!decode_body()) return;
  forget_body();
  dispatch();
}

bool ServerConnection::decode_body() {
  if (!core_.options.decode_bodies || request_.body.empty()) return true;
  const BodyCoding coding = body_coding(request_.header("content-encoding"));
  if (coding != BodyCoding::gzip && coding != BodyCoding::zstd) return true;
  auto decoded = coding == BodyCoding::gzip
                     ? gzip_decode(request_.body, core_.options.max_body_bytes)
                     : zstd_decode(request_.body, core_.options.max_body_bytes);
  forget_body();
  if (decoded) {
    request_.body = std::move(decoded).value();
    return true;
  }
  ++core_.counters.bodies_refused;
  refuse(decoded.error().code == Code::too_large ? 413 : 400, "bad_data", decoded.error().detail);
  return false;
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

void ServerConnection::refuse(int status, std::string_view error_type, std::string_view sentence,
                              Headers extra) {
  send_whole(status, "application/json", error_body(error_type, sentence), extra);
}

/// Answers now, although the request is not complete; nothing more is read as HTTP.
void ServerConnection::refuse_and_close(int status, std::string_view error_type,
                                        std::string_view sentence, Headers extra) {
  close_after_ = true;
  state_ = State::handling;
  forget_body();
  refuse(status, error_type, sentence, std::move(extra));
}

void ServerConnection::refuse_connection() {
  refuse_and_close(503, "unavailable", "too many connections are open", {{"Retry-After", "1"}});
}

// === writing answers

void ServerConnection::append_common_fields(std::string& out, std::string_view content_type,
                                            const Headers& extra) {
  append_field(out, "Date", date_text());
  if (!content_type.empty()) append_field(out, "Content-Type", content_type);
  append_extra_fields(out, extra);
  if (close_after_) {
    out.append("Connection: close\r\n");
  } else if (old_version_) {
    out.append("Connection: keep-alive\r\n");
  }
}

namespace {
std::string status_line(int status) {
  std::string out;
  out.reserve(512);
  out.append("HTTP/1.1 ").append(std::to_string(std::clamp(status, 200, 999)));
  out.append(" ").append(status_reason(status)).append("\r\n");
  return out;
}
}  // namespace

/// What the reader has taken since is seen when less than the low watermark is left, when the
/// connection writes again, and here: before anybody is refused.
bool ServerConnection::has_room_for(size_t reply_bytes) {
  if (reply_bytes <= kAlwaysQueued) return true;
  const auto fits = [&] {
    return core_.counters.queued_reply_bytes + reply_bytes <= core_.options.max_queued_reply_bytes;
  };
  if (fits()) return true;
  for (const auto& [connection, owner] : core_.connections) connection->account_queue();
  return fits();
}

void ServerConnection::account_queue() {
  if (state_ == State::gone) return;
  const uint64_t before = std::exchange(queued_bytes_, stream_->queued_bytes());
  core_.counters.queued_reply_bytes += queued_bytes_ - before;
}

void ServerConnection::send_whole(int status, std::string_view content_type, std::string body,
                                  const Headers& extra) {
  if (!has_room_for(body.size())) {
    ++core_.counters.replies_refused;
    refuse(503, "unavailable", "too many answers wait for slow readers; try again",
           {{"Retry-After", "1"}});
    return;
  }
  close_after_ = close_after_ || core_.draining;
  const bool bodyless = status == 204 || status == 304;
  std::string head = status_line(status);
  append_common_fields(head, bodyless ? std::string_view() : content_type, extra);
  if (!bodyless) {
    const bool may_compress = body.size() > kCompressFrom && is_worth_compressing(content_type) &&
                              header_value(extra, "content-encoding").empty();
    if (may_compress) {
      append_field(head, "Vary", "Accept-Encoding");
      if (gzip_accepted_) {
        body = gzip_encode(body);
        append_field(head, "Content-Encoding", "gzip");
      }
    }
    append_field(head, "Content-Length", std::to_string(body.size()));
  }
  head.append("\r\n");
  const std::array<std::string_view, 2> slices = {
      head, bodyless || head_only_ ? std::string_view() : std::string_view(body)};
  stream_->write(slices);
  watch_writes();
  end_exchange();
}

void ServerConnection::start_stream(int status, std::string_view content_type,
                                    const Headers& extra) {
  close_after_ = close_after_ || core_.draining || old_version_;
  streaming_ = true;
  std::string head = status_line(status);
  append_common_fields(head, content_type, extra);
  if (content_type.substr(0, 17) == "text/event-stream") {
    // Proxies on the way must neither keep, change nor collect events.
    if (header_value(extra, "cache-control").empty()) {
      append_field(head, "Cache-Control", "no-cache, no-transform");
    }
    append_field(head, "X-Accel-Buffering", "no");
  }
  if (!old_version_) append_field(head, "Transfer-Encoding", "chunked");
  head.append("\r\n");
  stream_->write(head);
  watch_writes();
}

bool ServerConnection::write_piece(std::string_view piece) {
  if (stream_->queued_bytes() + piece.size() > Reply::kMaxQueuedBytes) return false;
  if (piece.empty() || head_only_) return true;
  if (old_version_) {
    stream_->write(piece);
  } else {
    std::array<char, 20> size{};
    char* end = std::to_chars(size.data(), size.data() + 16, piece.size(), 16).ptr;
    *end++ = '\r';
    *end++ = '\n';
    const std::array<std::string_view, 3> slices = {
        std::string_view(size.data(), static_cast<size_t>(end - size.data())), piece, "\r\n"};
    stream_->write(slices);
  }
  watch_writes();
  return true;
}

void ServerConnection::finish_stream() {
  if (!old_version_ && !head_only_) stream_->write("0\r\n\r\n");
  watch_writes();
  end_exchange();
}

/// Nobody holds the reply any more and nothing was answered, or a stream was left without its end.
void ServerConnection::reply_abandoned(bool started) {
  if (started) {
    stream_->mark_for_reset();
    drop();
    return;
  }
  log_error("a request handler gave no answer");
  refuse(500, "internal", "the request was not answered");
}

void ServerConnection::end_exchange() {
  streaming_ = false;
  if (close_after_) {
    begin_closing();
    return;
  }
  state_ = State::reading;
  request_ = Request();
  refused_status_ = 0;
  head_only_ = old_version_ = gzip_accepted_ = false;
  codec_.next_message();
  if (running_) return;
  if (!pending_.empty()) {
    continue_timer_.arm(Millis{0});
  } else if (eof_) {
    begin_closing();
    return;
  }
  arm_for_reading();
  update_reading();
}

void ServerConnection::watch_writes() {
  account_queue();
  if (stream_->queued_bytes() == 0 || write_timer_.armed()) return;
  written_at_check_ = stream_->bytes_written();
  write_timer_.arm(core_.options.body_timeout);
}

void ServerConnection::on_write_timeout() {
  account_queue();
  if (stream_->queued_bytes() == 0) return;
  if (stream_->bytes_written() == written_at_check_) {
    ++core_.counters.timeouts;
    stream_->mark_for_reset();
    drop();
    return;
  }
  watch_writes();
}

}  // namespace hms::net
