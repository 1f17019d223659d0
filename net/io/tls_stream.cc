// Life, reading and ends; the handshake is in tls_stream_handshake.cc, writing in
// tls_stream_write.cc.
#include "net/io/tls_stream.h"

#include <openssl/err.h>

#include <utility>

#include "net/core/check.h"
#include "net/io/tls_stream_impl.h"

namespace hms::net {

OpensslTlsStream::OpensslTlsStream(Loop& loop, std::unique_ptr<Stream> inner, TlsContextPtr context,
                                   std::string server_name, Millis handshake_timeout)
    : loop_(loop),
      wire_{std::move(inner), TlsScratch::of(loop), {}},
      context_(std::move(context)),
      handshake_(std::make_unique<Handshake>(loop, [this, handshake_timeout] {
        report(Code::timeout, "no complete TLS handshake within " +
                                  std::to_string(handshake_timeout.count()) + " ms");
      })) {
  const auto& implementation = static_cast<const TlsContextImpl&>(*context_);
  connection_.context = &implementation;
  connection_.server_name = std::move(server_name);
  ssl_.reset(SSL_new(implementation.raw()));
  HMS_ENSURE(ssl_ != nullptr);
  BIO* const bio = make_tls_bio(wire_);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_app_data(ssl_.get(), &connection_);
  wire_.inner->set_handler(this);
  handshake_->timer.arm(handshake_timeout);
  is_server() ? SSL_set_accept_state(ssl_.get()) : begin_call();
  update_inner();
}

OpensslTlsStream::~OpensslTlsStream() {
  if (alive_ != nullptr) *alive_ = false;
  wire_.scratch.forget(*this);
  wire_.inner->set_handler(nullptr);
  // Otherwise OpenSSL takes the missing close_notify for a reason not to resume the session.
  SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

void OpensslTlsStream::set_handler(StreamHandler* handler) {
  handler_ = handler;
  resume_delivery();
}

void OpensslTlsStream::pause_reading() {
  ++pauses_;
  if (!processing_) update_inner();
}

void OpensslTlsStream::resume_reading() {
  HMS_ENSURE(pauses_ > 0);
  --pauses_;
  resume_delivery();
}

void OpensslTlsStream::write(std::span<const std::string_view> slices) {
  if (ended_ || failing_) return;
  size_t total = 0;
  for (const std::string_view slice : slices) total += slice.size();
  if (total == 0) return;
  if (shutdown_asked_) {
    fail_later(Code::closed, "written to after its end");
    return;
  }
  if (!established_) {
    for (const std::string_view slice : slices) handshake_->early.append(slice);
    above_high_ = queued_bytes() > kHighWatermark;
    return;
  }
  encrypt(slices);
}

size_t OpensslTlsStream::queued_bytes() const noexcept {
  return wire_.inner->queued_bytes() + (handshake_ == nullptr ? 0 : handshake_->early.size());
}

void OpensslTlsStream::shutdown_write() {
  if (shutdown_asked_) return;
  shutdown_asked_ = true;
  if (established_ && !ended_ && !failing_) send_close_notify();
}

bool OpensslTlsStream::idle_and_open() noexcept {
  return established_ && !ended_ && !failing_ && !peer_ended_ && held_.empty() &&
         wire_.inner->idle_and_open();
}

// === the inner stream

void OpensslTlsStream::on_eof() {
  if (ended_ || failing_ || peer_ended_) return;
  if (established_) {
    report(Code::closed, "truncated: the connection ended without close_notify");
  } else {
    report(Code::closed, "the connection ended during the TLS handshake");
  }
}

void OpensslTlsStream::on_writable() {
  above_high_ = false;
  if (stalled_) {
    stalled_ = false;
    update_inner();
  }
  if (handler_ != nullptr && established_ && !ended_) handler_->on_writable();
}

void OpensslTlsStream::on_closed(const Error& error) {
  if (ended_) return;
  Error told = error;
  if (!established_) told.detail += " (during the TLS handshake)";
  report(std::move(told));
}

/// The inner stream reads during the handshake, and then while the owner wants bytes.
void OpensslTlsStream::update_inner() {
  const bool wanted =
      !ended_ && !failing_ && !stalled_ && held_.empty() && (!established_ || wants_bytes());
  if (wanted == inner_reads_) return;
  inner_reads_ = wanted;
  wanted ? wire_.inner->resume_reading() : wire_.inner->pause_reading();
}

void OpensslTlsStream::resume_delivery() {
  if (processing_) return;  // process() looks when the callback is over
  if (wants_bytes() && (!held_.empty() || eof_pending_)) {
    defer(loop_);
    return;
  }
  update_inner();
}

// === reading

/// Everything that may call the handler; afterwards `this` may be gone.
void OpensslTlsStream::process(std::string_view bytes) {
  bool alive = true;
  alive_ = &alive;
  processing_ = true;
  wire_.input = bytes;
  if (!established_) shake_hands();
  if (!alive) return;
  if (established_) read_records(alive);
  if (!alive) return;
  if (!wire_.input.empty() && !ended_ && !failing_ && !peer_ended_) held_.assign(wire_.input);
  wire_.input = {};
  alive_ = nullptr;
  processing_ = false;
  if (established_ && !ended_) wire_.scratch.touch(*this);
  // A peer that makes us write (key updates) without reading itself.
  if (replied_ && wire_.inner->above_high_watermark()) stalled_ = true;
  if (eof_pending_ && wants_bytes()) defer(loop_);
  if (!held_.empty() && wants_bytes()) defer(loop_);
  update_inner();
}

void OpensslTlsStream::read_records(const bool& alive) {
  while (wants_bytes() && !peer_ended_) {
    const int error = fill_plain();
    const bool failed =
        error != SSL_ERROR_NONE && error != SSL_ERROR_WANT_READ && error != SSL_ERROR_ZERO_RETURN;
    const std::string why = failed ? failure_text(error) : std::string();
    // Also an alert: the handler may write to another stream, and the slab is everybody's.
    replied_ = !wire_.scratch.cipher().empty();
    if (replied_) flush_after_carry();
    if (failed) {
      deliver_plain();
      if (alive && !ended_) report(Code::tls, why);
      return;
    }
    if (error == SSL_ERROR_ZERO_RETURN) peer_ended_ = eof_pending_ = true;
    deliver_plain();
    if (!alive) return;
    if (error == SSL_ERROR_WANT_READ) return;
  }
  if (eof_pending_ && wants_bytes()) deliver_eof();
}

/// Decrypts into the plain slab until input or room is used up; what stopped it.
int OpensslTlsStream::fill_plain() {
  constexpr size_t kRoom = TlsScratch::kRecordBytes;
  plain_size_ = 0;
  forget_tls_errors();  // SSL_get_error looks at the queue, and the handler ran since
  while (wire_.scratch.plain.size() - plain_size_ >= kRoom) {
    // Else OpenSSL would be asked once more for each read, to say that it wants to read.
    if (wire_.input.empty() && SSL_has_pending(ssl_.get()) == 0) return SSL_ERROR_WANT_READ;
    const int count = SSL_read(ssl_.get(), wire_.scratch.plain.data() + plain_size_,
                               static_cast<int>(wire_.scratch.plain.size() - plain_size_));
    if (count <= 0) return SSL_get_error(ssl_.get(), count);
    plain_size_ += static_cast<uint32_t>(count);
  }
  return SSL_ERROR_NONE;
}

void OpensslTlsStream::deliver_plain() {
  if (plain_size_ == 0) return;
  HMS_ENSURE(wire_.scratch.cipher().empty());
  const size_t size = std::exchange(plain_size_, 0);
  plain_read_ += size;
  handler_->on_bytes({wire_.scratch.plain.data(), size});
}

void OpensslTlsStream::deliver_eof() {
  eof_pending_ = false;
  eof_delivered_ = true;
  bool* const alive = alive_;
  handler_->on_eof();
  if (*alive) check_both_ended();
}

/// The peer said close_notify, we said it, and all is sent. (Else the inner stream's end tells.)
void OpensslTlsStream::check_both_ended() {
  if (eof_delivered_ && shutdown_asked_ && wire_.inner->queued_bytes() == 0) defer(loop_);
}

// === ends

/// OpenSSL gave up; its alert is in the cipher slab.
void OpensslTlsStream::fail_now(int error) {
  flush_after_carry();
  const bool plain_http = !established_ && is_server() &&
                          ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_SSL &&
                          ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST;
  std::string why = failure_text(error);
  if (plain_http) answer_plain_http();
  if (!established_) why = "TLS handshake failed: " + why;
  report(Code::tls, why);
}

std::string OpensslTlsStream::failure_text(int error) const {
  return error == SSL_ERROR_SSL ? tls_failure(ssl_.get(), connection_) : "broken TLS";
}

void OpensslTlsStream::report(Code code, std::string_view what) {
  report(Error{.code = code,
               .side = side(),
               .may_retry = code != Code::tls && !established_ && !is_server(),
               .detail = wire_.inner->peer().to_string() + ": " + std::string(what)});
}

void OpensslTlsStream::report(Error error) {
  if (ended_) return;
  ended_ = true;
  StreamHandler* const handler = std::exchange(handler_, nullptr);
  if (handshake_ != nullptr) handshake_->timer.disarm();
  cancel();
  if (!processing_) update_inner();
  if (handler != nullptr) handler->on_closed(error);
}

void OpensslTlsStream::fail_later(Code code, std::string what) {
  if (failing_ || ended_) return;
  failing_ = true;
  later_ = std::make_unique<Error>(
      Error{.code = code,
            .side = side(),
            .detail = wire_.inner->peer().to_string() + ": " + std::move(what)});
  defer(loop_);
}

void OpensslTlsStream::run_deferred() {
  if (ended_) return;
  if (failing_) {
    report(std::move(*later_));
    return;
  }
  if (wants_bytes() && (!held_.empty() || eof_pending_)) {
    const std::string held = std::exchange(held_, std::string());
    process(held);
    return;
  }
  if (eof_delivered_ && shutdown_asked_ && wire_.inner->queued_bytes() == 0)
    report(Code::closed, "closed by both sides");
}

// === making one

std::unique_ptr<TlsStream> wrap_tls_server(Loop& loop, std::unique_ptr<Stream> stream,
                                           TlsContextPtr context, Millis handshake_timeout) {
  HMS_ENSURE(context->settings().role == TlsRole::server);
  return std::make_unique<OpensslTlsStream>(loop, std::move(stream), std::move(context),
                                            std::string(), handshake_timeout);
}

std::unique_ptr<TlsStream> wrap_tls_client(Loop& loop, std::unique_ptr<Stream> stream,
                                           TlsContextPtr context, std::string_view server_name,
                                           Millis handshake_timeout) {
  HMS_ENSURE(context->settings().role == TlsRole::client);
  return std::make_unique<OpensslTlsStream>(loop, std::move(stream), std::move(context),
                                            std::string(server_name), handshake_timeout);
}

}  // namespace hms::net
