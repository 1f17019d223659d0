#include "proxy/head_edit.h"

#include <doctest/doctest.h>

#include <string>

#include "net/http/h1_codec.h"
#include "net/http/reply_text.h"
#include "net/http/url.h"
#include "proxy/local_reply.h"
#include "proxy/router.h"
#include "tests/unit/proxy/fake_stream.h"
#include "tests/unit/proxy/support.h"

using namespace hms::proxy;
using hms::net::H1Codec;
using hms::telemetry::TraceContext;

namespace {

struct Parsed {
  H1Codec codec;
  std::string bytes;
  explicit Parsed(H1Codec::Kind kind, std::string text) : codec(kind, {}), bytes(std::move(text)) {
    std::string_view input = bytes;
    REQUIRE(codec.next(input) == H1Codec::Step::head);
  }
  const hms::net::MessageHead& head() { return codec.head(); }
};

std::string edited_request(const std::string& text, RequestEdit edit = {}) {
  Parsed parsed(H1Codec::Kind::request, text);
  static const TraceContext kTrace = [] {
    hms::telemetry::TraceHeaders headers;
    headers.x_trace = "t-1";
    return hms::telemetry::read_trace_context(headers);
  }();
  edit.trace = &kTrace;
  edit.peer_ip = "10.0.0.9";
  edit.via_line = "via: 1.1 me\r\n";
  AddedBlock added;
  Gather out;
  FakeStream sink;
  add_request_head(parsed.head(), edit, added, out);
  out.flush(sink);
  return sink.written;
}

std::string edited_reply(const std::string& text, const ReplyEdit& edit) {
  Parsed parsed(H1Codec::Kind::response, text);
  AddedBlock added;
  Gather out;
  FakeStream sink;
  add_reply_head(parsed.head(), edit, added, out);
  out.flush(sink);
  return sink.written;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("head_edit: an ordinary request keeps its bytes and gets our lines behind them") {
  const std::string text = edited_request("GET /a?b HTTP/1.1\r\nHost: shop\r\naCCept: */*\r\n\r\n");
  CHECK(text.starts_with(
      "GET /a?b HTTP/1.1\r\nHost: shop\r\naCCept: */*\r\nx-trace: t-1\r\ntraceparent: 00-"));
  CHECK(
      text.ends_with("x-forwarded-for: 10.0.0.9\r\nx-forwarded-proto: http\r\nx-forwarded-host: "
                     "shop\r\nvia: 1.1 me\r\n\r\n"));
}

TEST_CASE(
    "head_edit: Connection removes what it names, but not what frames or routes the message") {
  const std::string text = edited_request(
      "POST / HTTP/1.1\r\nHost: a\r\nConnection: x-gone, Host, Content-Length, Cookie\r\nX-Gone: "
      "1\r\nCookie: c\r\nContent-Length: 3\r\n\r\nabc");
  CHECK_FALSE(has(text, "X-Gone"));
  CHECK_FALSE(has(text, "Connection"));
  CHECK(has(text, "\r\nHost: a\r\n"));
  CHECK(has(text, "\r\nCookie: c\r\n"));
  CHECK(has(text, "\r\nContent-Length: 3\r\n"));
}

TEST_CASE("head_edit: a length that is written oddly is written anew, once") {
  const std::string text =
      edited_request("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 003\r\n\r\nabc");
  CHECK(has(text, "\r\nContent-Length: 3\r\n"));
  CHECK_FALSE(has(text, ": 003"));  // (a random trace id may well have 003)
}

TEST_CASE("head_edit: the outbound side leaves x-forwarded alone") {
  RequestEdit edit;
  edit.outbound = true;
  const std::string text =
      edited_request("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n", edit);
  CHECK(has(text, "X-Forwarded-For: 1.2.3.4\r\n"));
  CHECK_FALSE(has(text, "10.0.0.9"));
}

TEST_CASE("head_edit: long hosts and many fields stay within the block") {
  std::string text = "GET / HTTP/1.1\r\nHost: " + std::string(4'000, 'h') + "\r\n";
  for (int i = 0; i < 60; ++i) text += "Keep-Alive: x\r\nX-" + std::to_string(i) + ": y\r\n";
  const std::string edited = edited_request(text + "\r\n");
  CHECK(has(edited, "x-forwarded-host: " + std::string(4'000, 'h') + "\r\n"));
  CHECK(has(edited, "X-59: y"));
  CHECK_FALSE(has(edited, "Keep-Alive"));
}

TEST_CASE(
    "head_edit: replies keep status line and fields, and get trace, framing and connection lines") {
  const std::string text =
      edited_reply("HTTP/1.0 200 Fine By Me\r\nServer: x\r\nX-Trace: theirs\r\n\r\n",
                   {.x_trace = "t-1", .framing = ReplyFraming::chunked, .close = true});
  CHECK(text ==
        "HTTP/1.1 200 Fine By Me\r\nServer: x\r\nTransfer-Encoding: chunked\r\nConnection: "
        "close\r\nx-trace: t-1\r\n\r\n");
}

TEST_CASE("head_edit: targets of every form") {
  CHECK(hms::net::origin_form("/a?b") == "/a?b");
  CHECK(hms::net::origin_form("http://h:1/a?b") == "/a?b");
  CHECK(hms::net::origin_form("http://h") == "/");
  CHECK(hms::net::origin_form("http://h?b") == "?b");
  CHECK(authority_of("http://h:1/a") == "h:1");
  CHECK(authority_of("/http://h:1/a").empty());
  RequestEdit edit;
  edit.authority = "h";
  CHECK(edited_request("GET http://h?b HTTP/1.1\r\nHost: h\r\n\r\n", edit)
            .starts_with("GET /?b HTTP/1.1\r\n"));
}

TEST_CASE("local_reply: no detail can break out of the body or the head") {
  const std::string text = format_local_reply(
      {.error = LocalError::connect_failed, .detail = "a\"b\r\nx: y\\", .x_trace = "t-1"});
  CHECK(text.find("\r\nx: y") == std::string::npos);
  CHECK(has(text, R"(a\"b??x: y\\)"));
  CHECK(has(text, "x-hms-error: connect_failed\r\n"));
}

TEST_CASE("local_reply: docs/errors.md has a row for every error") {
  const std::string doc = read_repository_file("docs/errors.md");
  for (size_t i = 1; i < static_cast<size_t>(LocalError::count_); ++i) {
    const LocalErrorEntry& entry = local_error(static_cast<LocalError>(i));
    CAPTURE(std::string(entry.name));
    CHECK(has(doc, "| `" + std::string(entry.name) + "` | " + std::to_string(entry.status) + " | " +
                       std::string(entry.flag) + " | `"));
    CHECK(hms::net::status_reason(entry.status) != "Status");
  }
}
