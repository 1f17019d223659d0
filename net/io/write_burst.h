// write_burst.h: small writes that are made while a loop deals with what epoll brought, held back
// until it has dealt with it, and then sent one after the other. Private to net/io.
//
// Why: a reader on another core is woken by the first of 64 replies. Written one by one as they are
// made, each finds it asleep again (it deals with one sooner than we make the next), and every
// write costs a wake-up: a fifth of the CPU time of two proxies in a row (docs/benchmarks.md). A
// turn with one event sends as early as ever. Price: one copy of at most 4 KiB; larger writes go
// out at once, behind what their stream has here. Limits: 32 writes or 64 KiB, then they are sent.
// What is held does not count as queued. Thread: the loop's. Owner: the loop.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace hms::net {

class TcpStream;

class WriteBurst {
 public:
  /// The loop has events; writes are held until `end`.
  void begin() noexcept { holding_ = true; }
  /// Sends what is held; from here on writes go out at once.
  void end() {
    holding_ = false;
    send();
  }
  /// True: the bytes are taken, in order behind what the stream gave before.
  [[nodiscard]] bool hold(TcpStream& stream, std::span<const std::string_view> slices,
                          size_t total);
  void send();

 private:
  static constexpr size_t kMostBytes = 4 * 1024;  // of one write
  static constexpr size_t kRoom = 64 * 1024;
  static constexpr size_t kMostWrites = 32;
  struct Held {
    TcpStream* stream;
    size_t begin, size;
  };

  std::unique_ptr<char[]> bytes_;  // from the first write on
  std::array<Held, kMostWrites> held_;
  size_t count_ = 0;
  size_t used_ = 0;
  bool holding_ = false;
};

}  // namespace hms::net
