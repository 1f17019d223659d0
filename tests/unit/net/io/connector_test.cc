#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "net/io/tcp.h"
#include "tests/unit/net/io/tcp_pair.h"

namespace hms::net {
namespace {

struct Outcome {
  std::optional<Error> error;
  std::unique_ptr<Stream> stream;
  [[nodiscard]] bool known() const { return error || stream; }
  Connector::OnConnect callback() {
    return [this](Result<std::unique_ptr<Stream>> result) {
      CHECK(!known());
      if (result.ok()) {
        stream = std::move(result).value();
      } else {
        error = result.error();
      }
    };
  }
};

/// A port that refuses: bound, but nobody listens. Held, so that no other program gets it.
struct RefusingPort {
  RefusingPort() : descriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const SocketAddress any = SocketAddress::parse("127.0.0.1:0").value();
    REQUIRE(bind(descriptor, any.raw(), any.raw_length()) == 0);
    sockaddr_storage storage{};
    socklen_t length = sizeof(storage);
    getsockname(descriptor, reinterpret_cast<sockaddr*>(&storage), &length);
    address = SocketAddress(reinterpret_cast<const sockaddr*>(&storage), length);
  }
  ~RefusingPort() { close(descriptor); }
  int descriptor;
  SocketAddress address;
};

/// A listener whose backlog is full: further connections get no answer.
struct SilentPort : RefusingPort {
  SilentPort() {
    REQUIRE(listen(descriptor, 0) == 0);
    for (int i = 0; i < 8; ++i) {
      const int filler = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      (void)::connect(filler, address.raw(), address.raw_length());
      fillers.push_back(filler);
    }
  }
  ~SilentPort() {
    for (const int filler : fillers) close(filler);
  }
  std::vector<int> fillers;
};

}  // namespace

TEST_CASE("connector: a refused connection may be retried, and is told after the call") {
  const RefusingPort port;
  Loop loop;
  Outcome outcome;
  const auto connector = Connector::connect(loop, port.address, kLong, outcome.callback());
  CHECK(!outcome.known());
  REQUIRE(loop.run_until([&] { return outcome.known(); }, kLong));
  REQUIRE(outcome.error);
  CHECK(outcome.error->code == Code::connect_failed);
  CHECK(outcome.error->side == Side::upstream);
  CHECK(outcome.error->may_retry);
  CHECK(outcome.error->detail == port.address.to_string() + ": connection refused");
}

TEST_CASE("connector: a fault that the system reports at once still comes later") {
  Loop loop;
  Outcome outcome;
  // Broadcast: connect answers EACCES or ENETUNREACH in the call.
  const auto connector = Connector::connect(loop, SocketAddress::parse("255.255.255.255:1").value(),
                                            kLong, outcome.callback());
  CHECK(!outcome.known());
  REQUIRE(loop.run_until([&] { return outcome.known(); }, kLong));
  REQUIRE(outcome.error);
  CHECK(outcome.error->code == Code::connect_failed);
}

TEST_CASE("connector: no answer within the time allowed is connect_timeout") {
  const SilentPort port;
  Loop loop;
  Outcome outcome;
  const auto connector = Connector::connect(loop, port.address, Millis(50), outcome.callback());
  REQUIRE(loop.run_until([&] { return outcome.known(); }, kLong));
  REQUIRE(outcome.error);
  CHECK(outcome.error->code == Code::connect_timeout);
  CHECK(outcome.error->may_retry);
  CHECK(outcome.error->detail.find("timed out after 50 ms") != std::string::npos);
}

TEST_CASE("connector: destroyed, it is silent; destroyed in its callback, nothing breaks") {
  const SilentPort silent;
  const RefusingPort refusing;
  Loop loop;
  for (const SocketAddress& address : {silent.address, refusing.address}) {
    auto connector = Connector::connect(loop, address, Millis(20), [](auto&&) { FAIL("silent"); });
    connector.reset();
  }
  CHECK(!loop.run_until([] { return false; }, Millis(60)));
  int told = 0;
  std::vector<std::unique_ptr<Connector>> connectors(3);
  connectors[0] = Connector::connect(loop, silent.address, Millis(20), [&](auto&&) {
    connectors[0].reset();
    ++told;
  });
  connectors[1] = Connector::connect(loop, refusing.address, kLong, [&](auto&&) {
    connectors[1].reset();
    ++told;
  });
  connectors[2] = Connector::connect(loop, SocketAddress::parse("255.255.255.255:1").value(), kLong,
                                     [&](auto&&) {
                                       connectors[2].reset();
                                       ++told;
                                     });
  CHECK(loop.run_until([&] { return told == 3; }, kLong));
}

TEST_CASE("connector: the stream is paused and knows both ends") {
  Pair pair;
  pair.connect();
  pair.down->write("early");
  pair.settle();
  CHECK(pair.up_saw.bytes.empty());
  pair.up->resume_reading();
  REQUIRE(pair.until([&] { return pair.up_saw.bytes == "early"; }));
  CHECK(pair.up->peer() == pair.down->local());
}

TEST_CASE("connector: a socket that the kernel connects to itself counts as refused") {
  // A port of the ephemeral range that nobody listens on: sooner or later it is chosen as our own
  // end, too. Linux gives bind and connect ports of different parity, so the neighbour of one that
  // bind chose; skipped should somebody have it.
  SocketAddress address;
  {
    const RefusingPort neighbour;
    address =
        SocketAddress::parse("127.0.0.1:" + std::to_string(neighbour.address.port() ^ 1)).value();
    const int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool free = bind(probe, address.raw(), address.raw_length()) == 0;
    close(probe);
    if (!free) return;
  }
  Loop loop;
  int attempts = 0;
  bool met_itself = false;
  std::unique_ptr<Connector> connector;
  std::function<void()> attempt;
  const auto on_connect = [&](Result<std::unique_ptr<Stream>> result) {
    ++attempts;
    REQUIRE(!result.ok());
    CHECK(result.error().code == Code::connect_failed);
    met_itself = result.error().detail.find("met itself") != std::string::npos;
    loop.post(attempt);
  };
  attempt = [&] { connector = Connector::connect(loop, address, kLong, on_connect); };
  loop.post(attempt);
  // Usually within some thousand attempts; where the kernel never does it, there is nothing to see.
  REQUIRE(loop.run_until([&] { return met_itself || attempts >= 30'000; }, kLong));
}

}  // namespace hms::net
