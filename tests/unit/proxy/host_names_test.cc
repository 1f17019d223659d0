#include "proxy/cluster/host_names.h"

#include <doctest/doctest.h>

using namespace hms::proxy;
namespace net = hms::net;

TEST_CASE("host_names: a name of this machine is looked up for real, and kept") {
  net::Loop loop;
  Counters count;
  HostNames names(loop, count, {});
  bool answered = false;
  const auto waiter = names.ask("localhost:80", {"localhost", 80}, [&](const auto& answer) {
    answered = true;
    REQUIRE(answer.ok());
    CHECK(answer->front().is_loopback());
  });
  CHECK(names.find("localhost:80") == nullptr);
  REQUIRE(loop.run_until([&] { return answered; }, net::Millis{10'000}));
  REQUIRE(names.find("localhost:80") != nullptr);
  CHECK(count.lookups_answered == 1);
}

TEST_CASE("host_names: whoever waits may go, also while the answer is told") {
  net::Loop loop;
  Counters count;
  net::Resolver::OnResolved on_resolved;
  HostNames names(loop, count, [&](const net::HostPort&, net::Resolver::OnResolved done) {
    on_resolved = std::move(done);
    return std::make_unique<net::Resolver>();
  });
  int told = 0;
  std::unique_ptr<HostNames::Waiter> first, second;
  const auto on_answer = [&](const HostNames::Answer&) {
    ++told;
    first.reset();
    second.reset();
  };
  first = names.ask("shop:80", {"shop", 80}, on_answer);
  second = names.ask("shop:80", {"shop", 80}, on_answer);
  on_resolved(HostNames::Addresses{*net::SocketAddress::parse("127.0.0.1:80")});
  CHECK(told == 1);
  loop.run_until([] { return false; }, net::Millis{1});
}

TEST_CASE("host_names: the address that was reached comes first, also after another look-up") {
  net::Loop loop;
  Counters count;
  net::Resolver::OnResolved on_resolved;
  HostNames names(loop, count, [&](const net::HostPort&, net::Resolver::OnResolved done) {
    on_resolved = std::move(done);
    return std::make_unique<net::Resolver>();
  });
  const auto one = *net::SocketAddress::parse("127.0.0.1:80");
  const auto two = *net::SocketAddress::parse("127.0.0.2:80");
  const auto ask = [&] {
    const auto waiter = names.ask("shop:80", {"shop", 80}, [](const HostNames::Answer&) {});
    on_resolved(HostNames::Addresses{one, two});
  };
  ask();
  CHECK(*names.after("shop:80", one) == two);
  names.prefer("shop:80", two);
  CHECK((*names.find("shop:80"))->front() == two);
  CHECK(*names.after("shop:80", two) == one);
  ask();
  CHECK((*names.find("shop:80"))->front() == two);
}
