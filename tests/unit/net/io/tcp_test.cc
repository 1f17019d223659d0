#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/io/tcp.h"
#include "net/io/timer_wheel.h"

namespace hms::net {
namespace {

constexpr Millis kLong{10'000};  // only a failing test waits that long

/// Keeps what a stream told; checks the order that stream.h promises.
struct Recorder : StreamHandler {
  std::string bytes;
  bool eof = false;
  int closed = 0;
  int writable = 0;
  std::string error;
  Code code = Code::io;
  std::function<void()> when_bytes;
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
  }
  void on_writable() override { ++writable; }
  void on_closed(const Error& why) override {
    ++closed;
    CHECK(closed == 1);
    code = why.code;
    error = to_string(why);
    if (when_closed) when_closed();
  }
};

/// A connected pair over real sockets: `up` connected to `down`. The far ends are streams of the
/// same loop.
struct Pair {
  explicit Pair(AcceptOptions options = {}) {
    auto result = Acceptor::listen(loop, SocketAddress::parse("127.0.0.1:0").value(), options,
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
    REQUIRE(loop.run_until([&] { return up != nullptr && (down != nullptr || !wait_for_accept); },
                           kLong));
  }

  bool until(const std::function<bool()>& done) { return loop.run_until(done, kLong); }

  Loop loop;
  Recorder up_saw;
  Recorder down_saw;
  std::function<void()> on_accept;
  bool wait_for_accept = true;
  std::unique_ptr<Acceptor> acceptor;
  std::unique_ptr<Connector> connector;
  std::unique_ptr<Stream> up;
  std::unique_ptr<Stream> down;
};

}  // namespace

TEST_CASE("tcp: bytes go both ways, and a half-close keeps the other half open") {
  Pair pair;
  pair.connect();
  pair.up->resume_reading();
  pair.down->resume_reading();
  pair.up->write("ping");
  REQUIRE(pair.until([&] { return pair.down_saw.bytes == "ping"; }));
  pair.up->shutdown_write();
  REQUIRE(pair.until([&] { return pair.down_saw.eof; }));
  pair.down->write("pong");
  REQUIRE(pair.until([&] { return pair.up_saw.bytes == "pong"; }));
  CHECK(pair.up_saw.closed == 0);
  pair.down->shutdown_write();
  REQUIRE(pair.until([&] { return pair.up_saw.closed == 1 && pair.down_saw.closed == 1; }));
  CHECK(pair.up_saw.eof);
  CHECK(pair.up_saw.code == Code::closed);
  CHECK(pair.up->bytes_read() == 4);
  CHECK(pair.up->bytes_written() == 4);
  CHECK(pair.up->peer() == pair.acceptor->local());
  CHECK(pair.down->peer() == pair.up->local());
}

TEST_CASE(
    "tcp: a large write meets back-pressure, arrives whole, and on_writable comes once it has "
    "drained") {
  Pair pair;
  pair.connect();
  std::string sent(8 * 1024 * 1024, '\0');
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 31 >> 4);
  pair.up->write(sent);
  CHECK(pair.up->above_high_watermark());
  CHECK(pair.up->bytes_written() + pair.up->queued_bytes() == sent.size());
  pair.down->resume_reading();
  REQUIRE(pair.until(
      [&] { return pair.down_saw.bytes.size() == sent.size() && pair.up_saw.writable > 0; }));
  CHECK(pair.down_saw.bytes == sent);
  CHECK(pair.up_saw.writable == 1);
  CHECK(pair.up->queued_bytes() == 0);
}

}  // namespace hms::net
