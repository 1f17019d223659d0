#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <vector>

#include "net/io/tcp.h"
#include "tests/unit/net/io/tcp_pair.h"

namespace hms::net {
namespace {

using Answer = Result<std::vector<SocketAddress>>;

Answer resolve(const std::string& host) {
  Loop loop;
  std::optional<Answer> answer;
  const auto resolver = Resolver::resolve(
      loop, {host, 8080}, [&](Answer result) { answer.emplace(std::move(result)); });
  CHECK(!answer);  // never from inside the call
  REQUIRE(loop.run_until([&] { return answer.has_value(); }, Millis(30'000)));
  return std::move(*answer);
}

}  // namespace

TEST_CASE("resolver: literal addresses answer without a look-up") {
  CHECK(resolve("127.0.0.1").value() ==
        std::vector{SocketAddress::parse("127.0.0.1:8080").value()});
  CHECK(resolve("::1").value() == std::vector{SocketAddress::parse("[::1]:8080").value()});
}

TEST_CASE("resolver: localhost is a loopback address") {
  const auto answer = resolve("localhost");
  REQUIRE(answer.ok());
  REQUIRE(!answer->empty());
  for (const SocketAddress& address : *answer) {
    CHECK(address.is_loopback());
    CHECK(address.port() == 8080);
  }
}

TEST_CASE("resolver: a name that does not exist is resolve_failed and names the host") {
  const auto answer =
      resolve(std::string(70, 'x') + ".invalid");  // a label over 63 bytes: no server is asked
  REQUIRE(!answer.ok());
  CHECK(answer.error().code == Code::resolve_failed);
  CHECK(answer.error().detail.find(".invalid: ") != std::string::npos);
}

TEST_CASE("resolver: destroyed at any time, it is silent") {
  Loop loop;
  for (const char* host : {"127.0.0.1", "localhost"}) {
    for (int i = 0; i < 20; ++i) {
      auto resolver = Resolver::resolve(loop, {host, 1}, [](Answer) { FAIL("silent"); });
      if (i % 2 == 0) continue;
      resolver.reset();
    }
  }
  std::unique_ptr<Resolver> self;
  bool told = false;
  self = Resolver::resolve(loop, {"localhost", 1}, [&](Answer) {
    self.reset();
    told = true;
  });
  CHECK(loop.run_until([&] { return told; }, kLong));
}

}  // namespace hms::net
