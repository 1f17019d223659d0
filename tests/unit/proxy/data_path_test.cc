// Sessions, exchanges and the pool over fake streams: what leaves, in how many writes, and that the
// steady state allocates nothing.
#include "proxy/data_path.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "tests/unit/proxy/counted_allocations.h"
#include "tests/unit/proxy/fake_stream.h"

using namespace hms::proxy;
using hms::telemetry::Direction;

namespace {

/// As a real one: destroying it silences its callback.
class FakeConnector final : public hms::net::Connector {
 public:
  explicit FakeConnector(std::shared_ptr<OnConnect> callback) : callback_(std::move(callback)) {}
  ~FakeConnector() override { *callback_ = nullptr; }

 private:
  std::shared_ptr<OnConnect> callback_;
};

/// A data path whose upstream connections are fakes, opened as soon as the test says so.
struct World {
  hms::net::Loop loop;
  std::vector<FakeStream*> upstream;  // in order of opening; the data path owns them
  std::vector<std::shared_ptr<hms::net::Connector::OnConnect>> waiting;
  std::vector<std::string> dialled;
  std::vector<std::string> asked;  // names looked up
  std::vector<hms::net::Resolver::OnResolved> answers;
  std::unique_ptr<DataPath> data;

  explicit World(Config config = {}) {
    DataPath::Options options;
    options.proxy_tag = "test";
    options.dial = [this](const hms::net::SocketAddress& address, hms::net::Millis,
                          hms::net::Connector::OnConnect on_connect) {
      dialled.push_back(address.to_string());
      waiting.push_back(std::make_shared<hms::net::Connector::OnConnect>(std::move(on_connect)));
      return std::make_unique<FakeConnector>(waiting.back());
    };
    options.look_up = [this](const hms::net::HostPort& target,
                             hms::net::Resolver::OnResolved on_resolved) {
      asked.push_back(target.host);
      answers.push_back(std::move(on_resolved));
      return std::make_unique<hms::net::Resolver>();
    };
    data = std::make_unique<DataPath>(loop, std::move(options));
    if (config.app.empty()) config.app = "127.0.0.1:1";
    data->apply(make_snapshot(config, {}, {}, 0, 1));
  }
  ~World() {
    data->cut_all();
    turn();
    data.reset();
    turn();
  }

  void turn() {
    for (int i = 0; i < 2; ++i) {  // what is retired in a turn goes at its end
      bool ran = false;
      loop.post([&ran] { ran = true; });
      REQUIRE(loop.run_until([&ran] { return ran; }, hms::net::Millis{10'000}));
    }
  }
  FakeStream* call(const std::string& peer = "127.0.0.1:9",
                   Direction direction = Direction::inbound) {
    auto stream = std::make_unique<FakeStream>(peer);
    FakeStream* raw = stream.get();
    data->accept(std::move(stream), direction);
    return raw;
  }
  FakeStream* call_out() { return call("127.0.0.1:9", Direction::outbound); }
  FakeStream* connect() {
    REQUIRE_FALSE(waiting.empty());
    auto on_connect = std::exchange(*waiting.front(), nullptr);
    waiting.erase(waiting.begin());
    auto stream = std::make_unique<FakeStream>();
    upstream.push_back(stream.get());
    on_connect(std::unique_ptr<hms::net::Stream>(std::move(stream)));
    return upstream.back();
  }
  void refuse() {
    auto on_connect = std::exchange(*waiting.front(), nullptr);
    waiting.erase(waiting.begin());
    on_connect(
        hms::net::Error{hms::net::Code::connect_failed, hms::net::Side::upstream, true, "refused"});
  }
};

constexpr std::string_view kGet =
    "GET /claims/1 HTTP/1.1\r\nHost: a\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n";
constexpr std::string_view kOk =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";

}  // namespace

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
