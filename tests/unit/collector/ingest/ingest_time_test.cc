#include "collector/ingest/ingest_time.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using namespace hms::collector;

TEST_CASE("ingest_time: ISO 8601 as programs write it") {
  const uint64_t second = 1'795'339'370ULL * 1'000'000'000ULL;  // 2026-11-22T09:22:50Z
  CHECK(parse_iso_time("2026-11-22T09:22:50Z") == second);
  CHECK(parse_iso_time("2026-11-22t09:22:50z") == second);
  CHECK(parse_iso_time("2026-11-22 09:22:50") == second);
  CHECK(parse_iso_time("2026-11-22T09:22:50.114Z") == second + 114'000'000);
  CHECK(parse_iso_time("2026-11-22T09:22:50,114Z") == second + 114'000'000);
  CHECK(parse_iso_time("2026-11-22T09:22:50.123456789Z") == second + 123'456'789);
  CHECK(parse_iso_time("2026-11-22T09:22:50.1234567891Z") == second + 123'456'789);
  CHECK(parse_iso_time("2026-11-22T11:22:50+02:00") == second);
  CHECK(parse_iso_time("2026-11-22T03:52:50-0530") == second);
  CHECK(parse_iso_time("2026-11-22T11:22:50+02") == second);
  CHECK(parse_iso_time("2026-11-22T09:22Z") == second - 50'000'000'000ULL);
  CHECK(parse_iso_time("2026-11-22") == 20'779ULL * 86'400 * 1'000'000'000ULL);
  CHECK(parse_iso_time("2026-11-21T24:00:00Z") == parse_iso_time("2026-11-22"));  // the next day
  CHECK(parse_iso_time("1970-01-01T00:00:00Z") == 0);
}

TEST_CASE("ingest_time: what is no time is refused") {
  for (const char* bad : {"",
                          "yesterday",
                          "2026",
                          "2026-11",
                          "2026-13-01",
                          "2026-02-30",
                          "2026-11-22T",
                          "2026-11-22T24:00:01Z",
                          "2026-11-22T09:60:00Z",
                          "2026-11-22T09:22:61Z",
                          "2026-11-22T09:22:50.Z",
                          "2026-11-22T09:22:50Zx",
                          "2026-11-22T09:22:50+2",
                          "2026-11-22T09:22:50+25:00",
                          "1969-12-31T23:59:59Z",
                          "1970-01-01T00:00:00+01:00",
                          "9999-01-01T00:00:00Z",
                          "-026-11-22",
                          "2026-11-22T09:22:50+02:",
                          "2026/11/22"}) {
    CHECK_MESSAGE(!parse_iso_time(bad).has_value(), bad);
  }
}

TEST_CASE("ingest_time: Unix milliseconds keep their fraction") {
  CHECK(time_of_unix_millis(1'795'339'370'114.0) == 1'795'339'370'114ULL * 1'000'000);
  CHECK(time_of_unix_millis(0.5) == 500'000);
  CHECK(time_of_unix_millis(0) == 0);
  CHECK_FALSE(time_of_unix_millis(-1).has_value());
  CHECK_FALSE(time_of_unix_millis(1e300).has_value());
  CHECK_FALSE(time_of_unix_millis(std::nan("")).has_value());
  CHECK_FALSE(time_of_unix_millis(std::numeric_limits<double>::infinity()).has_value());
}
