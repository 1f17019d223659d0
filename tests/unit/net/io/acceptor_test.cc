#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "net/core/log.h"
#include "net/io/tcp.h"
#include "net/io/timer_wheel.h"
#include "tests/unit/net/io/tcp_pair.h"

namespace hms::net {
namespace {

SocketAddress any_port() { return SocketAddress::parse("127.0.0.1:0").value(); }

std::unique_ptr<Acceptor> accept_into(Loop& loop, std::vector<std::unique_ptr<Stream>>& streams,
                                      const AcceptOptions& options = {}) {
  auto result = Acceptor::listen(
      loop, any_port(), options,
      [&streams](std::unique_ptr<Stream> stream) { streams.push_back(std::move(stream)); });
  REQUIRE(result.ok());
  return std::move(result).value();
}

/// A client that needs no loop: the kernel completes the connection out of the backlog.
struct Client {
  explicit Client(const SocketAddress& address)
      : descriptor(socket(address.raw()->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    REQUIRE(descriptor >= 0);
    REQUIRE(::connect(descriptor, address.raw(), address.raw_length()) == 0);
  }
  ~Client() { close(descriptor); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  int descriptor;
};

}  // namespace

TEST_CASE("acceptor: connections arrive with their peer, on IPv4 and IPv6") {
  for (const char* text : {"127.0.0.1:0", "[::1]:0"}) {
    CAPTURE(text);
    Loop loop;
    std::vector<std::unique_ptr<Stream>> streams;
    auto result = Acceptor::listen(
        loop, SocketAddress::parse(text).value(), {},
        [&](std::unique_ptr<Stream> stream) { streams.push_back(std::move(stream)); });
    if (!result.ok() && text[0] == '[') continue;  // a machine without IPv6
    REQUIRE(result.ok());
    CHECK((*result)->local().port() != 0);
    const Client client((*result)->local());
    REQUIRE(loop.run_until([&] { return streams.size() == 1; }, kLong));
    CHECK(streams[0]->peer().is_loopback());
    CHECK(streams[0]->local() == (*result)->local());
  }
}

TEST_CASE(
    "acceptor: a port in use, a foreign address and a forbidden port give one clear sentence") {
  Loop loop;
  std::vector<std::unique_ptr<Stream>> streams;
  const auto first = accept_into(loop, streams);
  const auto again = Acceptor::listen(loop, first->local(), {}, [](std::unique_ptr<Stream>) {});
  REQUIRE(!again.ok());
  CHECK(again.error().code == Code::io);
  CHECK(again.error().detail == "cannot listen on " + first->local().to_string() +
                                    ": the port is in use by another program");
  const auto foreign = Acceptor::listen(loop, SocketAddress::parse("192.0.2.1:0").value(), {},
                                        [](std::unique_ptr<Stream>) {});
  REQUIRE(!foreign.ok());
  CHECK(foreign.error().detail == "cannot listen on 192.0.2.1:0: this machine has no such address");
}

TEST_CASE("acceptor: with reuse_port several listen on one address") {
  Loop loop;
  std::vector<std::unique_ptr<Stream>> streams;
  const auto first = accept_into(loop, streams, {.reuse_port = true});
  auto second = Acceptor::listen(
      loop, first->local(), {.reuse_port = true},
      [&](std::unique_ptr<Stream> stream) { streams.push_back(std::move(stream)); });
  REQUIRE(second.ok());
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(std::make_unique<Client>(first->local()));
  CHECK(loop.run_until([&] { return streams.size() == 20; }, kLong));
}

TEST_CASE("acceptor: with defer_accept a connection arrives once it has sent something") {
  Loop loop;
  std::vector<std::unique_ptr<Stream>> streams;
  const auto acceptor = accept_into(loop, streams, {.defer_accept = true});
  const Client client(acceptor->local());
  REQUIRE(send(client.descriptor, "x", 1, 0) == 1);
  CHECK(loop.run_until([&] { return streams.size() == 1; }, kLong));
}

TEST_CASE("acceptor: paused it leaves connections in the backlog, resumed it takes them") {
  Loop loop;
  std::vector<std::unique_ptr<Stream>> streams;
  const auto acceptor = accept_into(loop, streams);
  acceptor->pause();
  const Client first(acceptor->local());
  const Client second(acceptor->local());
  CHECK(!loop.run_until([&] { return !streams.empty(); }, Millis(50)));
  acceptor->resume();
  acceptor->resume();
  CHECK(loop.run_until([&] { return streams.size() == 2; }, kLong));
}

TEST_CASE(
    "acceptor: it may be paused or destroyed by its own callback, with more connections waiting") {
  for (const bool destroy : {false, true}) {
    Loop loop;
    std::unique_ptr<Acceptor> acceptor;
    int accepted = 0;
    const auto held = std::make_shared<int>(1);
    acceptor = std::move(Acceptor::listen(loop, any_port(), {}, [&, held](std::unique_ptr<Stream>) {
                 accepted += *held;
                 if (destroy) {
                   acceptor.reset();
                 } else {
                   acceptor->pause();
                 }
                 accepted += *held;  // what the callback holds is still there
               })).value();
    const Client first(acceptor->local());
    const Client second(acceptor->local());
    CHECK(loop.run_until([&] { return accepted == 2; }, kLong));
    CHECK(!loop.run_until([&] { return accepted > 2; }, Millis(30)));
  }
}

TEST_CASE(
    "acceptor: out of descriptors it rests, counts, and serves what waited once there are some "
    "again") {
  Loop loop;
  std::vector<std::unique_ptr<Stream>> streams;
  const auto acceptor = accept_into(loop, streams, {.pause_when_out_of_descriptors = Millis(20)});
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(std::make_unique<Client>(acceptor->local()));
  // Every free number below the limit is taken, so that accept has none.
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit low{.rlim_cur = 256, .rlim_max = before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
  std::vector<int> fillers;
  for (int filler = 0; (filler = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;)
    fillers.push_back(filler);
  REQUIRE(errno == EMFILE);
  log_set_level(LogLevel::error);
  CHECK(loop.run_until([&] { return acceptor->accept_pauses() >= 3; }, kLong));
  log_set_level(LogLevel::info);
  CHECK(streams.empty());
  for (const int filler : fillers) close(filler);
  setrlimit(RLIMIT_NOFILE, &before);
  CHECK(loop.run_until([&] { return streams.size() == 5; }, kLong));
}

TEST_CASE("acceptor: a burst is taken in portions, none is lost") {
  Loop loop;
  std::vector<std::unique_ptr<Stream>> streams;
  const auto acceptor = accept_into(loop, streams);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 150; ++i) clients.push_back(std::make_unique<Client>(acceptor->local()));
  CHECK(loop.run_until([&] { return streams.size() == 150; }, kLong));
}

}  // namespace hms::net
