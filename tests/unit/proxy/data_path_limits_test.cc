// What is bounded: requests, connections, stalls, and limits that are reloaded, over fake streams.
#include <doctest/doctest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "tests/unit/proxy/data_path_world.h"

using namespace hms::proxy;

TEST_CASE("data_path: requests beyond the limit are answered 503") {
  Config config;
  config.limits.requests = 1;
  World world(config);
  FakeStream* first = world.call();
  FakeStream* second = world.call();
  first->arrive(kGet);
  second->arrive(kGet);
  CHECK(second->written.find("x-hms-error: overloaded") != std::string::npos);
  world.refuse();
  CHECK(first->written.find("x-hms-error: connect_failed") != std::string::npos);
}

TEST_CASE("data_path: a slow reader has its own time, whatever the body's is") {
  Config config;
  config.timeouts.body_stall = hms::net::Millis{500};
  config.timeouts.write_stall = hms::net::Millis{60'000};
  World world(config);
  FakeStream* caller = world.call();
  caller->arrive("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx");
  FakeStream* service = world.connect();
  service->arrive("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nxxxx");
  caller->queued = 50'000;  // and the upload goes on, so only the reader could be at fault
  hms::net::Timer upload(world.loop, [&] {
    caller->arrive("y");
    upload.arm(hms::net::Millis{20});
  });
  upload.arm(hms::net::Millis{20});
  const uint64_t until = world.loop.now_millis() + 1'200;
  CHECK(world.loop.run_until([&] { return world.loop.now_millis() >= until; },
                             hms::net::Millis{10'000}));
  upload.disarm();
  CHECK_FALSE(caller->reset);
  CHECK(world.data->counters().stalled_readers == 0);
}

TEST_CASE("data_path: a body that stalls after we had stopped reading is called a stall") {
  Config config;
  config.timeouts.body_stall = hms::net::Millis{50};
  World world(config);
  FakeStream* caller = world.call();
  caller->arrive("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx");
  // Longer than the stall's time, in which the connection was ours to wait for.
  const uint64_t until = world.loop.now_millis() + 120;
  hms::net::Timer look(world.loop, [&] { look.arm(hms::net::Millis{20}); });
  look.arm(hms::net::Millis{20});
  REQUIRE(world.loop.run_until([&] { return world.loop.now_millis() >= until; },
                               hms::net::Millis{10'000}));
  look.disarm();
  CHECK(caller->written.empty());
  world.connect();
  CHECK(world.loop.run_until([&] { return world.data->counters().stalled_bodies == 1; },
                             hms::net::Millis{10'000}));
  CHECK(caller->written.starts_with("HTTP/1.1 408"));
}

TEST_CASE("data_path: a connection beyond the limit is answered and read to its end") {
  Config config;
  config.limits.connections = 1;
  World world(config);
  world.call();
  FakeStream* refused = world.call();
  CHECK(refused->written.find("x-hms-error: overloaded") != std::string::npos);
  CHECK(refused->fin_sent);
  bool destroyed = false;
  refused->destroyed = &destroyed;
  world.turn();
  CHECK_FALSE(destroyed);  // closing with the request unread would be a reset
  refused->arrive(kGet);
  refused->arrive_closed(hms::net::Code::closed);
  world.turn();
  CHECK(destroyed);
  CHECK(world.data->counters().connections_refused == 1);
  CHECK(world.data->counters().connections_open[0] == 1);
}

TEST_CASE("data_path: a flood beyond the limit is not answered one by one for ever") {
  Config config;
  config.limits.connections = 1;
  World world(config);
  for (int i = 0; i < 2'000; ++i) world.call();
  CHECK(world.data->sessions_open() == 1 + 256);
  CHECK(world.data->counters().connections_refused == 1'999);
}

TEST_CASE("data_path: other limits while more requests run than are kept mix none of them up") {
  constexpr int kMany = 300;  // 256 exchanges are kept
  Config config;
  config.app = "127.0.0.1:1";
  World world(config);
  std::vector<std::pair<FakeStream*, FakeStream*>> pairs;  // a caller and who answers it
  const auto begin = [&](int requests) {
    for (int i = 0; i < requests; ++i) {
      FakeStream* caller = world.call();
      caller->arrive(kGet);
      pairs.emplace_back(caller, world.connect());
    }
  };
  const auto end_all = [&] {
    for (const auto& [caller, service] : std::exchange(pairs, {})) {
      service->arrive("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
      CHECK(caller->written.ends_with("\r\n\r\nok"));
      caller->arrive_closed(hms::net::Code::closed);
    }
    world.turn();
  };
  begin(kMany);
  end_all();
  begin(1);
  config.limits.head = 4'096;
  world.data->apply(make_snapshot(config, {}, {}, 0, 2));
  begin(kMany);
  std::reverse(pairs.begin(), pairs.end());  // the one with the old limits is one too many
  end_all();
  begin(kMany);
  end_all();
  CHECK(world.data->exchanges_running() == 0);
}

TEST_CASE("data_path: a request that runs keeps its limits, the next one has the new ones") {
  Config config;
  config.app = "127.0.0.1:1";
  World world(config);
  FakeStream* caller = world.call();
  caller->arrive(kGet);
  FakeStream* service = world.connect();
  config.limits.head = 1'024;
  world.data->apply(make_snapshot(config, {}, {}, 0, 2));
  service->arrive(kOk);
  CHECK(caller->written.starts_with("HTTP/1.1 200 "));
  caller->written.clear();
  caller->arrive("GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + std::string(2'000, 'x') + "\r\n\r\n");
  CHECK(caller->written.starts_with("HTTP/1.1 431 "));
}
