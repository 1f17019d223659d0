#include "net/io/tls_stream.h"

#include <arpa/inet.h>
#include <openssl/err.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "net/core/check.h"
#include "net/io/loop_impl.h"
#include "net/io/tls_openssl.h"
#include "net/io/tls_scratch.h"

namespace hms::net {
namespace {

class OpensslTlsStream;

// === the BIO: OpenSSL reads from what the inner stream delivered and writes into the cipher slab

int bio_read(BIO* bio, char* out, int length);
int bio_write(BIO* bio, const char* bytes, int length);

const BIO_METHOD* bio_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "hms stream");
    HMS_ENSURE(made != nullptr);
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_ctrl(
        made, [](BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1L : 0L; });
    BIO_meth_set_create(made, [](BIO* bio) {
      BIO_set_init(bio, 1);
      return 1;
    });
    return made;
  }();
  return method;
}

bool is_address(const std::string& name) {
  in6_addr any{};
  return inet_pton(AF_INET, name.c_str(), &any) == 1 ||
         inet_pton(AF_INET6, name.c_str(), &any) == 1;
}

class OpensslTlsStream final : public TlsStream,
                               private StreamHandler,
                               private TlsWarm,
                               private Deferred {
 public:
  OpensslTlsStream(Loop& loop, std::unique_ptr<Stream> inner, TlsContextPtr context,
                   std::string server_name, Millis handshake_timeout)
      : loop_(loop),
        scratch_(TlsScratch::of(loop)),
        inner_(std::move(inner)),
        context_(std::move(context)),
        handshake_(std::make_unique<Handshake>(loop, [this, handshake_timeout] {
          report(Code::timeout, "no complete TLS handshake within " +
                                    std::to_string(handshake_timeout.count()) + " ms");
        })) {
    const auto& implementation = static_cast<const TlsContextImpl&>(*context_);
    connection_.context = &implementation;
    connection_.server_name = std::move(server_name);
    ssl_.reset(SSL_new(implementation.raw()));
    BIO* const bio = BIO_new(bio_method());
    HMS_ENSURE(ssl_ != nullptr && bio != nullptr);
    BIO_set_data(bio, this);
    SSL_set_bio(ssl_.get(), bio, bio);
    SSL_set_app_data(ssl_.get(), &connection_);
    inner_->set_handler(this);
    handshake_->timer.arm(handshake_timeout);
    is_server() ? SSL_set_accept_state(ssl_.get()) : begin_call();
    update_inner();
  }

  ~OpensslTlsStream() override {
    if (alive_ != nullptr) *alive_ = false;
    scratch_.forget(*this);
    inner_->set_handler(nullptr);
    // Otherwise OpenSSL takes the missing close_notify for a reason not to resume the session.
    SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  }

  // --- Stream

  void set_handler(StreamHandler* handler) override {
    handler_ = handler;
    resume_delivery();
  }

  void pause_reading() override {
    ++pauses_;
    if (!processing_) update_inner();
  }

  void resume_reading() override {
    HMS_ENSURE(pauses_ > 0);
    --pauses_;
    resume_delivery();
  }

  using Stream::write;
  void write(std::span<const std::string_view> slices) override {
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

  [[nodiscard]] size_t queued_bytes() const noexcept override {
    return inner_->queued_bytes() + (handshake_ == nullptr ? 0 : handshake_->early.size());
  }

  void shutdown_write() override {
    if (shutdown_asked_) return;
    shutdown_asked_ = true;
    if (established_ && !ended_ && !failing_) send_close_notify();
  }

  void mark_for_reset() override { inner_->mark_for_reset(); }

  void acknowledge_now() noexcept override { inner_->acknowledge_now(); }
  [[nodiscard]] bool idle_and_open() noexcept override {
    return established_ && !ended_ && !failing_ && !peer_ended_ && held_.empty() &&
           inner_->idle_and_open();
  }

  [[nodiscard]] const SocketAddress& peer() const noexcept override { return inner_->peer(); }
  [[nodiscard]] const SocketAddress& local() const noexcept override { return inner_->local(); }
  [[nodiscard]] std::optional<SocketAddress> original_destination() const noexcept override {
    return inner_->original_destination();
  }
  [[nodiscard]] uint64_t bytes_read() const noexcept override { return plain_read_; }
  [[nodiscard]] uint64_t bytes_written() const noexcept override { return inner_->bytes_written(); }

  // --- TlsStream

  [[nodiscard]] bool established() const noexcept override { return established_; }

  [[nodiscard]] TlsPeer peer_identity() const override {
    TlsPeer peer;
    const X509* const certificate = SSL_get0_peer_certificate(ssl_.get());
    if (certificate == nullptr) return peer;
    peer.name = names_of(certificate).identity();
    peer.subject = subject_of(certificate);
    peer.verified = established_ && context_->settings().verify != TlsVerify::none &&
                    SSL_get_verify_result(ssl_.get()) == X509_V_OK;
    return peer;
  }

  [[nodiscard]] std::string_view alpn() const noexcept override {
    const unsigned char* chosen = nullptr;
    unsigned length = 0;
    SSL_get0_alpn_selected(ssl_.get(), &chosen, &length);
    return {reinterpret_cast<const char*>(chosen), length};
  }

  [[nodiscard]] std::string_view protocol() const noexcept override {
    return SSL_get_version(ssl_.get());
  }

  [[nodiscard]] bool resumed() const noexcept override {
    return SSL_session_reused(ssl_.get()) == 1;
  }

  void on_established(std::function<void()> callback) override {
    HMS_ENSURE(handshake_ != nullptr);
    handshake_->on_established = std::move(callback);
  }

  // --- for the BIO

  int take_input(char* out, size_t length) noexcept {
    const size_t taken = std::min(length, input_.size());
    if (taken == 0) return 0;  // there may be no bytes to point at
    std::memcpy(out, input_.data(), taken);
    input_.remove_prefix(taken);
    return static_cast<int>(taken);
  }
  void append_output(std::string_view bytes) { scratch_.append_cipher(bytes, *inner_); }

 private:
  /// What only the handshake needs: gone when it is over.
  struct Handshake {
    Handshake(Loop& loop, std::function<void()> on_timeout) : timer(loop, std::move(on_timeout)) {}
    Timer timer;
    std::string early;  // plain bytes written before it was over; bounded by the writer's heed
                        // of the watermark
    std::function<void()> on_established;
  };

  [[nodiscard]] bool is_server() const noexcept {
    return context_->settings().role == TlsRole::server;
  }

  void begin_call() {
    SSL* const ssl = ssl_.get();
    SSL_set_connect_state(ssl);
    const std::string& name = connection_.server_name;
    if (!name.empty() && !is_address(name)) SSL_set_tlsext_host_name(ssl, name.c_str());
    if (const auto session = connection_.context->take_session(name); session != nullptr)
      SSL_set_session(ssl, session.get());
    ERR_clear_error();
    SSL_do_handshake(ssl);  // the ClientHello; nothing can be decided yet
    scratch_.flush_cipher(*inner_);
  }

  // --- the inner stream

  void on_bytes(std::string_view bytes) override { process(bytes); }

  void on_eof() override {
    if (ended_ || failing_ || peer_ended_) return;
    if (established_) {
      report(Code::closed, "truncated: the connection ended without close_notify");
    } else {
      report(Code::closed, "the connection ended during the TLS handshake");
    }
  }

  void on_writable() override {
    above_high_ = false;
    if (stalled_) {
      stalled_ = false;
      update_inner();
    }
    if (handler_ != nullptr && established_ && !ended_) handler_->on_writable();
  }

  void on_closed(const Error& error) override {
    if (ended_) return;
    Error told = error;
    if (!established_) told.detail += " (during the TLS handshake)";
    report(std::move(told));
  }

  /// The inner stream reads during the handshake, and then while the owner wants bytes.
  void update_inner() {
    const bool wanted =
        !ended_ && !failing_ && !stalled_ && held_.empty() && (!established_ || wants_bytes());
    if (wanted == inner_reads_) return;
    inner_reads_ = wanted;
    wanted ? inner_->resume_reading() : inner_->pause_reading();
  }

  [[nodiscard]] bool wants_bytes() const noexcept {
    return pauses_ == 0 && handler_ != nullptr && !ended_ && !failing_;
  }

  void resume_delivery() {
    if (processing_) return;  // process() looks when the callback is over
    if (wants_bytes() && (!held_.empty() || eof_pending_)) {
      defer(loop_);
      return;
    }
    update_inner();
  }

  // --- reading

  /// Everything that may call the handler; afterwards `this` may be gone.
  void process(std::string_view bytes) {
    bool alive = true;
    alive_ = &alive;
    processing_ = true;
    input_ = bytes;
    ERR_clear_error();
    if (!established_) shake_hands();
    if (!alive) return;
    if (established_) read_records(alive);
    if (!alive) return;
    if (!input_.empty() && !ended_ && !failing_ && !peer_ended_) held_.assign(input_);
    input_ = {};
    alive_ = nullptr;
    processing_ = false;
    if (established_ && !ended_) scratch_.touch(*this);
    // A peer that makes us write (key updates) without reading itself.
    if (replied_ && inner_->above_high_watermark()) stalled_ = true;
    if (eof_pending_ && wants_bytes()) defer(loop_);
    if (!held_.empty() && wants_bytes()) defer(loop_);
    update_inner();
  }

  void shake_hands() {
    SSL* const ssl = ssl_.get();
    const int result = SSL_do_handshake(ssl);
    if (result != 1) {
      const int error = SSL_get_error(ssl, result);
      if (error == SSL_ERROR_WANT_READ) {
        scratch_.flush_cipher(*inner_);
        return;
      }
      fail_now(error);
      return;
    }
    // With TLS 1.3 the server's last act is the ticket: it goes out with the first reply.
    if (is_server() && SSL_version(ssl) == TLS1_3_VERSION && scratch_.cipher().size() < 8 * 1024) {
      carry_.assign(scratch_.cipher());
      scratch_.drop_cipher();
      // A caller with Nagle's algorithm on holds its request back until its Finished is
      // acknowledged.
      if (input_.empty()) inner_->acknowledge_now();
    } else {
      scratch_.flush_cipher(*inner_);
    }
    if (!alpn_is_ours()) {
      report(Code::tls, "the peer chose a protocol we did not offer (ALPN)");
      return;
    }
    begin_open();
  }

  [[nodiscard]] bool alpn_is_ours() const {
    const auto& ours = context_->settings().alpn;
    const std::string_view chosen = alpn();
    return is_server() || chosen.empty() ||
           std::find(ours.begin(), ours.end(), chosen) != ours.end();
  }

  void begin_open() {
    established_ = true;
    const std::unique_ptr<Handshake> done = std::move(handshake_);
    bool* const alive = alive_;
    if (done->on_established) done->on_established();
    if (!*alive || ended_ || failing_) return;
    if (!done->early.empty()) {
      const std::string_view early = done->early;
      encrypt({&early, 1});
    }
    if (shutdown_asked_) send_close_notify();
    if (above_high_ && !above_high_watermark()) {
      above_high_ = false;
      if (handler_ != nullptr) handler_->on_writable();
    }
  }

  void read_records(const bool& alive) {
    while (wants_bytes() && !peer_ended_) {
      const int error = fill_plain();
      const bool failed =
          error != SSL_ERROR_NONE && error != SSL_ERROR_WANT_READ && error != SSL_ERROR_ZERO_RETURN;
      const std::string why = failed ? failure_text(error) : std::string();
      // Also an alert: the handler may write to another stream, and the slab is everybody's.
      replied_ = !scratch_.cipher().empty();
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
  int fill_plain() {
    constexpr size_t kRoom = TlsScratch::kRecordBytes;
    plain_size_ = 0;
    ERR_clear_error();  // SSL_get_error looks at the queue, and the handler ran since
    while (scratch_.plain.size() - plain_size_ >= kRoom) {
      const int count = SSL_read(ssl_.get(), scratch_.plain.data() + plain_size_,
                                 static_cast<int>(scratch_.plain.size() - plain_size_));
      if (count <= 0) return SSL_get_error(ssl_.get(), count);
      plain_size_ += static_cast<uint32_t>(count);
    }
    return SSL_ERROR_NONE;
  }

  void deliver_plain() {
    if (plain_size_ == 0) return;
    HMS_ENSURE(scratch_.cipher().empty());
    const size_t size = std::exchange(plain_size_, 0);
    plain_read_ += size;
    handler_->on_bytes({scratch_.plain.data(), size});
  }

  void deliver_eof() {
    eof_pending_ = false;
    eof_delivered_ = true;
    bool* const alive = alive_;
    handler_->on_eof();
    if (*alive) check_both_ended();
  }

  /// The peer said close_notify, we said it, and all is sent. (Else the inner stream's end tells.)
  void check_both_ended() {
    if (eof_delivered_ && shutdown_asked_ && inner_->queued_bytes() == 0) defer(loop_);
  }

  // --- writing

  void encrypt(std::span<const std::string_view> slices) {
    if (!carry_.empty()) flush_carry();
    ERR_clear_error();
    auto& gather = scratch_.gather;
    size_t gathered = 0;
    bool good = true;
    for (std::string_view slice : slices) {
      while (good && !slice.empty()) {
        size_t taken = 0;
        if (gathered == 0 && (slice.size() >= gather.size() || slices.size() == 1)) {
          // Whole records straight from where the bytes lie.
          taken = std::min<size_t>(slice.size(), 1U << 30);
          if (slices.size() > 1) taken -= taken % gather.size();
          good = write_record(slice.substr(0, taken));
        } else {
          taken = std::min(slice.size(), gather.size() - gathered);
          std::memcpy(gather.data() + gathered, slice.data(), taken);
          gathered += taken;
          if (gathered == gather.size()) {
            good = write_record({gather.data(), gathered});
            gathered = 0;
          }
        }
        slice.remove_prefix(taken);
      }
    }
    if (good && gathered > 0) write_record({gather.data(), gathered});
    scratch_.flush_cipher(*inner_);
    if (!processing_) scratch_.touch(*this);
  }

  bool write_record(std::string_view bytes) {
    if (SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())) > 0) return true;
    fail_later(Code::tls, openssl_reason());
    return false;
  }

  /// The ticket goes first: it was encrypted first.
  void flush_carry() {
    scratch_.append_cipher(carry_, *inner_);
    carry_ = std::string();
  }

  /// What reading made OpenSSL write goes out behind a ticket that still waits.
  void flush_after_carry() {
    if (!carry_.empty()) {
      inner_->write(carry_);
      carry_ = std::string();
    }
    scratch_.flush_cipher(*inner_);
  }

  void send_close_notify() {
    if (!carry_.empty()) flush_carry();
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
    scratch_.flush_cipher(*inner_);
    inner_->shutdown_write();
    check_both_ended();
  }

  // --- ends

  /// OpenSSL gave up; its alert is in the cipher slab.
  void fail_now(int error) {
    flush_after_carry();
    const bool plain_http = !established_ && is_server() &&
                            ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_SSL &&
                            ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST;
    std::string why = failure_text(error);
    if (plain_http) answer_plain_http();
    if (!established_) why = "TLS handshake failed: " + why;
    report(Code::tls, why);
  }

  [[nodiscard]] std::string failure_text(int error) const {
    return error == SSL_ERROR_SSL ? tls_failure(ssl_.get(), connection_) : "broken TLS";
  }

  void answer_plain_http() {
    inner_->write(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 41\r\n"
        "Connection: close\r\n\r\nThis port speaks TLS: use an https:// URL");
    inner_->shutdown_write();
  }

  [[nodiscard]] Side side() const noexcept {
    return is_server() ? Side::downstream : Side::upstream;
  }

  void report(Code code, std::string_view what) {
    report(Error{.code = code,
                 .side = side(),
                 .may_retry = code != Code::tls && !established_ && !is_server(),
                 .detail = inner_->peer().to_string() + ": " + std::string(what)});
  }

  void report(Error error) {
    if (ended_) return;
    ended_ = true;
    StreamHandler* const handler = std::exchange(handler_, nullptr);
    if (handshake_ != nullptr) handshake_->timer.disarm();
    cancel();
    if (!processing_) update_inner();
    if (handler != nullptr) handler->on_closed(error);
  }

  void fail_later(Code code, std::string what) {
    if (failing_ || ended_) return;
    failing_ = true;
    later_ = std::make_unique<Error>(
        Error{.code = code,
              .side = side(),
              .detail = inner_->peer().to_string() + ": " + std::move(what)});
    defer(loop_);
  }

  void run_deferred() override {
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
    if (eof_delivered_ && shutdown_asked_ && inner_->queued_bytes() == 0)
      report(Code::closed, "closed by both sides");
  }

  void release_buffers() noexcept override { SSL_free_buffers(ssl_.get()); }

  Loop& loop_;
  TlsScratch& scratch_;
  std::unique_ptr<Stream> inner_;
  TlsContextPtr context_;
  TlsConnection connection_;
  SslPtr ssl_;
  StreamHandler* handler_ = nullptr;
  std::unique_ptr<Handshake> handshake_;
  std::unique_ptr<Error> later_;  // a fault met inside the owner's call
  std::string_view input_;        // of the process() under way
  std::string held_;              // encrypted bytes that came while paused; at most a slab
  std::string carry_;             // encrypted bytes that wait for the first write
  bool* alive_ = nullptr;         // of the process() under way
  uint64_t plain_read_ = 0;
  uint32_t plain_size_ = 0;
  uint32_t pauses_ = 1;
  bool inner_reads_ = false;
  bool established_ = false;
  bool processing_ = false;
  bool peer_ended_ = false;  // close_notify came
  bool eof_pending_ = false;
  bool eof_delivered_ = false;
  bool shutdown_asked_ = false;
  bool above_high_ = false;  // by what was written before the handshake was over
  bool replied_ = false;     // the records read last made us write
  bool stalled_ = false;     // reading rests until the peer reads
  bool failing_ = false;
  bool ended_ = false;
};

int bio_read(BIO* bio, char* out, int length) {
  BIO_clear_retry_flags(bio);
  const int taken = static_cast<OpensslTlsStream*>(BIO_get_data(bio))
                        ->take_input(out, static_cast<size_t>(std::max(length, 0)));
  if (taken > 0) return taken;
  BIO_set_retry_read(bio);
  return -1;
}

int bio_write(BIO* bio, const char* bytes, int length) {
  BIO_clear_retry_flags(bio);
  static_cast<OpensslTlsStream*>(BIO_get_data(bio))
      ->append_output({bytes, static_cast<size_t>(std::max(length, 0))});
  return length;
}

}  // namespace

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
