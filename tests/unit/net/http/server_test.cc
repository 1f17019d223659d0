#include "net/http/server.h"

#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "net/http/client.h"
#include "net/http/compress.h"
#include "net/io/tcp.h"

using namespace hms::net;  // NOLINT: a test

namespace {

/// A bare caller: writes text, collects what comes back.
class Caller final : public StreamHandler {
 public:
  Caller(Loop& loop, const SocketAddress& address) : loop_(loop) {
    connector_ = Connector::connect(loop, address, Millis{2000},
                                    [this](Result<std::unique_ptr<Stream>> connected) {
                                      REQUIRE(connected);
                                      stream = std::move(connected).value();
                                      stream->set_handler(this);
                                      stream->resume_reading();
                                    });
    REQUIRE(loop.run_until([this] { return stream != nullptr; }, Millis{3000}));
  }
  void on_bytes(std::string_view bytes) override { received.append(bytes); }
  void on_eof() override { ended = true; }
  void on_closed(const Error&) override { closed = true; }

  /// Sends and waits until `text` came back.
  bool ask(std::string_view request, std::string_view wanted) {
    stream->write(request);
    return wait_for(wanted);
  }
  bool wait_for(std::string_view wanted) {
    return loop_.run_until([&] { return received.find(wanted) != std::string::npos; },
                           Millis{5000});
  }
  bool wait_for_end() {
    return loop_.run_until([&] { return ended || closed; }, Millis{5000});
  }
  [[nodiscard]] size_t count(std::string_view text) const {
    size_t found = 0;
    for (size_t at = received.find(text); at != std::string::npos;
         at = received.find(text, at + 1)) {
      ++found;
    }
    return found;
  }

  std::unique_ptr<Stream> stream;
  std::string received;
  bool ended = false;
  bool closed = false;

 private:
  Loop& loop_;
  std::unique_ptr<Connector> connector_;
};

struct Fixture {
  explicit Fixture(ServerOptions options = {}) : server(HttpServer::create(loop, options)) {
    server->route("GET", "/hello", [](Request&, const ReplyPtr& reply) {
      reply->send(200, "text/plain", "hello\n");
    });
    server->route("POST", "/echo", [](Request& request, const ReplyPtr& reply) {
      reply->send(200, "text/plain", request.body);
    });
    auto bound = server->listen(SocketAddress::parse("127.0.0.1:0").value());
    REQUIRE(bound);
    address = *bound;
  }
  Loop loop;
  std::unique_ptr<HttpServer> server;
  SocketAddress address;
};

}  // namespace

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

namespace {

std::string post_text(std::string_view path, std::string_view body, std::string_view fields = "") {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(fields) + "\r\n" + std::string(body);
}
std::string get_text(std::string_view path, std::string_view fields = "") {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n";
}
bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

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

TEST_CASE("server: routes by literal, parameter and rest, and knows 404 from 405") {
  Fixture f;
  const auto answer = [&](std::string_view pattern) {
    f.server->route("GET", pattern,
                    [name = std::string(pattern)](Request& request, const ReplyPtr& reply) {
                      std::string text = name;
                      for (const std::string& parameter : request.path_parameters)
                        text += "|" + parameter;
                      reply->send(200, "text/plain", text + "\n");
                    });
  };
  answer("/*");
  answer("/api/{a}/ops");
  answer("/api/{a}");
  answer("/api/fixed");
  answer("/files/*");
  f.server->route("DELETE", "/api/fixed",
                  [](Request&, const ReplyPtr& reply) { reply->send(204, "", ""); });
  Caller caller(f.loop, f.address);
  CHECK(caller.ask(get_text("/api/fixed"), "/api/fixed\n"));
  CHECK(caller.ask(get_text("/api/x"), "/api/{a}|x\n"));
  CHECK(caller.ask(get_text("/api/a%2Fb/ops?q=1"), "/api/{a}/ops|a/b\n"));
  CHECK(caller.ask(get_text("/files/a/b"), "/files/*|a/b\n"));
  CHECK(caller.ask(get_text("/"), "/*|\n"));
  CHECK(caller.ask(get_text("/api/x/y"), "/*|api/x/y\n"));
  CHECK(caller.ask("DELETE /api/fixed HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 204 No Content\r\n"));
  caller.received.clear();
  CHECK(caller.ask("PUT /api/fixed HTTP/1.1\r\nHost: a\r\n\r\n", "Allow: GET, DELETE, HEAD\r\n"));
  CHECK(caller.wait_for("\"errorType\":\"bad_data\""));
  CHECK(has(caller.received, "HTTP/1.1 405 "));
  Fixture plain;
  Caller other(plain.loop, plain.address);
  CHECK(other.ask(get_text("/nothing"), "\"errorType\":\"not_found\""));
  CHECK(other.ask(get_text("/hello"), "hello\n"));  // the connection goes on
  CHECK(other.ask(get_text("/%zz"), "HTTP/1.1 400 "));
}

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

TEST_CASE(
    "server: Expect: 100-continue is answered before the body, other expectations are refused") {
  Fixture f;
  Caller caller(f.loop, f.address);
  CHECK(caller.ask(
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
      "HTTP/1.1 100 Continue\r\n\r\n"));
  CHECK(caller.ask("body", "\r\n\r\nbody"));
  CHECK(caller.ask(get_text("/hello", "Expect: the-unexpected\r\n"), "HTTP/1.1 417 "));
  // A body that would be refused is never asked for.
  CHECK(caller.ask(
      "POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
      "HTTP/1.1 404 "));
  CHECK(caller.count("100 Continue") == 1);
  CHECK(caller.wait_for_end());
}

TEST_CASE("server: bodies come decoded, and bombs, noise and unknown codings are refused") {
  ServerOptions options;
  options.max_body_bytes = 100'000;
  Fixture f(options);
  const std::string text(50'000, 'a');
  Caller caller(f.loop, f.address);
  CHECK(caller.ask(post_text("/echo", gzip_encode(text), "Content-Encoding: gzip\r\n"), text));
  CHECK(caller.ask(post_text("/echo", zstd_encode("packed"), "Content-Encoding: zstd\r\n"),
                   "packed"));
  CHECK(caller.ask(
      post_text("/echo", gzip_encode(std::string(100'001, 'b')), "Content-Encoding: gzip\r\n"),
      "HTTP/1.1 413 "));
  CHECK(caller.ask(post_text("/echo", "noise", "Content-Encoding: gzip\r\n"), "HTTP/1.1 400 "));
  CHECK(caller.ask(post_text("/echo", "still here"), "still here"));
  CHECK(caller.ask(post_text("/echo", "x", "Content-Encoding: br\r\n"), "HTTP/1.1 415 "));
  CHECK(has(caller.received, "Accept-Encoding: gzip, zstd"));
  CHECK(f.server->counters().bodies_refused == 3);
}

TEST_CASE(
    "server: a body above the bound is refused at its head, or where a chunked one crosses it") {
  ServerOptions options;
  options.max_body_bytes = 10;
  Fixture f(options);
  Caller announced(f.loop, f.address);
  CHECK(announced.ask(post_text("/echo", "12345678901"), "HTTP/1.1 413 "));
  CHECK(announced.wait_for_end());
  Caller chunked(f.loop, f.address);
  CHECK(
      chunked.ask("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
                  "chunked\r\n\r\n6\r\n123456\r\n5\r\n12345\r\n0\r\n\r\n",
                  "HTTP/1.1 413 "));
  CHECK(chunked.wait_for_end());
  Caller fits(f.loop, f.address);
  CHECK(
      fits.ask("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
               "chunked\r\n\r\n6\r\n123456\r\n4\r\n7890\r\n0\r\n\r\n",
               "1234567890"));
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

TEST_CASE("server: one connection too many is refused with 503") {
  ServerOptions options;
  options.max_connections = 2;
  Fixture f(options);
  Caller first(f.loop, f.address);
  Caller second(f.loop, f.address);
  CHECK(first.ask(get_text("/hello"), "hello\n"));
  CHECK(second.ask(get_text("/hello"), "hello\n"));
  {
    Caller third(f.loop, f.address);
    CHECK(third.ask(get_text("/hello"), "HTTP/1.1 503 "));  // what it sent must not reset it
    CHECK(third.wait_for_end());
    CHECK(has(third.received, "too many connections are open"));
  }
  CHECK(f.server->counters().connections_refused == 1);
  CHECK(
      f.loop.run_until([&] { return f.server->counters().connections_open == 2; }, Millis{10'000}));
}

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

TEST_CASE("server: a page of another origin changes nothing, and is told so with 403") {
  Fixture f;
  Caller caller(f.loop, f.address);
  CHECK(caller.ask(post_text("/echo", "mine"), "mine"));
  const std::string foreign = " HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\n";
  CHECK(caller.ask("GET /hello" + foreign + "\r\n", "hello\n"));
  CHECK(caller.ask("POST /echo" + foreign + "Content-Length: 6\r\n\r\ntheirs",
                   "a page of another origin may not change anything here"));
  CHECK(has(caller.received, "HTTP/1.1 403 Forbidden"));
  CHECK_FALSE(has(caller.received, "theirs"));
  CHECK(f.server->counters().foreign_refused == 1);
}
