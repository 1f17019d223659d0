// tcp_pair.h: two ends of a real connection on one loop, and what their handlers saw. For the tests
// of net/io.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <string>

#include "net/io/tcp.h"

namespace hms::net {

inline constexpr Millis kLong{10'000};  // only a failing test waits that long

/// Keeps what a stream told; checks the order that stream.h promises.
struct Recorder : StreamHandler {
  virtual ~Recorder() = default;
  std::string bytes;
  bool eof = false;
  int closed = 0;
  int writable = 0;
  Code code = Code::io;
  std::function<void()> when_bytes;
  std::function<void()> when_eof;
  std::function<void()> when_writable;
  std::function<void()> when_closed;

  void on_bytes(std::string_view more) override {
    CHECK(!eof);
    CHECK(closed == 0);
    bytes += more;
    if (when_bytes) when_bytes();
  }
  void on_eof() override {
    CHECK(!eof);
    CHECK(closed == 0);
    eof = true;
    if (when_eof) when_eof();
  }
  void on_writable() override {
    CHECK(closed == 0);
    ++writable;
    if (when_writable) when_writable();
  }
  void on_closed(const Error& why) override {
    ++closed;
    CHECK(closed == 1);
    code = why.code;
    if (when_closed) when_closed();
  }
};

/// `up` connects to `down`; both start paused.
struct Pair {
  Pair() {
    auto result = Acceptor::listen(loop, SocketAddress::parse("127.0.0.1:0").value(), {},
                                   [this](std::unique_ptr<Stream> stream) {
                                     down = std::move(stream);
                                     down->set_handler(&down_saw);
                                     if (on_accept) on_accept();
                                   });
    REQUIRE(result.ok());
    acceptor = std::move(result).value();
  }

  void connect() {
    connector = Connector::connect(loop, acceptor->local(), kLong,
                                   [this](Result<std::unique_ptr<Stream>> result) {
                                     REQUIRE(result.ok());
                                     up = std::move(result).value();
                                     up->set_handler(&up_saw);
                                   });
    REQUIRE(until([&] { return up != nullptr && down != nullptr; }));
  }

  bool until(const std::function<bool()>& done) { return loop.run_until(done, kLong); }

  /// What was started before this is over: a timer's round trip through two turns.
  void settle() {
    int tasks = 0;
    for (int i = 0; i < 5; ++i) {
      loop.post([&] { ++tasks; });
      REQUIRE(until([&] { return tasks == i + 1; }));
    }
  }

  Loop loop;
  Recorder up_saw;
  Recorder down_saw;
  std::function<void()> on_accept;
  std::unique_ptr<Acceptor> acceptor;
  std::unique_ptr<Connector> connector;
  std::unique_ptr<Stream> up;
  std::unique_ptr<Stream> down;
};

}  // namespace hms::net
