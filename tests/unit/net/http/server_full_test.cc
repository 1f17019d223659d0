// A server that is full: who makes room for whom.
#include <chrono>
#include <memory>
#include <vector>

#include "tests/unit/net/http/server_caller.h"

namespace hms::net {
namespace {

ServerOptions room_for(uint32_t connections) {
  ServerOptions options;
  options.max_connections = connections;
  options.body_stalled = Millis{0};
  return options;
}

/// Callers that the server has accepted, in this order.
struct FullServer : Fixture {
  using Fixture::Fixture;
  Caller& call(std::string_view text = "") {
    const uint64_t before = server->counters().connections_accepted;
    callers.push_back(std::make_unique<Caller>(loop, address));
    REQUIRE(loop.run_until([&] { return server->counters().connections_accepted > before; },
                           Millis{5000}));
    Caller& caller = *callers.back();
    if (!text.empty()) caller.stream->write(text);
    return caller;
  }
  /// One more caller is answered.
  void one_more() {
    Caller newest(loop, address);
    CHECK(newest.ask(get_text("/hello", "Connection: close\r\n"), "hello\n"));
    CHECK(newest.wait_for_end());
  }
  [[nodiscard]] std::vector<bool> left_open() const {
    std::vector<bool> open;
    for (const auto& caller : callers) open.push_back(!caller->ended && !caller->closed);
    return open;
  }
  std::vector<std::unique_ptr<Caller>> callers;
};

}  // namespace

TEST_CASE("full server: the connection that has been idle longest makes room first") {
  FullServer f(room_for(4));
  f.call("GET /hello HTTP/1.1\r\nHos");
  Caller& second = f.call();
  Caller& third = f.call();
  CHECK(third.ask(get_text("/hello"), "hello\n"));
  CHECK(second.ask(get_text("/hello"), "hello\n"));
  f.call();
  f.one_more();
  CHECK(third.wait_for_end());
  CHECK(f.left_open() == std::vector<bool>{true, true, false, true});
  CHECK(f.server->counters().connections_displaced == 1);
  CHECK(f.server->counters().connections_refused == 0);
}

TEST_CASE("full server: then the oldest unfinished head, however it drips") {
  FullServer f(room_for(3));
  std::vector<ReplyPtr> running;
  f.server->route("GET", "/run",
                  [&](Request&, const ReplyPtr& reply) { running.push_back(reply); });
  Caller& first = f.call("GET /hello HTTP/1.1\r\n");
  f.call();
  f.call(get_text("/run"));
  REQUIRE(f.loop.run_until([&] { return running.size() == 1; }, Millis{5000}));
  first.stream->write("Host: a\r\n");
  f.one_more();
  CHECK(first.wait_for_end());
  CHECK(first.received.empty());
  CHECK(f.left_open() == std::vector<bool>{false, true, true});
}

TEST_CASE("full server: a thousand callers that say nothing keep nobody out") {
  FullServer f(room_for(8));
  for (int i = 0; i < 1'000; ++i) {
    if (f.callers.size() == 16) f.callers.erase(f.callers.begin());
    f.call(i % 2 == 0 ? "" : "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1");
    if (i % 100 == 50) f.one_more();
  }
  CHECK(f.server->counters().connections_refused == 0);
  CHECK(f.server->counters().connections_open <= 8);
}

TEST_CASE("full server: a body that came no further makes room, one that moves does not") {
  for (const bool stalled : {true, false}) {
    ServerOptions options = room_for(1);
    if (!stalled) options.body_stalled = Millis{60'000};
    FullServer f(options);
    Caller& first = f.call(
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n1234");
    CHECK(first.wait_for("100 Continue"));
    if (stalled) {
      f.one_more();
      CHECK(first.wait_for_end());
      continue;
    }
    Caller second(f.loop, f.address);
    CHECK(second.ask(get_text("/hello"), "HTTP/1.1 503 "));
    CHECK(first.ask("56789", "123456789"));
  }
}

TEST_CASE("full server: who has its answer and does not close makes room") {
  FullServer f(room_for(2));
  for (int i = 0; i < 2; ++i)
    CHECK(f.call(get_text("/hello", "Connection: close\r\n")).wait_for("hello\n"));
  // They have a quarter of a second to take it.
  const auto is_let_in = [&f] {
    Caller newest(f.loop, f.address);
    newest.stream->write(get_text("/hello"));
    CHECK(newest.wait_for("\n"));
    CHECK(f.loop.run_until([&] { return !newest.received.empty(); }, Millis{5000}));
    return newest.received.starts_with("HTTP/1.1 200 ");
  };
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!is_let_in() && std::chrono::steady_clock::now() < deadline) {
  }
  CHECK(f.server->counters().connections_displaced > 0);
}

TEST_CASE("full server: who is only told that there is no room takes no place and gives none") {
  FullServer f(room_for(2));
  std::vector<ReplyPtr> running;
  f.server->route("GET", "/run",
                  [&](Request&, const ReplyPtr& reply) { running.push_back(reply); });
  Caller& first = f.call(get_text("/run"));
  f.call(get_text("/run"));
  REQUIRE(f.loop.run_until([&] { return running.size() == 2; }, Millis{5000}));
  std::vector<std::unique_ptr<Caller>> refused;
  for (int i = 0; i < 10; ++i) {
    refused.push_back(std::make_unique<Caller>(f.loop, f.address));
    CHECK(refused.back()->wait_for("HTTP/1.1 503 "));
  }
  running[0]->send(200, "text/plain", "made\n");
  CHECK(first.wait_for("made\n"));
  f.one_more();
  CHECK(f.server->counters().connections_displaced == 1);
  CHECK(f.server->counters().connections_refused == 10);
  running[1]->send(200, "text/plain", "made\n");
}

TEST_CASE("full server: an answer that is made, streamed or still read is never given up") {
  FullServer f(room_for(3));
  std::vector<ReplyPtr> running;
  f.server->route("GET", "/run",
                  [&](Request&, const ReplyPtr& reply) { running.push_back(reply); });
  f.server->route("GET", "/events", [&](Request&, const ReplyPtr& reply) {
    running.push_back(reply);
    reply->start(200, "text/event-stream");
  });
  const std::string large(16ULL * 1024 * 1024, 'x');
  f.server->route("GET", "/large",
                  [&](Request&, const ReplyPtr& reply) { reply->send(200, "image/png", large); });
  Caller& made = f.call(get_text("/run"));
  CHECK(f.call().ask(get_text("/events"), "text/event-stream"));
  Caller& slow = f.call();
  CHECK(slow.ask(get_text("/large"), "HTTP/1.1 200 "));
  slow.stream->pause_reading();
  REQUIRE(f.loop.run_until([&] { return running.size() == 2; }, Millis{5000}));
  {
    Caller refused(f.loop, f.address);
    CHECK(refused.ask(get_text("/hello"), "HTTP/1.1 503 "));
  }
  CHECK(f.server->counters().connections_displaced == 0);
  running[0]->send(200, "text/plain", "made\n");
  CHECK(made.wait_for("made\n"));
  CHECK(running[1]->write("data: 1\n\n"));
  CHECK(f.callers[1]->wait_for("data: 1"));
  slow.stream->resume_reading();
  CHECK(f.loop.run_until([&] { return slow.received.size() > large.size(); }, Millis{20'000}));
}

}  // namespace hms::net
