#include "net/http/server.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/unit/net/http/server_caller.h"

using namespace hms::net;  // NOLINT: a test

TEST_CASE("server: HEAD is served from GET without its body") {
  Fixture f;
  Caller caller(f.loop, f.address);
  CHECK(caller.ask("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n", "Content-Length: 6\r\n\r\n"));
  CHECK(caller.ask(get_text("/hello"), "\r\n\r\nhello\n"));
  CHECK(caller.count("hello\n") == 1);
}

TEST_CASE("server: a query and a peer arrive decoded") {
  Fixture f;
  f.server->route("GET", "/q", [](Request& request, const ReplyPtr& reply) {
    const std::string* a = request.query_value("a");
    reply->send(200, "text/plain",
                (a == nullptr ? "none" : *a) + "|" + std::string(request.header("X-ONE")) + "|" +
                    request.peer.substr(0, 10));
  });
  Caller caller(f.loop, f.address);
  CHECK(caller.ask(get_text("/q?b=1&a=x+y%21", "x-one: two\r\n"), "x y!|two|127.0.0.1:"));
}

TEST_CASE("server: one connection too many is refused with 503 while all others have requests") {
  ServerOptions options;
  options.max_connections = 2;
  Fixture f(options);
  std::vector<ReplyPtr> running;
  f.server->route("GET", "/run",
                  [&](Request&, const ReplyPtr& reply) { running.push_back(reply); });
  Caller first(f.loop, f.address);
  Caller second(f.loop, f.address);
  first.stream->write(get_text("/run"));
  second.stream->write(get_text("/run"));
  REQUIRE(f.loop.run_until([&] { return running.size() == 2; }, Millis{5000}));
  {
    Caller third(f.loop, f.address);
    CHECK(third.ask(get_text("/hello"), "HTTP/1.1 503 "));  // what it sent must not reset it
    CHECK(third.wait_for_end());
    CHECK(has(third.received, "too many connections are open"));
  }
  CHECK(f.server->counters().connections_refused == 1);
  CHECK(f.server->counters().connections_displaced == 0);
  CHECK(
      f.loop.run_until([&] { return f.server->counters().connections_open == 2; }, Millis{10'000}));
}

TEST_CASE("server: drain lets the running request end, ends streams, and closes the idle") {
  Fixture f;
  ReplyPtr running;
  ReplyPtr stream;
  bool stream_gone = false;
  f.server->route("GET", "/run", [&](Request&, const ReplyPtr& reply) { running = reply; });
  f.server->route("GET", "/events", [&](Request&, const ReplyPtr& reply) {
    stream = reply;
    reply->on_gone([&] { stream_gone = true; });
    reply->start(200, "text/event-stream");
  });
  Caller idle(f.loop, f.address);
  CHECK(idle.ask(get_text("/hello"), "hello\n"));
  Caller busy(f.loop, f.address);
  busy.stream->write(get_text("/run"));
  Caller listener(f.loop, f.address);
  CHECK(listener.ask(get_text("/events"), "200 OK"));
  REQUIRE(f.loop.run_until([&] { return running != nullptr; }, Millis{5000}));

  bool done = false;
  f.server->drain(Millis{20'000}, [&] { done = true; });
  CHECK(idle.wait_for_end());
  CHECK(listener.wait_for("0\r\n\r\n"));
  CHECK(stream_gone);
  CHECK_FALSE(done);
  running->send(200, "text/plain", "the last word");
  CHECK(busy.wait_for("the last word"));
  CHECK(has(busy.received, "Connection: close\r\n"));
  idle.stream.reset();
  busy.stream.reset();
  listener.stream.reset();
  CHECK(f.loop.run_until([&] { return done; }, Millis{5000}));
  CHECK(f.server->counters().connections_open == 0);
}

TEST_CASE("server: drain gives up on a handler that never answers at its deadline") {
  Fixture f;
  ReplyPtr running;
  f.server->route("GET", "/run", [&](Request&, const ReplyPtr& reply) { running = reply; });
  Caller caller(f.loop, f.address);
  caller.stream->write(get_text("/run"));
  REQUIRE(f.loop.run_until([&] { return running != nullptr; }, Millis{5000}));
  bool done = false;
  f.server->drain(Millis{50}, [&] { done = true; });
  CHECK(f.loop.run_until([&] { return done; }, Millis{5000}));
  CHECK(running->gone());
}

TEST_CASE("server: destroying it with open replies and connections is safe") {
  Fixture f;
  ReplyPtr running;
  f.server->route("GET", "/run", [&](Request&, const ReplyPtr& reply) { running = reply; });
  Caller caller(f.loop, f.address);
  caller.stream->write(get_text("/run"));
  REQUIRE(f.loop.run_until([&] { return running != nullptr; }, Millis{5000}));
  f.server.reset();
  running->send(200, "text/plain", "too late");
  running.reset();
  CHECK(caller.wait_for_end());
}

TEST_CASE("server: destroying it from inside a handler is safe, before and after the answer") {
  for (const bool answer_first : {true, false}) {
    Fixture f;
    f.server->route("GET", "/end", [&](Request&, const ReplyPtr& reply) {
      if (answer_first) reply->send(200, "text/plain", "goodbye");
      f.server.reset();
      if (!answer_first) reply->send(200, "text/plain", "goodbye");
    });
    Caller caller(f.loop, f.address);
    caller.stream->write(get_text("/end") + get_text("/end"));
    CHECK(caller.wait_for_end());
    CHECK(caller.count("goodbye") == (answer_first ? 1 : 0));
  }
}
