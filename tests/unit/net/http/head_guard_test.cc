#include "net/http/head_guard.h"

#include <doctest/doctest.h>

#include <optional>
#include <string>

#include "net/http/characters.h"
#include "net/http/head_framing.h"
#include "net/http/head_split.h"
#include "tests/unit/net/http/attack_vectors.h"

using namespace hms::net;  // NOLINT: a test

namespace {

/// What split, framing and guard say without any help of llhttp.
std::optional<HttpFault> judge(std::string_view raw, bool is_request = true) {
  MessageHead head;
  if (auto broken = split_head(raw, is_request, 128, head)) return broken;
  if (auto broken = frame_head(RequestKind::ordinary, head)) return broken;
  return guard_head(head);
}

}  // namespace

TEST_CASE("head_guard: alone, without the parser, it refuses every head that must be refused") {
  for (const Vector& vector : request_vectors()) {
    const size_t end = vector.bytes.find("\r\n\r\n");
    if (end == std::string::npos) continue;
    CAPTURE(vector.name);
    const std::string_view raw = std::string_view(vector.bytes).substr(0, end + 4);
    const std::string_view rest = std::string_view(vector.bytes).substr(end + 4);
    const auto verdict = judge(raw);
    if (vector.status == 0) {
      CHECK_FALSE(verdict.has_value());
    } else if (rest.empty()) {
      // An unknown method is the parser's to refuse: the guard only asks for a token.
      if (vector.status != 501 ||
          std::string_view(vector.name).find("method") == std::string_view::npos) {
        CHECK(verdict.has_value());
      }
    }
  }
}

TEST_CASE("head_guard: folds, empty names and bare line ends are found in the raw bytes") {
  const auto site = [](std::string_view raw) {
    const auto verdict = judge(raw);
    return verdict ? std::string(verdict->site) : std::string("accepted");
  };
  CHECK(site("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n") == "obs_fold");
  CHECK(site("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n") == "empty_field_name");
  CHECK(site("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n") == "bare_lf");
  CHECK(site("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n") == "field_value");
  CHECK(site("GET / HTTP/1.1\r\nHost : a\r\n\r\n") == "field_name");
  CHECK(site("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n") == "two_hosts");
  CHECK(site("GET / HTTP/1.1\r\nX: a\r\n\r\n") == "no_host");
  CHECK(site("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n") == "fragment");
  const std::string commas(31, ',');
  CHECK(site("GET / HTTP/1.1\r\nHost: a\r\nConnection: x" + commas + "\r\n\r\n") == "accepted");
  CHECK(site("GET / HTTP/1.1\r\nHost: a\r\nConnection: x" + commas + "\r\nConnection: y\r\n\r\n") ==
        "connection_members");
  CHECK(site("GET  / HTTP/1.1\r\nHost: a\r\n\r\n") == "target_characters");
  CHECK(site("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n") == "target_and_host_differ");
  CHECK(site("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n") == "head_end");
}

TEST_CASE("head_guard: every single byte in a field value is allowed or refused as RFC 9110 says") {
  for (int c = 0; c < 256; ++c) {
    for (const size_t at : {size_t{0}, size_t{3}, size_t{8}, size_t{15}, size_t{16}}) {
      std::string value(17, 'v');
      value[at] = static_cast<char>(c);
      const bool allowed = c == '\t' || (c >= 0x20 && c != 0x7f);
      CAPTURE(c);
      CHECK(is_field_value(value) == allowed);
    }
  }
}

TEST_CASE("message_head: known headers are found whatever their case, and nothing else is") {
  CHECK(known_header("Host") == KnownHeader::host);
  CHECK(known_header("CONTENT-LENGTH") == KnownHeader::content_length);
  CHECK(known_header("x-Trace") == KnownHeader::x_trace);
  CHECK(known_header("b3") == KnownHeader::b3);
  CHECK(known_header("te") == KnownHeader::te);
  CHECK(known_header("X-B3-ParentSpanId") == KnownHeader::x_b3_parentspanid);
  CHECK(known_header("origin") == KnownHeader::origin);
  CHECK(known_header("") == KnownHeader::other);
  CHECK(known_header("x") == KnownHeader::other);
  CHECK(known_header("hosts") == KnownHeader::other);
  CHECK(known_header("content\rlength") == KnownHeader::other);
  CHECK(known_header("transfer_encoding") == KnownHeader::other);
}
