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
  bool connect_at_once = true;
  std::unique_ptr<DataPath> data;

  explicit World(Config config = {}) {
    DataPath::Options options;
    options.proxy_tag = "test";
    options.dial = [this](const hms::net::SocketAddress&, hms::net::Millis,
                          hms::net::Connector::OnConnect on_connect) {
      waiting.push_back(std::make_shared<hms::net::Connector::OnConnect>(std::move(on_connect)));
      return std::make_unique<FakeConnector>(waiting.back());
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
  FakeStream* call() {
    auto stream = std::make_unique<FakeStream>();
    FakeStream* raw = stream.get();
    data->accept(std::move(stream), Direction::inbound);
    return raw;
  }
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
  caller->arrive("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo");
  caller->arrive("dy");
  service->arrive_eof();
  FakeStream* fresh = world.connect();
  CHECK(fresh->written.ends_with("\r\n\r\nbody"));
  fresh->arrive(kOk);
  CHECK(caller->written.find("502") == std::string::npos);
  CHECK(world.data->counters().retries_stale == 1);
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
