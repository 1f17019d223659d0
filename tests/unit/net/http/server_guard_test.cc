#include "net/http/server_guard.h"

#include <doctest/doctest.h>

#include <string>

#include "net/http/compress.h"
#include "tests/unit/net/http/server_caller.h"

using namespace hms::net;  // NOLINT: a test

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
