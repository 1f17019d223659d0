// What a chunk's summary promises: never that a span which fits is not there.
#include "collector/store/span_summary.h"

#include <doctest/doctest.h>

#include "collector/store/span_store.h"

using namespace hms::collector;

TEST_CASE("span_summary: a span of any duration is found by a shortest duration below it") {
  constexpr uint64_t kStart = 1'790'000'000'000'000'000ULL;
  for (uint64_t nanos = 1; nanos < 86'400'000'000'000ULL; nanos = nanos * 5 / 4 + 1) {
    CAPTURE(nanos);
    const std::string summary =
        encode_summary({{"GET /", kStart, kStart, nanos, false, true}}, kStart);
    TraceQuery query;
    query.end_unix_nanos = UINT64_MAX;
    query.operation = "GET /";
    query.min_duration_nanos = nanos;
    CHECK(summary_may_fit(summary, kStart, query));
    query.min_duration_nanos = nanos * 2 + 2'048;  // a class is an eighth wide, or a microsecond
    if (nanos < 3'600'000'000'000ULL)              // the last class has all from some hours on
      CHECK_FALSE(summary_may_fit(summary, kStart, query));
  }
}

TEST_CASE(
    "span_summary: durations beyond every class and bytes that make no sense may hold anything") {
  TraceQuery query;
  query.end_unix_nanos = UINT64_MAX;
  query.min_duration_nanos = UINT64_MAX;
  CHECK(summary_may_fit(encode_summary({{"a", 1, 1, UINT64_MAX, true, false}}, 1), 1, query));
  CHECK(summary_may_fit("\x09", 1, query));
  CHECK(summary_may_fit({"\x02\x01\xbf\x00\x00\x2d\x00", 7}, 1'000'000'000'000, query));
}
