#include "net/http/server_reply.h"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

#include "net/http/compress.h"
#include "tests/unit/net/http/server_caller.h"

using namespace hms::net;  // NOLINT: a test

TEST_CASE("server: a stream goes out in chunks and the connection can be used again") {
  Fixture f;
  ReplyPtr stream;
  f.server->route("GET", "/events", [&](Request&, const ReplyPtr& reply) {
    stream = reply;
    reply->start(200, "text/event-stream");
    CHECK(reply->write("data: 1\n\n"));
  });
  Caller caller(f.loop, f.address);
  CHECK(caller.ask(get_text("/events", "Accept-Encoding: gzip\r\n"), "9\r\ndata: 1\n\n\r\n"));
  CHECK(has(caller.received, "Transfer-Encoding: chunked\r\n"));
  CHECK(has(caller.received, "Cache-Control: no-cache, no-transform\r\n"));
  CHECK_FALSE(has(caller.received, "Content-Encoding"));
  CHECK(stream->write("data: 2\n\n"));
  CHECK(caller.wait_for("data: 2"));
  stream->finish();
  CHECK(caller.wait_for("\r\n0\r\n\r\n"));
  CHECK_FALSE(stream->write("late"));
  CHECK(caller.ask(get_text("/hello"), "hello\n"));
}

TEST_CASE("server: an HTTP/1.0 caller gets streams without chunks and keep-alive only when asked") {
  Fixture f;
  f.server->route("GET", "/events", [&](Request&, const ReplyPtr& reply) {
    reply->start(200, "text/plain");
    reply->write("one");
    reply->write("two");
    reply->finish();
  });
  Caller stream(f.loop, f.address);
  CHECK(stream.ask("GET /events HTTP/1.0\r\n\r\n", "\r\n\r\nonetwo"));
  CHECK(stream.wait_for_end());
  CHECK_FALSE(has(stream.received, "chunked"));
  Caller kept(f.loop, f.address);
  CHECK(kept.ask("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
                 "Connection: keep-alive\r\n"));
  CHECK(kept.ask("GET /hello HTTP/1.0\r\n\r\n", "Connection: close\r\n"));
  CHECK(kept.wait_for_end());
}

TEST_CASE("server: a reply outlives its caller harmlessly and is told once") {
  Fixture f;
  ReplyPtr held;
  int gone = 0;
  f.server->route("GET", "/wait", [&](Request&, const ReplyPtr& reply) {
    held = reply;
    reply->on_gone([&] {
      ++gone;
      held.reset();  // what a hub does
    });
    reply->start(200, "text/event-stream");
  });
  {
    Caller caller(f.loop, f.address);
    CHECK(caller.ask(get_text("/wait"), "200 OK"));
  }
  CHECK(f.loop.run_until([&] { return gone == 1; }, Millis{5000}));
  CHECK(held == nullptr);
  CHECK(f.loop.run_until([&] { return f.server->counters().connections_open == 0; }, Millis{5000}));

  f.server->route("GET", "/later", [&](Request&, const ReplyPtr& reply) { held = reply; });
  {
    Caller caller(f.loop, f.address);
    caller.stream->write(get_text("/later"));
    REQUIRE(f.loop.run_until([&] { return held != nullptr; }, Millis{5000}));
    caller.stream->mark_for_reset();
  }
  CHECK(f.loop.run_until([&] { return held->gone(); }, Millis{5000}));
  held->send(200, "text/plain", "nobody hears");
  held->start(200, "text/plain");
  CHECK_FALSE(held->write("x"));
  held->finish();
}

TEST_CASE("server: a reader that takes nothing makes write() say no instead of growing the queue") {
  Fixture f;
  ReplyPtr stream;
  f.server->route("GET", "/events", [&](Request&, const ReplyPtr& reply) {
    stream = reply;
    reply->start(200, "text/event-stream");
  });
  Caller caller(f.loop, f.address);
  CHECK(caller.ask(get_text("/events"), "200 OK"));
  caller.stream->pause_reading();
  const std::string piece(100'000, 'x');
  bool refused = false;
  for (int i = 0; i < 1000 && !refused; ++i) refused = !stream->write(piece);
  CHECK(refused);
  CHECK(stream->queued_bytes() <= Reply::kMaxQueuedBytes + 64);
  caller.stream->resume_reading();
  CHECK(f.loop.run_until([&] { return stream->queued_bytes() == 0; }, Millis{10'000}));
  CHECK(stream->write("again"));
}

TEST_CASE("server: a handler that forgets to answer, or throws, gives 500 and no crash") {
  Fixture f;
  f.server->route("GET", "/forgets", [](Request&, const ReplyPtr&) {});
  f.server->route("GET", "/throws",
                  [](Request&, const ReplyPtr&) { throw std::runtime_error("boom"); });
  Caller caller(f.loop, f.address);
  CHECK(caller.ask(get_text("/forgets"), "HTTP/1.1 500 "));
  caller.received.clear();
  CHECK(caller.ask(get_text("/throws"), "HTTP/1.1 500 "));
  CHECK_FALSE(has(caller.received, "boom"));
  CHECK(caller.ask(get_text("/hello"), "hello\n"));
}

TEST_CASE("server: large text is compressed for callers that take gzip") {
  Fixture f;
  const std::string large(20'000, 'a');
  f.server->route("GET", "/large", [&](Request&, const ReplyPtr& reply) {
    reply->send(200, "application/json", large);
  });
  f.server->route("GET", "/picture",
                  [&](Request&, const ReplyPtr& reply) { reply->send(200, "image/png", large); });
  Caller caller(f.loop, f.address);
  CHECK(caller.ask(get_text("/large", "Accept-Encoding: br, gzip;q=0.5\r\n"),
                   "Content-Encoding: gzip\r\n"));
  const std::string packed = gzip_encode(large);
  CHECK(caller.wait_for(packed));
  caller.received.clear();
  CHECK(caller.ask(get_text("/large", "Accept-Encoding: gzip;q=0\r\n"), large));
  CHECK(caller.ask(get_text("/picture", "Accept-Encoding: gzip\r\n"), "Content-Length: 20000\r\n"));
  CHECK_FALSE(has(caller.received, "Content-Encoding"));
}

TEST_CASE("server: no value of a handler breaks out of its header line") {
  Fixture f;
  f.server->route("GET", "/inject", [](Request&, const ReplyPtr& reply) {
    reply->send(200, "text/plain\r\nX-Evil: 1", "body",
                {{"X-Text", "a\r\nX-Evil: 2"},
                 {"bad name", "x"},
                 {"Content-Length", "999"},
                 {"X-Good", "yes"}});
  });
  Caller caller(f.loop, f.address);
  CHECK(caller.ask(get_text("/inject"), "body"));
  CHECK_FALSE(has(caller.received, "\nX-Evil"));
  CHECK_FALSE(has(caller.received, "bad name"));
  CHECK_FALSE(has(caller.received, "999"));
  CHECK(has(caller.received, "X-Good: yes\r\n"));
}

TEST_CASE("server: answers that nobody reads are bounded over all connections: 503 beyond") {
  ServerOptions options;
  options.max_queued_reply_bytes = 8 * 1024 * 1024;
  Fixture f(options);
  f.server->route("GET", "/large", [](Request&, const ReplyPtr& reply) {
    reply->send(200, "application/octet-stream", std::string(7 * 1024 * 1024, 'x'));
  });
  Caller slow(f.loop, f.address);
  slow.stream->pause_reading();
  slow.stream->write(get_text("/large"));
  REQUIRE(f.loop.run_until([&] { return f.server->counters().queued_reply_bytes > 1024 * 1024; },
                           Millis{5000}));
  Caller next(f.loop, f.address);
  CHECK(next.ask(get_text("/large"), "503 Service Unavailable"));
  CHECK(has(next.received, "Retry-After: 1"));
  CHECK(f.server->counters().replies_refused == 1);
  CHECK(next.ask(get_text("/hello"), "hello\n"));
  slow.stream->resume_reading();
  CHECK(f.loop.run_until([&] { return slow.received.size() > 7 * 1024 * 1024; }, Millis{5000}));
  next.received.clear();
  CHECK(next.ask(get_text("/large"), "200 OK"));
}
