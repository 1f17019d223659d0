// tls_scratch.h: what all TLS streams of a loop share: slabs for plain and encrypted bytes, and the
// list of streams whose OpenSSL buffers are kept. Private to net/io/tls_*. Thread: the loop's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "net/io/loop_impl.h"
#include "net/io/stream.h"
#include "net/io/timer_wheel.h"

namespace hms::net {

class TlsScratch;

/// A stream that may hold OpenSSL's buffers (17 KiB each way).
class TlsWarm {
 public:
  TlsWarm(const TlsWarm&) = delete;
  TlsWarm& operator=(const TlsWarm&) = delete;

 protected:
  TlsWarm() = default;
  ~TlsWarm() = default;

 private:
  friend class TlsScratch;
  virtual void release_buffers() noexcept = 0;
  TlsWarm* colder_ = nullptr;
  TlsWarm* warmer_ = nullptr;
  uint64_t used_millis_ = 0;
  bool listed_ = false;
};

class TlsScratch {
 public:
  static constexpr size_t kRecordBytes = 16 * 1024;  // of plain text: the most a record holds
  static constexpr size_t kMostWarm = 128;           // 4.3 MiB a loop
  static constexpr Millis kRest{1'000};

  static TlsScratch& of(Loop& loop);
  explicit TlsScratch(Loop& loop) : loop_(loop), sweep_timer_(loop, [this] { sweep(); }) {}

  /// Plain bytes of one delivery: at least one record always fits behind what is there.
  std::array<char, 4 * kRecordBytes> plain;
  /// Small slices of one write, on their way into one record.
  std::array<char, kRecordBytes> gather;

  /// Encrypted bytes on their way out. Empty whenever a stream's callback runs.
  void append_cipher(std::string_view bytes, Stream& inner);
  void flush_cipher(Stream& inner);
  [[nodiscard]] std::string_view cipher() const noexcept { return {cipher_.data(), cipher_size_}; }
  void drop_cipher() noexcept { cipher_size_ = 0; }

  /// The stream's buffers are in use: keep them a while.
  void touch(TlsWarm& stream) noexcept;
  void forget(TlsWarm& stream) noexcept;

 private:
  void sweep();

  Loop& loop_;
  std::array<char, 80 * 1024> cipher_;
  size_t cipher_size_ = 0;
  TlsWarm* coldest_ = nullptr;
  TlsWarm* warmest_ = nullptr;
  size_t warm_ = 0;
  Timer sweep_timer_;
};

}  // namespace hms::net
