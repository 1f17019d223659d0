#include "telemetry/time_text.h"

#include <doctest/doctest.h>

using namespace hms::telemetry;

TEST_CASE("time text: milliseconds become RFC 3339 and come back") {
  CHECK(rfc3339(0) == "1970-01-01T00:00:00.000Z");
  CHECK(rfc3339(1795337458120) == "2026-11-22T08:50:58.120Z");
  for (const int64_t millis :
       {int64_t{0}, int64_t{951782400000}, int64_t{1709251199999}, int64_t{4102444800000}})
    CHECK(parse_rfc3339(rfc3339(millis)) == millis);
}

TEST_CASE("time text: offsets and fractions of any length are read") {
  CHECK(parse_rfc3339("1970-01-01T02:00:00+02:00") == 0);
  CHECK(parse_rfc3339("1970-01-01T00:00:01.123456789Z") == 1123);
  CHECK(parse_rfc3339("1970-01-01T00:00:01.5Z") == 1500);
}

TEST_CASE("time text: what is no time is refused") {
  for (const char* text :
       {"", "now", "2026-13-01T00:00:00Z", "2026-01-01T25:00:00Z", "2026-01-01T00:00:00",
        "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+2:00", "2026-01-01"}) {
    CHECK_FALSE(parse_rfc3339(text).has_value());
  }
}

TEST_CASE(
    "time text: the looser form takes dates alone, no seconds, a comma, offsets without a colon") {
  const auto loose = [](std::string_view text) {
    const auto time = parse_time_text(text, TimeForm::iso8601);
    return time ? time->unix_seconds * 1'000'000'000 + time->nanos : -1;
  };
  CHECK(loose("1970-01-02") == 86'400'000'000'000);
  CHECK(loose("1970-01-01T00:01") == 60'000'000'000);
  CHECK(loose("1970-01-01 01:00:00,5+0100") == 500'000'000);
  CHECK(loose("1970-01-01T02:00:00+02") == 0);
  CHECK(loose("1970-01-01T00:00:00+02") == -1);
  CHECK(loose("1970-02-30") == -1);
  CHECK(loose("19700102") == 86'400'000'000'000);
  CHECK(loose("19700101T000001Z") == 1'000'000'000);
  CHECK(loose("19700101T0100+01") == 0);
  CHECK(loose("19700101T000000.5Z") == 500'000'000);
  CHECK(loose("1970-01-01T24:00:00Z") == 86'400'000'000'000);
  CHECK(loose("1970-01-01T24:00:01Z") == -1);
  CHECK(loose("1970-01-01T24:01Z") == -1);
  CHECK(loose("1970-0101") == -1);
  CHECK(loose("197001") == -1);
  CHECK_FALSE(parse_time_text("19700101T000000Z", TimeForm::rfc3339).has_value());
  CHECK_FALSE(parse_time_text("1970-01-01T24:00:00Z", TimeForm::rfc3339).has_value());
  CHECK_FALSE(parse_time_text("1970-01-02", TimeForm::rfc3339).has_value());
  CHECK_FALSE(parse_time_text("1970-01-01T00:00:00,5Z", TimeForm::rfc3339).has_value());
}
