// stream.h: a byte stream with back-pressure: TCP, TLS over it, a fake in unit tests.
//
// Contract of the handler: `on_bytes`* then at most one `on_eof`, `on_closed` at most once and
// last. None of them comes from inside a call that the handler itself makes (write, close, ...):
// faults met there are reported in a later turn. Destroying the Stream closes the connection at
// once (unsent bytes are dropped) and silences the handler. Thread: the loop's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "net/core/result.h"
#include "net/io/address.h"

namespace hms::net {

class StreamHandler {
 public:
  /// `bytes` lie in the loop's slab: valid until the callback returns.
  virtual void on_bytes(std::string_view bytes) = 0;
  /// The peer sends no more (half-close); writing may go on.
  virtual void on_eof() = 0;
  /// The write queue fell to kLowWatermark or below after having been above kHighWatermark.
  virtual void on_writable() {}
  /// The connection is gone (error, reset, or both directions ended after `close`). Nothing comes
  /// after it.
  virtual void on_closed(const Error& error) = 0;

 protected:
  ~StreamHandler() = default;
};

class TlsStream;

class Stream {
 public:
  static constexpr size_t kHighWatermark = 128 * 1024;
  static constexpr size_t kLowWatermark = 64 * 1024;

  virtual ~Stream() = default;

  /// Must be set before reading starts; may be replaced while no callback runs or from inside one.
  /// nullptr silences.
  virtual void set_handler(StreamHandler* handler) = 0;
  /// Counted: reading happens while no one pauses it. A new stream is paused once: call
  /// `resume_reading` to start. A pause holds back bytes and the end, not the news of a reset. It
  /// is cheap: no system call unless data arrives meanwhile.
  virtual void pause_reading() = 0;
  virtual void resume_reading() = 0;

  /// Sends all slices in order: what the socket takes goes out now, or with the loop's turn if it
  /// is small (write_burst.h), the rest is copied and queued. Never fails in the call: a fault
  /// comes as `on_closed`. The slices need not outlive the call.
  virtual void write(std::span<const std::string_view> slices) = 0;
  void write(std::string_view bytes) { write(std::span<const std::string_view>(&bytes, 1)); }
  [[nodiscard]] virtual size_t queued_bytes() const noexcept = 0;
  [[nodiscard]] bool above_high_watermark() const noexcept {
    return queued_bytes() > kHighWatermark;
  }

  /// Sends FIN after the queue. Reading goes on. A later `write` is a fault (Code::closed).
  virtual void shutdown_write() = 0;
  /// Sends RST instead of FIN when the stream is destroyed: the peer must see that the message was
  /// cut.
  virtual void mark_for_reset() = 0;
  /// Looks at the socket without consuming: false if the peer has closed or sent something
  /// unexpected (a pooled connection that must not be reused). One recv(MSG_PEEK|MSG_DONTWAIT).
  [[nodiscard]] virtual bool idle_and_open() noexcept = 0;
  /// Sends the acknowledgement of what was read at once instead of up to 40 ms later. For a peer
  /// that writes in two pieces and, by Nagle's algorithm, holds back the second until then.
  virtual void acknowledge_now() noexcept {}

  [[nodiscard]] virtual const SocketAddress& peer() const noexcept = 0;
  [[nodiscard]] virtual const SocketAddress& local() const noexcept = 0;
  /// Where the peer was going when its connection was redirected to us (SO_ORIGINAL_DST), if it
  /// was.
  [[nodiscard]] virtual std::optional<SocketAddress> original_destination() const noexcept {
    return std::nullopt;
  }
  [[nodiscard]] virtual uint64_t bytes_read() const noexcept = 0;
  [[nodiscard]] virtual uint64_t bytes_written() const noexcept = 0;
  /// How many of them the peer's kernel has acknowledged. What its FIN did not acknowledge, its
  /// program never saw; after a reset the count proves nothing (a reset overtakes
  /// acknowledgements).
  [[nodiscard]] virtual uint64_t bytes_acknowledged() noexcept { return bytes_written(); }
  /// For a peer that sent FIN and may be gone for good: the kernel asks it now and then (TCP
  /// keep-alive), so that `on_closed` comes within about two minutes.
  virtual void watch_peer() noexcept {}
  /// The stream as TLS (tls_stream.h), or null if it is plain.
  [[nodiscard]] virtual TlsStream* tls() noexcept { return nullptr; }
};

}  // namespace hms::net
