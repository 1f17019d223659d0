// The exporter against our own HTTP server over real loopback sockets.
#include "telemetry/exporter.h"

#include <doctest/doctest.h>

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "net/core/log.h"
#include "net/http/server.h"
#include "net/io/address.h"

using namespace hms::telemetry;
namespace net = hms::net;
using net::Millis;

namespace {

constexpr const char* kInstance = "0190f3a0-0000-7000-8000-000000000001";
constexpr Millis kPatience{20'000};

struct Received {
  std::string path, identity, dropped, content_type, body;
};

/// A collector that answers as told and remembers what came.
class Collector {
 public:
  explicit Collector(net::Loop& loop) : loop_(loop) {}

  /// Listens; on the port of last time if there was one.
  void start() {
    server_ = net::HttpServer::create(loop_, {});
    for (const char* path : {"/v1/traces", "/v1/metrics", "/v1/logs"}) {
      server_->route("POST", path, [this](net::Request& request, const net::ReplyPtr& reply) {
        on_post(request, reply);
      });
    }
    const auto bound =
        server_->listen(net::SocketAddress::parse("127.0.0.1:" + std::to_string(port)).value());
    REQUIRE(bound);
    port = bound->port();
  }
  void stop() {
    server_.reset();
    unanswered.clear();
  }
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port); }

  uint16_t port = 0;
  std::vector<Received> received;
  std::vector<net::ReplyPtr> unanswered;
  /// The next replies; when used up, 200.
  std::deque<std::function<void(const net::ReplyPtr&)>> answers;
  void answer(int status, net::Headers extra = {}, std::string body = "") {
    answers.push_back([=](const net::ReplyPtr& reply) {
      reply->send(status, "application/x-protobuf", body, extra);
    });
  }

 private:
  void on_post(net::Request& request, const net::ReplyPtr& reply) {
    received.push_back({request.path, std::string(request.header("x-hms-batch")),
                        std::string(request.header("x-hms-dropped")),
                        std::string(request.header("content-type")), request.body});
    if (answers.empty()) return reply->send(200, "application/x-protobuf", "");
    auto next = std::move(answers.front());
    answers.pop_front();
    next(reply);
  }
  net::Loop& loop_;
  std::unique_ptr<net::HttpServer> server_;
};

struct World {
  net::Loop loop;
  std::unique_ptr<net::HttpClient> client = net::HttpClient::create(loop);
  Collector collector{loop};
  std::unique_ptr<Exporter> exporter;

  World() { net::log_set_level(net::LogLevel::error); }
  ~World() {
    exporter.reset();
    client.reset();
    collector.stop();
    loop.run_until([] { return false; }, Millis(20));  // lets handles close
    net::log_set_level(net::LogLevel::info);
  }
  void start(uint64_t spool_bytes = 1'000'000, Millis refused_limit = Millis{300'000}) {
    ExporterOptions options;
    options.refused_limit = refused_limit;
    options.collector_url = collector.port == 0 ? "" : collector.url();
    options.instance_id = kInstance;
    options.boot_number = 3;
    options.spool_bytes = spool_bytes;
    exporter = Exporter::create(loop, *client, options);
  }
  bool until(const std::function<bool()>& done) { return loop.run_until(done, kPatience); }
  bool until_acknowledged(uint64_t batches) {
    return until([&] { return exporter->counters().batches_acknowledged >= batches; });
  }
  [[nodiscard]] std::vector<std::string> bodies() const {
    std::vector<std::string> out;
    for (const auto& one : collector.received) out.push_back(one.body);
    return out;
  }
};

std::string identity(uint64_t sequence) {
  return std::string(kInstance) + "/3/" + std::to_string(sequence);
}

}  // namespace

TEST_CASE("exporter: batches arrive in order, each with its identity, compressed on the way") {
  World world;
  world.collector.start();
  world.start();
  world.exporter->add(Signal::traces, "one", 5);
  world.exporter->add(Signal::metrics, "two", 6);
  world.exporter->add(Signal::logs, "three", 7);
  REQUIRE(world.until_acknowledged(3));
  CHECK(world.bodies() == std::vector<std::string>{"one", "two", "three"});
  CHECK(world.collector.received[0].path == "/v1/traces");
  CHECK(world.collector.received[1].path == "/v1/metrics");
  CHECK(world.collector.received[2].path == "/v1/logs");
  CHECK(world.collector.received[0].identity == identity(1));
  CHECK(world.collector.received[2].identity == identity(3));
  CHECK(world.collector.received[0].content_type == "application/x-protobuf");
  CHECK(world.collector.received[0].dropped.empty());
  CHECK(world.exporter->counters().records_acknowledged == 18);
  CHECK(world.exporter->state().connected);
  CHECK(world.exporter->state().last_ack_unix_nanos > 0);
  CHECK(world.exporter->state().failures == 0);
}

TEST_CASE("exporter: an outage loses nothing; after it everything arrives in order") {
  World world;
  world.collector.start();
  world.start();
  world.collector.stop();
  for (int i = 0; i < 5; ++i) world.exporter->add(Signal::traces, "batch " + std::to_string(i), 1);
  REQUIRE(world.until([&] { return world.exporter->state().failures >= 2; }));
  CHECK_FALSE(world.exporter->state().connected);
  CHECK(world.exporter->counters().batches == 5);
  world.collector.start();
  REQUIRE(world.until_acknowledged(5));
  CHECK(world.bodies() ==
        std::vector<std::string>{"batch 0", "batch 1", "batch 2", "batch 3", "batch 4"});
  CHECK(world.exporter->state().connected);
  CHECK(world.exporter->counters().dropped_records.empty());
}

TEST_CASE(
    "exporter: 503 with Retry-After is waited for, and the same batch comes again under the same "
    "identity") {
  World world;
  world.collector.start();
  world.start();
  world.collector.answer(503, {{"retry-after", "1"}});
  const uint64_t begin = net::monotonic_nanos();
  world.exporter->add(Signal::metrics, "patient", 1);
  REQUIRE(world.until_acknowledged(1));
  CHECK(net::monotonic_nanos() - begin >=
        990'000'000);  // a lower bound on what was asked, not on our speed
  REQUIRE(world.collector.received.size() == 2);
  CHECK(world.collector.received[0].identity == identity(1));
  CHECK(world.collector.received[1].identity == identity(1));
  CHECK(world.exporter->counters().dropped_records.empty());
}

TEST_CASE("exporter: 429, 502 and 504 are tried again, in order") {
  World world;
  world.collector.start();
  world.start();
  for (const int status : {429, 502, 504}) world.collector.answer(status);
  world.exporter->add(Signal::traces, "first", 1);
  world.exporter->add(Signal::traces, "second", 1);
  REQUIRE(world.until_acknowledged(2));
  CHECK(world.bodies() == std::vector<std::string>{"first", "first", "first", "first", "second"});
  CHECK(world.exporter->state().attempts == 5);
  CHECK(world.exporter->state().failures == 3);
}

TEST_CASE("exporter: a lost acknowledgement makes the batch come twice, under one identity") {
  World world;
  world.collector.start();
  world.start();
  // Taken and stored, but the connection dies before the reply.
  world.collector.answers.push_back([&](const net::ReplyPtr& reply) {
    world.collector.unanswered.push_back(reply);
    world.loop.post([&] { world.collector.stop(); });
  });
  world.exporter->add(Signal::traces, "once only, please", 1);
  REQUIRE(world.until([&] { return world.exporter->state().failures >= 1; }));
  const size_t before = world.collector.received.size();
  CHECK(before >= 1);
  world.collector.start();
  REQUIRE(world.until_acknowledged(1));
  CHECK(world.collector.received.size() > before);
  for (const auto& one : world.collector.received) CHECK(one.identity == identity(1));
}

TEST_CASE(
    "exporter: a rejected batch is dropped and counted, the next one goes on and tells of it") {
  World world;
  world.collector.start();
  world.start();
  world.collector.answer(400);
  world.exporter->count_dropped("spans_limit", 3);
  world.exporter->add(Signal::traces, "bad", 12);
  world.exporter->add(Signal::metrics, "good", 1);
  REQUIRE(world.until_acknowledged(1));
  REQUIRE(world.collector.received.size() == 2);
  CHECK(world.collector.received[0].dropped == "spans_limit=3");
  CHECK(world.collector.received[1].body == "good");
  CHECK(world.collector.received[1].identity == identity(2));
  CHECK(world.collector.received[1].dropped == "rejected=12;spans_limit=3");
  CHECK(world.exporter->counters().dropped_records.at("rejected") == 12);
}

TEST_CASE("exporter: a path that is refused may be misrouted for a while, and nothing is lost") {
  World world;
  world.collector.start();
  world.start();
  for (const int status : {404, 403, 401, 302, 307}) world.collector.answer(status);
  world.exporter->add(Signal::traces, "kept", 12);
  REQUIRE(world.until_acknowledged(1));
  CHECK(world.bodies() == std::vector<std::string>(6, "kept"));
  CHECK(world.exporter->counters().dropped_records.empty());
}

TEST_CASE("exporter: a path that stays refused does not hold up the others for ever") {
  World world;
  world.collector.start();
  world.start(1'000'000, Millis{0});
  world.collector.answer(404);
  world.exporter->add(Signal::logs, "nobody takes logs here", 5);
  world.exporter->add(Signal::metrics, "good", 1);
  REQUIRE(world.until_acknowledged(1));
  CHECK(world.collector.received.back().body == "good");
  CHECK(world.exporter->counters().dropped_records.at("rejected") == 5);
}

TEST_CASE("exporter: what a partial success leaves out is counted as rejected") {
  World world;
  world.collector.start();
  world.start();
  world.collector.answer(
      200, {}, encode_export_response(Signal::traces, OtlpFormat::protobuf, 2, "two bad ids"));
  world.exporter->add(Signal::traces, "mixed", 10);
  REQUIRE(world.until_acknowledged(1));
  CHECK(world.exporter->counters().records_acknowledged == 8);
  CHECK(world.exporter->counters().dropped_records.at("rejected") == 2);
}

TEST_CASE("exporter: a server fault is tried again a few times, then the batch makes room") {
  World world;
  world.collector.start();
  world.start();
  for (int i = 0; i < 8; ++i) world.collector.answer(500, {{"retry-after", "0"}});
  world.exporter->add(Signal::traces, "poison", 4);
  world.exporter->add(Signal::traces, "good", 1);
  REQUIRE(world.until_acknowledged(1));
  CHECK(world.collector.received.size() == 9);
  CHECK(world.collector.received.back().body == "good");
  CHECK(world.exporter->counters().dropped_records.at("rejected") == 4);
}

TEST_CASE(
    "exporter: with the collector away the spool fills, drops the oldest and says so when it is "
    "back") {
  World world;
  world.collector.start();
  world.start(400);
  world.collector.stop();
  std::string noise;  // does not compress
  for (int i = 0; i < 150; ++i) noise += static_cast<char>((i * 7919 + i * i * 31) & 0xff);
  for (int i = 0; i < 6; ++i) world.exporter->add(Signal::traces, noise + std::to_string(i), 10);
  CHECK(world.exporter->counters().bytes <= 400);
  const uint64_t lost = world.exporter->counters().dropped_records.at("spool_full");
  CHECK(lost == 40);
  world.collector.start();
  REQUIRE(world.until([&] { return world.exporter->counters().batches == 0; }));
  CHECK(world.collector.received.back().dropped == "spool_full=40");
  CHECK(world.collector.received.back().body == noise + "5");
}

TEST_CASE("exporter: flush sends what is left and says that all of it arrived") {
  World world;
  world.collector.start();
  world.start();
  for (int i = 0; i < 3; ++i) world.exporter->add(Signal::traces, "last words", 1);
  int done = 0;
  bool all = false;
  world.exporter->flush(kPatience, [&](bool everything) { ++done, all = everything; });
  CHECK(done == 0);  // never from inside the call
  REQUIRE(world.until([&] { return done > 0; }));
  CHECK(all);
  CHECK(world.exporter->counters().batches_acknowledged == 3);
  world.exporter->flush(kPatience, [&](bool everything) { ++done, all = everything; });
  REQUIRE(world.until([&] { return done > 1; }));
  CHECK(all);
}

TEST_CASE("exporter: flush gives up at its deadline when nobody answers") {
  World world;
  world.collector.start();
  world.start();
  world.collector.stop();
  world.exporter->add(Signal::traces, "unheard", 1);
  int done = 0;
  bool all = true;
  world.exporter->flush(Millis(50), [&](bool everything) { ++done, all = everything; });
  REQUIRE(world.until([&] { return done > 0; }));
  CHECK_FALSE(all);
  CHECK(world.exporter->counters().batches == 1);
}

TEST_CASE("exporter: without a collector nothing is sent and the spool holds what it can") {
  World world;
  world.start();
  world.exporter->add(Signal::traces, "kept", 1);
  int done = 0;
  bool all = true;
  world.exporter->flush(kPatience, [&](bool everything) { ++done, all = everything; });
  REQUIRE(world.until([&] { return done > 0; }));
  CHECK_FALSE(all);
  CHECK(world.exporter->state().attempts == 0);
  CHECK(world.exporter->counters().batches == 1);
}

TEST_CASE("exporter: it may be destroyed while a batch is on its way") {
  World world;
  world.collector.start();
  world.start();
  world.collector.answers.push_back(
      [&](const net::ReplyPtr& reply) { world.collector.unanswered.push_back(reply); });
  world.exporter->add(Signal::traces, "in flight", 1);
  world.exporter.reset();
  world.loop.run_until([&] { return false; }, Millis(20));
  CHECK(world.exporter == nullptr);
}
