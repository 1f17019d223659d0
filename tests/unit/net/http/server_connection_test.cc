#include "net/http/server_connection.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "net/io/signals.h"
#include "tests/unit/net/http/server_caller.h"

using namespace hms::net;  // NOLINT: a test

TEST_CASE("server: answers one request after the other on the same connection") {
  Fixture f;
  Caller caller(f.loop, f.address);
  CHECK(caller.ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", "hello\n"));
  CHECK(caller.received.substr(0, 15) == "HTTP/1.1 200 OK");
  caller.received.clear();
  CHECK(caller.ask("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "hello\n"));
  CHECK(caller.received.find("Connection: close") != std::string::npos);
  CHECK(caller.wait_for_end());
  CHECK(f.server->counters().requests == 2);
}

TEST_CASE(
    "server: pipelined requests are answered in order, also when the first answer comes late") {
  Fixture f;
  std::vector<ReplyPtr> waiting;
  f.server->route("GET", "/late/{name}",
                  [&](Request&, const ReplyPtr& reply) { waiting.push_back(reply); });
  Caller caller(f.loop, f.address);
  caller.stream->write(get_text("/late/one") + get_text("/hello") + get_text("/late/two") +
                       get_text("/hello"));
  REQUIRE(f.loop.run_until([&] { return waiting.size() == 1; }, Millis{5000}));
  waiting[0]->send(200, "text/plain", "first\n");
  REQUIRE(f.loop.run_until([&] { return waiting.size() == 2; }, Millis{5000}));
  CHECK(caller.count("hello\n") == 1);
  CHECK(caller.received.find("first") < caller.received.find("hello"));
  waiting[1]->send(200, "text/plain", "second\n");
  CHECK(f.loop.run_until([&] { return caller.count("hello\n") == 2; }, Millis{5000}));
  CHECK(caller.received.find("second") < caller.received.rfind("hello"));
}

TEST_CASE("server: a thousand pipelined requests in one write all get their answer") {
  Fixture f;
  Caller caller(f.loop, f.address);
  std::string text;
  for (int i = 0; i < 1000; ++i) text += get_text("/hello");
  caller.stream->write(text);
  CHECK(f.loop.run_until([&] { return caller.count("hello\n") == 1000; }, Millis{20'000}));
}

TEST_CASE(
    "server: a caller that pipelines and reads nothing is held back, not served into memory") {
  Fixture f;
  int served = 0;
  const std::string large(200'000, 'x');
  f.server->route("GET", "/large", [&](Request&, const ReplyPtr& reply) {
    ++served;
    reply->send(200, "image/png", large);
  });
  Caller caller(f.loop, f.address);
  caller.stream->pause_reading();
  std::string text;
  for (int i = 0; i < 500; ++i) text += get_text("/large");
  caller.stream->write(text);
  f.loop.run_until([] { return false; }, Millis{200});
  CHECK(served < 100);
  caller.stream->resume_reading();
  CHECK(
      f.loop.run_until([&] { return served == 500 && caller.received.size() > 500 * large.size(); },
                       Millis{30'000}));
}

TEST_CASE(
    "server: when all connections together collect too much, more is refused with Retry-After") {
  ServerOptions options;
  options.max_buffered_bytes = 100;
  Fixture f(options);
  Caller first(f.loop, f.address);
  first.stream->write("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\n" +
                      std::string(80, 'x'));
  Caller second(f.loop, f.address);
  CHECK(second.ask(post_text("/echo", std::string(50, 'y')), "HTTP/1.1 503 "));
  CHECK(has(second.received, "Retry-After: 1\r\n"));
  CHECK(first.ask(std::string(10, 'z'), "xxxzzzzzzzzzz"));
  Caller third(f.loop, f.address);
  CHECK(third.ask(post_text("/echo", std::string(50, 'y')), "HTTP/1.1 200 "));
}

TEST_CASE("server: a broken request is told why, counted, and its connection ends") {
  Fixture f;
  Caller caller(f.loop, f.address);
  CHECK(caller.ask("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "two_hosts"));
  CHECK(has(caller.received, "HTTP/1.1 400 Bad Request\r\n"));
  CHECK(has(caller.received, "Connection: close\r\n"));
  CHECK(caller.wait_for_end());
  CHECK(f.server->counters().bad_requests == 1);
  Caller unknown(f.loop, f.address);
  CHECK(unknown.ask("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 501 "));
  Caller longer(f.loop, f.address);
  CHECK(longer.ask("GET /" + std::string(9000, 'x') + " HTTP/1.1\r\n", "HTTP/1.1 414 "));
}

TEST_CASE("server: a head or a body that does not come is answered with 408") {
  ServerOptions options;
  options.header_timeout = Millis{60};
  options.body_timeout = Millis{60};
  Fixture f(options);
  Caller head(f.loop, f.address);
  CHECK(head.ask("GET / HTTP/1.1\r\nHo", "HTTP/1.1 408 "));
  CHECK(head.wait_for_end());
  Caller body(f.loop, f.address);
  CHECK(
      body.ask("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", "HTTP/1.1 408 "));
  CHECK(body.wait_for_end());
  Caller silent(f.loop, f.address);
  CHECK(silent.wait_for_end());
  CHECK(silent.received.empty());
  CHECK(f.server->counters().timeouts == 3);
}

TEST_CASE("server: a head that drips in byte by byte does not move its time limit") {
  ServerOptions options;
  options.header_timeout = Millis{150};
  Fixture f(options);
  Caller caller(f.loop, f.address);
  for (int i = 0; i < 500 && caller.received.empty() && !caller.closed; ++i) {
    caller.stream->write("X");
    f.loop.run_until([&] { return !caller.received.empty(); }, Millis{10});
  }
  CHECK(has(caller.received, "HTTP/1.1 408 "));
}

TEST_CASE("server: an idle connection ends quietly") {
  ServerOptions options;
  options.idle_timeout = Millis{50};
  Fixture f(options);
  Caller caller(f.loop, f.address);
  CHECK(caller.ask(get_text("/hello"), "hello\n"));
  CHECK(caller.wait_for_end());
  CHECK(caller.count("HTTP/1.1") == 1);
}

TEST_CASE(
    "server: a caller that closed while its answer is made is noticed, a half-closed one kept") {
  ignore_sigpipe();  // as the programs do: the second probe meets a reset
  Fixture f;
  std::vector<ReplyPtr> held;
  f.server->route("GET", "/later", [&](Request&, const ReplyPtr& reply) { held.push_back(reply); });
  Caller waiting(f.loop, f.address);
  waiting.stream->write(get_text("/later"));
  waiting.stream->shutdown_write();
  REQUIRE(f.loop.run_until([&] { return held.size() == 1; }, Millis{5000}));
  {
    Caller leaving(f.loop, f.address);
    leaving.stream->write(get_text("/later"));
    REQUIRE(f.loop.run_until([&] { return held.size() == 2; }, Millis{5000}));
  }
  bool told = false;
  held[1]->on_gone([&] { told = true; });
  CHECK(f.loop.run_until([&] { return told || held[1]->gone(); }, Millis{30'000}));
  CHECK(waiting.wait_for("HTTP/1.1 100 Continue\r\n\r\n"));
  CHECK_FALSE(held[0]->gone());
  held[0]->send(200, "text/plain", "here it is");
  CHECK(waiting.wait_for("here it is"));
  CHECK(waiting.wait_for_end());
}

TEST_CASE("server: a half-closed caller still gets its whole answer") {
  Fixture f;
  ReplyPtr held;
  f.server->route("GET", "/later", [&](Request&, const ReplyPtr& reply) { held = reply; });
  Caller caller(f.loop, f.address);
  caller.stream->write(get_text("/later"));
  caller.stream->shutdown_write();
  REQUIRE(f.loop.run_until([&] { return held != nullptr; }, Millis{5000}));
  f.loop.run_until([] { return false; }, Millis{50});
  held->send(200, "text/plain", "here it is");
  CHECK(caller.wait_for("here it is"));
  CHECK(caller.wait_for_end());
}
