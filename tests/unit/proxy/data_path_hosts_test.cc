// Hosts with several addresses, and names that are looked up, over fake streams.
#include <doctest/doctest.h>

#include "tests/unit/proxy/data_path_world.h"

using namespace hms::proxy;

namespace {

const Resolved kTwoAddresses = {{"localhost:8080",
                                 {*hms::net::SocketAddress::parse("[::1]:8080"),
                                  *hms::net::SocketAddress::parse("127.0.0.1:8080")}}};

}  // namespace

TEST_CASE("data_path: of a host's addresses one that answers is enough, and it is remembered") {
  World world;
  Config config;
  config.app = "localhost:8080";
  world.data->apply(make_snapshot(config, kTwoAddresses, {}, 0, 2));
  FakeStream* caller = world.call();
  caller->arrive(kGet);
  while (world.dialled.back() == "[::1]:8080") world.refuse();
  FakeStream* service = world.connect();
  service->arrive(kOk);
  CHECK(caller->written.starts_with("HTTP/1.1 200"));
  service->arrive_closed(hms::net::Code::closed);
  for (int i = 0; i < 20; ++i) {  // both would have been asked in turn
    caller->written.clear();
    caller->arrive(kGet);
    if (world.dialled.back() == "[::1]:8080") world.refuse();
    service = world.connect();
    service->arrive(kOk);
    CHECK(caller->written.starts_with("HTTP/1.1 200"));
    service->arrive_closed(hms::net::Code::closed);
    world.turn();
  }
  CHECK(std::count(world.dialled.begin(), world.dialled.end(), "[::1]:8080") == 1);
  CHECK(world.data->counters().retries_address == 1);
  CHECK(world.data->counters().retries_connect == 0);
}

TEST_CASE("data_path: a host none of whose addresses answers is told at once, each tried once") {
  World world;
  Config config;
  config.app = "localhost:8080";
  world.data->apply(make_snapshot(config, kTwoAddresses, {}, 0, 2));
  FakeStream* caller = world.call();
  caller->arrive(kGet);
  while (!world.waiting.empty()) world.refuse();
  CHECK(world.dialled.size() == 2);
  CHECK(caller->written.find("x-hms-error: connect_failed") != std::string::npos);
  for (const EndpointState& state : world.data->endpoint_states()) CHECK(state.in_flight == 0);
}

TEST_CASE("data_path: calls by name share one look-up, and go on to the address that answers") {
  World world;
  const std::string get = "GET / HTTP/1.1\r\nHost: shop:80\r\n\r\n";
  FakeStream* first = world.call_out();
  FakeStream* second = world.call_out();
  FakeStream* gone = world.call_out();
  for (FakeStream* caller : {first, second, gone}) caller->arrive(get);
  gone->arrive_closed(hms::net::Code::reset);
  REQUIRE(world.asked == std::vector<std::string>{"shop"});
  world.answers[0](HostNames::Addresses{*hms::net::SocketAddress::parse("127.0.0.7:80"),
                                        *hms::net::SocketAddress::parse("127.0.0.8:80")});
  CHECK(world.waiting.size() == 2);
  world.refuse();
  world.refuse();
  REQUIRE(world.dialled.back() == "127.0.0.8:80");
  world.connect()->arrive(kOk);
  world.connect()->arrive(kOk);
  CHECK(first->written.starts_with("HTTP/1.1 200"));
  CHECK(second->written.starts_with("HTTP/1.1 200"));
  FakeStream* third = world.call_out();
  FakeStream* fourth = world.call_out();
  FakeStream* fifth = world.call_out();
  for (FakeStream* caller : {third, fourth, fifth}) caller->arrive(get);  // two are warm
  CHECK(world.dialled.back() == "127.0.0.8:80");
  CHECK(world.asked.size() == 1);
  CHECK(world.data->counters().lookups_answered == 1);
}

TEST_CASE("data_path: a name without an answer fails those who wait, and is not asked in a storm") {
  World world;
  FakeStream* caller = world.call_out();
  caller->arrive("GET / HTTP/1.1\r\nHost: nowhere\r\n\r\n");
  REQUIRE(world.answers.size() == 1);
  world.answers[0](hms::net::Error{hms::net::Code::resolve_failed, hms::net::Side::upstream, true,
                                   "nowhere: unknown"});
  CHECK(caller->written.find("x-hms-error: resolve_failed") != std::string::npos);
  caller = world.call_out();
  caller->arrive("GET / HTTP/1.1\r\nHost: nowhere\r\n\r\n");
  CHECK(caller->written.find("x-hms-error: resolve_failed") != std::string::npos);
  CHECK(world.asked.size() == 1);
}

TEST_CASE("data_path: look-ups that hang are bounded in number") {
  World world;
  for (int i = 0; i < 65; ++i) {
    FakeStream* caller = world.call_out();
    caller->arrive("GET / HTTP/1.1\r\nHost: h" + std::to_string(i) + "\r\n\r\n");
    const bool refused = caller->written.find("x-hms-error: overloaded") != std::string::npos;
    CHECK(refused == (i == 64));
  }
  CHECK(world.asked.size() == 64);
  CHECK(world.data->counters().lookups_refused == 1);
}
