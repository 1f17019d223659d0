// Sessions, exchanges and the pool over fake streams: what leaves, in how many writes, and that the
// steady state allocates nothing.
#include "proxy/data_path.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "tests/unit/proxy/counted_allocations.h"
#include "tests/unit/proxy/data_path_world.h"

using namespace hms::proxy;

TEST_CASE(
    "data_path: a keep-alive request is one write each way and allocates nothing in the steady "
    "state") {
  World world;
  FakeStream* caller = world.call();
  caller->arrive(kGet);
  FakeStream* service = world.connect();
  service->arrive(kOk);
  CHECK(caller->written.starts_with("HTTP/1.1 200 OK\r\n"));
  for (int i = 0; i < 100; ++i) {  // buffers, histograms and span arrays grow to their size
    caller->arrive(kGet);
    service->arrive(kOk);
  }
  (void)world.data->flip();
  for (int i = 0; i < 100; ++i) {
    caller->arrive(kGet);
    service->arrive(kOk);
  }
  (void)world.data->flip();
  caller->written.reserve(1 << 20);
  service->written.reserve(1 << 20);
  const size_t to_caller = caller->write_calls, to_service = service->write_calls;
  // The least of some rounds: a duration beyond all earlier ones lets its histogram's window grow,
  // once.
  size_t least = SIZE_MAX;
  for (int round = 0; round < 5; ++round) {
    CountedAllocations counted;
    for (int i = 0; i < 18; ++i) {
      caller->arrive(kGet);
      service->arrive(kOk);
    }
    least = std::min(least, counted.stop());
  }
  CHECK(least == 0);
  CHECK(caller->write_calls - to_caller == 90);
  CHECK(service->write_calls - to_service == 90);
  CHECK(world.upstream.size() == 1);
}

TEST_CASE("data_path: head and body of one read leave in one write") {
  World world;
  FakeStream* caller = world.call();
  caller->arrive(kGet);
  FakeStream* service = world.connect();
  service->arrive(kOk);
  const size_t before = service->write_calls;
  caller->arrive(
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
      "chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  CHECK(service->write_calls == before + 1);
  CHECK(service->written.ends_with("\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"));
}

TEST_CASE("data_path: a stale kept-alive connection is retried once on a fresh one, body and all") {
  World world;
  FakeStream* caller = world.call();
  caller->arrive(kGet);
  FakeStream* service = world.connect();
  service->arrive(kOk);
  const uint64_t service_saw = service->bytes_written();
  caller->arrive("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo");
  caller->arrive("dy");
  service->unacknowledged = service->bytes_written() - service_saw;
  service->arrive_eof();
  FakeStream* fresh = world.connect();
  CHECK(fresh->written.ends_with("\r\n\r\nbody"));
  fresh->arrive(kOk);
  CHECK(caller->written.find("HTTP/1.1 502") == std::string::npos);
  CHECK(world.data->counters().retries_stale == 1);
}

TEST_CASE("data_path: a POST that the service read before it ended is not sent again") {
  World world;
  FakeStream* caller = world.call();
  caller->arrive(kGet);
  FakeStream* service = world.connect();
  service->arrive(kOk);
  caller->arrive("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
  service->arrive_eof();
  CHECK(world.waiting.empty());
  CHECK(caller->written.find("x-hms-error: upstream_closed") != std::string::npos);
}

TEST_CASE("data_path: a reset under a POST is not repeated, under a GET it is") {
  for (const bool is_get : {true, false}) {
    World world;
    FakeStream* caller = world.call();
    caller->arrive(kGet);
    FakeStream* service = world.connect();
    service->arrive(kOk);
    caller->written.clear();
    caller->arrive(is_get ? std::string(kGet)
                          : "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    service->arrive_closed(hms::net::Code::reset);
    if (is_get) {
      world.connect()->arrive(kOk);
      CHECK(caller->written.starts_with("HTTP/1.1 200"));
    } else {
      CHECK(caller->written.find("x-hms-error: upstream_reset") != std::string::npos);
      CHECK(world.waiting.empty());
    }
  }
}

TEST_CASE("data_path: a request that fails while it connects takes its attempt along at once") {
  World world;
  FakeStream* caller = world.call();
  caller->arrive("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  REQUIRE(world.waiting.size() == 1);
  caller->arrive("nonsense\r\n");
  CHECK(caller->written.starts_with("HTTP/1.1 400 "));
  CHECK(
      *world.waiting.front() ==
      nullptr);  // before the turn is over: nothing may come back to an exchange that is free again
}

TEST_CASE("data_path: what is pipelined waits for its turn") {
  World world;
  FakeStream* caller = world.call();
  caller->arrive(std::string(kGet) + std::string(kGet));
  FakeStream* service = world.connect();
  const size_t first = service->written.size();
  CHECK(service->written.find("GET", 3) == std::string::npos);
  service->arrive(kOk);
  CHECK(service->written.size() > first);
  service->arrive(kOk);
  CHECK(world.upstream.size() == 1);
}

TEST_CASE("data_path: watermarks hold the faster side back and let it go again") {
  World world;
  FakeStream* caller = world.call();
  caller->arrive(kGet);
  FakeStream* service = world.connect();
  caller->queued = 200 * 1024;
  service->arrive("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nxxxx");
  CHECK(service->pauses == 1);
  caller->arrive_writable();
  CHECK(service->pauses == 0);
  CHECK(world.data->counters().pauses_upstream == 1);
}

TEST_CASE("data_path: a caller that goes away cancels its call with a reset") {
  World world;
  FakeStream* caller = world.call();
  caller->arrive(kGet);
  FakeStream* service = world.connect();
  bool destroyed = false;
  service->destroyed = &destroyed;
  caller->arrive_closed(hms::net::Code::reset);
  CHECK(service->reset);
  world.turn();
  CHECK(destroyed);
  CHECK(world.data->counters().client_disconnects == 1);
  CHECK(world.data->sessions_open() == 0);
  CHECK(world.data->exchanges_running() == 0);
}

TEST_CASE("data_path: a reply head in pieces, then cut, is a reset for the caller") {
  World world;
  FakeStream* caller = world.call();
  caller->arrive(kGet);
  FakeStream* service = world.connect();
  for (const char c : std::string("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"))
    service->arrive(std::string_view(&c, 1));
  service->arrive_eof();
  CHECK(caller->reset);
  CHECK(world.data->counters().replies_cut == 1);
}

TEST_CASE("data_path: a new snapshot leaves running exchanges alone and forgets unused endpoints") {
  World world;
  FakeStream* caller = world.call();
  caller->arrive(kGet);
  FakeStream* service = world.connect();
  Config config;
  config.app = "127.0.0.1:2";
  world.data->apply(make_snapshot(config, {}, {}, 0, 2));
  service->arrive(kOk);
  CHECK(caller->written.starts_with("HTTP/1.1 200"));
  world.turn();
  caller->arrive(kGet);
  world.connect()->arrive(kOk);
  world.data->apply(make_snapshot(config, {}, {}, 0, 3));
  CHECK(world.data->pool().endpoints().size() == 1);
}

TEST_CASE("data_path: whatever way a request ends, its endpoint has nothing in flight any more") {
  World world;
  FakeStream* caller = world.call();
  SUBCASE("answered") {
    caller->arrive(kGet);
    world.connect()->arrive(kOk);
  }
  SUBCASE("refused by the service's host") {
    caller->arrive(kGet);
    world.refuse();
    CHECK(caller->written.find("x-hms-error: connect_failed") != std::string::npos);
  }
  SUBCASE("a stale connection, and then a refusal") {
    caller->arrive(kGet);
    FakeStream* service = world.connect();
    service->arrive(kOk);
    caller->arrive(kGet);
    service->arrive_eof();
    world.refuse();
    CHECK(caller->written.find("x-hms-error: connect_failed") != std::string::npos);
  }
  SUBCASE("the caller leaves while the attempt connects") {
    caller->arrive(kGet);
    caller->arrive_closed(hms::net::Code::reset);
  }
  SUBCASE("the service leaves") {
    caller->arrive(kGet);
    world.connect()->arrive_closed(hms::net::Code::reset);
  }
  SUBCASE("the reply is cut") {
    caller->arrive(kGet);
    FakeStream* service = world.connect();
    service->arrive("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc");
    service->arrive_eof();
  }
  world.turn();
  const auto states = world.data->endpoint_states();
  REQUIRE(states.size() == 1);
  CHECK(states[0].requests > 0);
  CHECK(states[0].in_flight == 0);
}

TEST_CASE("data_path: callers from many addresses take no name from routes and upstreams") {
  World world;
  FakeStream* service = nullptr;
  for (uint32_t i = 0; i < 66'000; ++i) {
    FakeStream* caller =
        world.call("10." + std::to_string(i >> 16) + "." + std::to_string(i >> 8 & 255) + "." +
                   std::to_string(i & 255) + ":1");
    caller->keep_written = false;
    caller->arrive(kGet);
    if (service == nullptr) {
      service = world.connect();
      service->keep_written = false;
    }
    service->arrive(kOk);
    caller->arrive_closed(hms::net::Code::closed);
    if (i % 16'000 == 0) {
      world.turn();
      (void)world.data->flip();
    }
  }
  (void)world.data->flip();
  Config config;
  config.app = "127.0.0.1:1";
  config.upstreams = {{.name = "claims-v1", .endpoints = {{"127.0.0.1", 2}}},
                      {.name = "claims-v2", .endpoints = {{"127.0.0.1", 3}}}};
  RouteConfig route;
  route.path = "/claims/{id}";
  route.split = {{"claims-v1", 0}, {"claims-v2", 100}};
  config.routes = {route};
  world.data->apply(make_snapshot(config, {}, {}, 0, 2));
  world.call()->arrive(kGet);
  world.connect()->arrive(kOk);
  const auto delta = world.data->flip();
  REQUIRE(delta.series.size() == 1);
  CHECK(delta.name(delta.series[0].key.route) == "/claims/{id}");
  CHECK(delta.name(delta.series[0].key.upstream) == "claims-v2");
  CHECK(delta.names->size() <= 5);  // those it uses, not all there are
}

TEST_CASE("data_path: when a service was seen to close counts more than what it says") {
  World world;
  FakeStream* caller = world.call();
  const std::string reply =
      "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=75\r\nContent-Length: 2\r\n\r\nok";
  caller->arrive(kGet);
  FakeStream* service = world.connect();
  service->arrive(reply);
  CHECK(world.data->endpoint_states()[0].idle_limit_ms == 60'000);
  const uint64_t until = world.loop.now_millis() + 550;
  hms::net::Timer look(world.loop, [&] { look.arm(hms::net::Millis{50}); });
  look.arm(hms::net::Millis{50});
  REQUIRE(world.loop.run_until([&] { return world.loop.now_millis() >= until; },
                               hms::net::Millis{10'000}));
  look.disarm();
  service->arrive_eof();
  const uint64_t seen = world.data->endpoint_states()[0].idle_limit_ms;
  CHECK(seen >= 440);
  CHECK(seen < 60'000);
  caller->arrive(kGet);
  world.connect()->arrive(reply);
  CHECK(world.data->endpoint_states()[0].idle_limit_ms == seen);
}

TEST_CASE("data_path: an idle session holds no exchange") {
  World world;
  for (int i = 0; i < 10; ++i) {
    FakeStream* caller = world.call();
    caller->arrive(kGet);
    if (!world.waiting.empty()) world.connect();
    world.upstream.back()->arrive(kOk);
  }
  CHECK(world.data->sessions_open() == 10);
  CHECK(world.data->exchanges_running() == 0);
  CHECK(world.upstream.size() == 1);
}
