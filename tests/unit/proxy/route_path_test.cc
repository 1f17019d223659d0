#include "proxy/route_path.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/unit/proxy/counted_allocations.h"

using namespace hms::proxy;

TEST_CASE("route_path: a plain path is its own normal form") {
  for (const std::string path :
       {"/", "/claims/42", "/a.b/c~d/", "/a:b@c!$&'()*+,=", "/caf\xc3\xa9", "*", ""}) {
    PathScratch scratch;
    const PathReadings readings = read_path(path, scratch);
    CHECK(readings.plain);
    CHECK(readings.normal.data() == path.data());
    CHECK(readings.normal == path);
    CHECK(!readings.ambiguous);
  }
}

TEST_CASE("route_path: escapes are decoded, dot segments removed, empty segments merged") {
  const std::vector<std::pair<std::string, std::string>> paths = {
      {"/%61dmin/x", "/admin/x"},
      {"/%41dmin", "/Admin"},
      {"/a%7Eb%2dc", "/a~b-c"},
      {"/claims%3Aapprove", "/claims:approve"},
      {"/caf%C3%A9", "/caf\xc3\xa9"},
      {"/100%25", "/100%25"},
      {"/%2561dmin", "/%2561dmin"},
      {"/a%3fb%23c", "/a%3Fb%23c"},
      {"//admin//x", "/admin/x"},
      {"/./admin/./x", "/admin/x"},
      {"/x/../admin/x", "/admin/x"},
      {"/x/%2e%2E/admin", "/admin"},
      {"/../../admin", "/admin"},
      {"/a/b/..", "/a/"},
      {"/a/.", "/a/"},
      {"/a//", "/a/"},
      {"/..", "/"},
      {"/a/...", "/a/..."},
      {"/.well-known/x", "/.well-known/x"},
      {"/a;v=1/x", "/a;v=1/x"},
  };
  PathScratch scratch;
  for (const auto& [spelled, normal] : paths) {
    const std::string_view path = spelled;  // clang 14 captures no structured binding
    CAPTURE(path);
    const PathReadings readings = read_path(path, scratch);
    CHECK(readings.normal == normal);
    CHECK(!readings.ambiguous);
    const std::string once(readings.normal);
    PathScratch other;
    CHECK(read_path(once, other).normal == once);
  }
}

TEST_CASE("route_path: the readings of services that drop parameters or keep climbs") {
  PathScratch scratch;
  PathReadings readings = read_path("/admin;a=b/x", scratch);
  CHECK(readings.normal == "/admin;a=b/x");
  CHECK(readings.bare == "/admin/x");
  CHECK(read_path("/admin%3ba/x", scratch).bare == "/admin/x");
  CHECK(read_path("/x/..;/admin", scratch).bare == "/admin");
  CHECK(read_path("/;/admin", scratch).bare == "/admin");
  readings = read_path("/%61dmin/..//public", scratch);
  CHECK(readings.normal == "/public");
  CHECK(readings.climbing == "/admin/../public");
}

TEST_CASE("route_path: what nobody can tell the meaning of") {
  PathScratch scratch;
  for (const std::string path : {"/admin%2fx", "/admin%2Fx", "/a\\b", "/a%5cb", "/a%00", "/a%0d",
                                 "/a%7f", "/a%zz", "/a%4", "/a%", "/a%c0%afb"}) {
    CAPTURE(path);
    const PathReadings readings = read_path(path, scratch);
    CHECK(readings.ambiguous);
    CHECK(!readings.plain);
  }
}

TEST_CASE("route_path: once its room has grown nothing is allocated") {
  PathScratch scratch;
  const std::string path = "/x/%2e%2e/admin;version=1/with/a/path/that/is/long/enough/..";
  (void)read_path(path, scratch);
  CountedAllocations counted;
  for (int i = 0; i < 10; ++i) (void)read_path(path, scratch);
  CHECK(counted.stop() == 0);
}
