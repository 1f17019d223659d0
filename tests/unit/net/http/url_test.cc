#include "net/http/url.h"

#include <doctest/doctest.h>

#include <string>

using namespace hms::net;  // NOLINT: a test

TEST_CASE("url: host, port, path and query are taken apart") {
  auto url = parse_url("http://collector:9090/ops/config/claims?x=1#part");
  REQUIRE(url);
  CHECK_FALSE(url->tls);
  CHECK(url->host == "collector");
  CHECK(url->port == 9090);
  CHECK(url->path_and_query == "/ops/config/claims?x=1");
  CHECK(parse_url("https://[::1]:8443")->host == "::1");
  CHECK(parse_url("https://[::1]:8443")->port == 8443);
  CHECK(parse_url("HTTPS://a")->port == 443);
  CHECK(parse_url("http://a")->path_and_query == "/");
  CHECK(parse_url("http://a?x=y")->path_and_query == "/?x=y");
}

TEST_CASE("url: what is no http URL is refused with a reason") {
  for (const char* text : {"", "a", "/path", "ftp://a", "http:/a", "http://", "http:///x",
                           "http://u:p@a", "http://a:0", "http://a:65536", "http://a:x",
                           "http://a b", "http://a/b c", "http://a/\r\nX: y", "http://[::1",
                           "http://[::1]x", "http://[zz]/", "http://a\\b/", "http://a%00b/"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_url(text).ok());
  }
  CHECK_FALSE(parse_url("http://a/" + std::string(9000, 'x')).ok());
}

TEST_CASE("url: percent-decoding gives bytes back, and never a NUL or a line break") {
  CHECK(percent_decode("a%20b%2Fc").value() == "a b/c");
  CHECK(percent_decode("a+b").value() == "a+b");
  CHECK(percent_decode("a+b", true).value() == "a b");
  for (const char* text : {"%", "%2", "%zz", "%0x", "a%00", "a%0d", "a%0A"}) {
    CAPTURE(text);
    CHECK_FALSE(percent_decode(text).ok());
  }
}

TEST_CASE("url: encoding and decoding are inverse for every byte") {
  for (int c = 0; c < 256; ++c) {
    const std::string text(1, static_cast<char>(c));
    const std::string encoded = percent_encode(text);
    if (c == 0 || c == '\r' || c == '\n') continue;
    CHECK(percent_decode(encoded).value() == text);
  }
}

TEST_CASE("url: a query keeps order, duplicates, and expressions over several lines") {
  auto query = parse_query("match[]=up&match[]=down&q=sum(%0Aup)+by+x&flag&=v");
  REQUIRE(query);
  REQUIRE(query->size() == 5);
  CHECK((*query)[0].second == "up");
  CHECK((*query)[1].first == "match[]");
  CHECK((*query)[2].second == "sum(\nup) by x");
  CHECK((*query)[3].first == "flag");
  CHECK((*query)[3].second.empty());
  CHECK_FALSE(parse_query("a=%00").ok());
  CHECK_FALSE(parse_query("a%0d=1").ok());
  std::string many;
  for (int i = 0; i < 257; ++i) many += "a=1&";
  CHECK(parse_query(many).error().code == Code::too_large);
}

TEST_CASE("url: the path of a target, whatever its form") {
  CHECK(target_path("/a/b?c=d") == "/a/b");
  CHECK(target_query("/a/b?c=d?e") == "c=d?e");
  CHECK(target_path("http://a/b?c") == "/b");
  CHECK(target_path("http://a") == "/");
  CHECK(target_path("http://a?c=d") == "/");
  CHECK(target_query("http://a?c=d") == "c=d");
  CHECK(target_path("*") == "*");
  CHECK(target_path("a:443") == "a:443");
  CHECK(target_path("").empty());
}
