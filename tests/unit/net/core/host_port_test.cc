#include "net/core/host_port.h"

#include <doctest/doctest.h>

using hms::net::split_host_port;

TEST_CASE("host_port: a host and its port are told apart, brackets kept") {
  struct Case {
    const char* text;
    const char* host;
    const char* port;
    bool has_port;
  };
  for (const Case& one :
       {Case{"shop", "shop", "", false}, Case{"shop:", "shop", "", true},
        Case{"shop:80", "shop", "80", true}, Case{"[::1]", "[::1]", "", false},
        Case{"[::1]:80", "[::1]", "80", true}, Case{"[::1]80", "[::1]", "", false},
        Case{"[::1", "[::1", "", false}, Case{"::1", "", ":1", true}, Case{"", "", "", false}}) {
    CAPTURE(one.text);
    const auto parts = split_host_port(one.text);
    CHECK(parts.host == one.host);
    CHECK(parts.port() == one.port);
    CHECK(parts.has_port() == one.has_port);
  }
}

TEST_CASE("host_port: only a closed bracket with a port or nothing behind it is well bracketed") {
  for (const char* good : {"[::1]", "[::1]:", "[::1]:80", "[]"}) {
    CAPTURE(good);
    CHECK(split_host_port(good).well_bracketed());
  }
  CHECK(split_host_port("[::1]:80").inside() == "::1");
  for (const char* bad : {"[", "[::1", "[::1]80", "::1", "shop:80", ""}) {
    CAPTURE(bad);
    CHECK(!split_host_port(bad).well_bracketed());
  }
}
