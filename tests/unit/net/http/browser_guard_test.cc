#include "net/http/browser_guard.h"

#include <doctest/doctest.h>

#include "net/http/h1_codec.h"
#include "net/http/server.h"

using namespace hms::net;  // NOLINT: a test

namespace {

bool refused(const std::string& method, const std::string& fields, bool loopback = true,
             const BrowserRules& rules = {}) {
  H1Codec codec(H1Codec::Kind::request, HttpLimits());
  const std::string text = method + " /x HTTP/1.1\r\n" + fields + "\r\n";
  std::string_view input = text;
  REQUIRE(codec.next(input) == H1Codec::Step::head);
  return foreign_page(codec.head(), rules, loopback).has_value();
}

const std::string kHost = "Host: 127.0.0.1:9090\r\n";

}  // namespace

TEST_CASE("browser_guard: programs are let through whatever name they call us by") {
  for (const char* method : {"GET", "POST", "PUT", "DELETE"}) {
    CHECK_FALSE(refused(method, kHost));
    CHECK_FALSE(refused(method, "Host: collector:9090\r\nUser-Agent: curl/7.88\r\n"));
    CHECK_FALSE(refused(method, "Host: anything.example\r\nUser-Agent: Grafana/10\r\n"));
  }
}

TEST_CASE(
    "browser_guard: a page of another origin may read what CORS lets it, and change nothing") {
  const std::string foreign = kHost + "Origin: http://evil.example\r\n";
  CHECK(refused("POST", foreign));
  CHECK(refused("DELETE", foreign));
  CHECK_FALSE(refused("GET", foreign));
  CHECK(refused("POST", kHost + "Origin: null\r\n"));
  CHECK(refused("POST", kHost + "Origin: http://127.0.0.1:8080\r\n"));
  CHECK(refused("POST", kHost + "Sec-Fetch-Site: cross-site\r\n"));
  CHECK(refused("POST", kHost + "Sec-Fetch-Site: same-site\r\n"));
}

TEST_CASE("browser_guard: our own page may") {
  CHECK_FALSE(refused("POST", kHost + "Origin: http://127.0.0.1:9090\r\n"));
  CHECK_FALSE(refused("PUT", kHost + "Sec-Fetch-Site: same-origin\r\n"));
  CHECK_FALSE(refused("POST", kHost + "Sec-Fetch-Site: none\r\n"));
  CHECK_FALSE(refused("POST", "Host: ops.example\r\nOrigin: https://ops.example\r\n", false));
  CHECK_FALSE(refused("POST", "Host: ops.example:443\r\nOrigin: https://OPS.example\r\n", false));
  // Behind a proxy that changes the Host.
  const BrowserRules rules{{"https://ops.example/"}};
  CHECK_FALSE(refused("POST", kHost + "Origin: https://ops.example\r\n", true, rules));
  CHECK(refused("POST", kHost + "Origin: https://other.example\r\n", true, rules));
}

TEST_CASE(
    "browser_guard: on loopback a browser must call us by an address, localhost or our name") {
  const std::string browser = "Accept-Language: en\r\n";
  CHECK(refused("GET", "Host: rebound.example:9090\r\n" + browser));
  CHECK(refused("GET", "Host: rebound.example:9090\r\nUser-Agent: Mozilla/5.0\r\n"));
  CHECK(refused("POST", "Host: rebound.example:9090\r\nOrigin: http://rebound.example:9090\r\n"));
  CHECK_FALSE(refused("GET", "Host: rebound.example:9090\r\n" + browser, false));
  for (const char* host : {"localhost:9090", "127.0.0.1", "[::1]:9090", "10.1.2.3:80"})
    CHECK_FALSE(refused("GET", "Host: " + std::string(host) + "\r\n" + browser));
  const BrowserRules rules{{"https://ops.example"}};
  CHECK_FALSE(refused("GET", "Host: ops.example\r\n" + browser, true, rules));
}
