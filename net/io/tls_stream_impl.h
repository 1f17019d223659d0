// tls_stream_impl.h: the TLS stream over OpenSSL. What it does is said in tls_stream.h; how, in
// tls_stream.cc (life, reading, ends), tls_stream_handshake.cc (until it is open, and who the peer
// is) and tls_stream_write.cc. Thread: the loop's. Private to net/io/tls_*.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "net/io/loop_impl.h"
#include "net/io/tls_bio.h"
#include "net/io/tls_openssl.h"
#include "net/io/tls_scratch.h"
#include "net/io/tls_stream.h"

namespace hms::net {

class OpensslTlsStream final : public TlsStream,
                               private StreamHandler,
                               private TlsWarm,
                               private Deferred {
 public:
  OpensslTlsStream(Loop& loop, std::unique_ptr<Stream> inner, TlsContextPtr context,
                   std::string server_name, Millis handshake_timeout);
  ~OpensslTlsStream() override;

  // Stream
  void set_handler(StreamHandler* handler) override;
  void pause_reading() override;
  void resume_reading() override;
  using Stream::write;
  void write(std::span<const std::string_view> slices) override;
  [[nodiscard]] size_t queued_bytes() const noexcept override;
  void shutdown_write() override;
  void mark_for_reset() override { wire_.inner->mark_for_reset(); }
  void acknowledge_now() noexcept override { wire_.inner->acknowledge_now(); }
  [[nodiscard]] bool idle_and_open() noexcept override;
  [[nodiscard]] const SocketAddress& peer() const noexcept override { return wire_.inner->peer(); }
  [[nodiscard]] const SocketAddress& local() const noexcept override {
    return wire_.inner->local();
  }
  [[nodiscard]] std::optional<SocketAddress> original_destination() const noexcept override {
    return wire_.inner->original_destination();
  }
  [[nodiscard]] uint64_t bytes_read() const noexcept override { return plain_read_; }
  [[nodiscard]] uint64_t bytes_written() const noexcept override {
    return wire_.inner->bytes_written();
  }
  [[nodiscard]] uint64_t bytes_acknowledged() noexcept override {
    return wire_.inner->bytes_acknowledged();
  }
  void watch_peer() noexcept override { wire_.inner->watch_peer(); }

  // TlsStream
  [[nodiscard]] bool established() const noexcept override { return established_; }
  [[nodiscard]] TlsPeer peer_identity() const override;
  [[nodiscard]] std::string_view alpn() const noexcept override;
  [[nodiscard]] std::string_view protocol() const noexcept override;
  [[nodiscard]] bool resumed() const noexcept override;
  void on_established(std::function<void()> callback) override;

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
  [[nodiscard]] bool wants_bytes() const noexcept {
    return pauses_ == 0 && handler_ != nullptr && !ended_ && !failing_;
  }

  // The inner stream
  void on_bytes(std::string_view bytes) override { process(bytes); }
  void on_eof() override;
  void on_writable() override;
  void on_closed(const Error& error) override;
  void update_inner();
  void resume_delivery();

  // The handshake
  void begin_call();
  void shake_hands();
  [[nodiscard]] bool alpn_is_ours() const;
  void begin_open();
  void answer_plain_http();

  // Reading
  void process(std::string_view bytes);
  void read_records(const bool& alive);
  int fill_plain();
  void deliver_plain();
  void deliver_eof();
  void check_both_ended();

  // Writing
  void encrypt(std::span<const std::string_view> slices);
  bool write_record(std::string_view bytes);
  void flush_carry();
  void flush_after_carry();
  void send_close_notify();

  // Ends
  void fail_now(int error);
  [[nodiscard]] std::string failure_text(int error) const;
  [[nodiscard]] Side side() const noexcept {
    return is_server() ? Side::downstream : Side::upstream;
  }
  void report(Code code, std::string_view what);
  void report(Error error);
  void fail_later(Code code, std::string what);
  void run_deferred() override;
  void release_buffers() noexcept override { SSL_free_buffers(ssl_.get()); }

  Loop& loop_;
  TlsWire wire_;
  TlsContextPtr context_;
  TlsConnection connection_;
  SslPtr ssl_;
  StreamHandler* handler_ = nullptr;
  std::unique_ptr<Handshake> handshake_;
  std::unique_ptr<Error> later_;  // a fault met inside the owner's call
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

}  // namespace hms::net
