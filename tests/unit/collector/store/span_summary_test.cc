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
        encode_summary({{"GET /", kStart, kStart, nanos, false, true, 0}}, kStart);
    TraceQuery query;
    query.end_unix_nanos = UINT64_MAX;
    query.operation = "GET /";
    query.min_duration_nanos = nanos;
    CHECK(SummaryQuestion(query).may_fit(summary, kStart));
    query.min_duration_nanos = nanos * 2 + 2'048;  // a class is an eighth wide, or a microsecond
    if (nanos < 3'600'000'000'000ULL)              // the last class has all from some hours on
      CHECK_FALSE(SummaryQuestion(query).may_fit(summary, kStart));
  }
}

TEST_CASE(
    "span_summary: durations beyond every class and bytes that make no sense may hold anything") {
  TraceQuery query;
  query.end_unix_nanos = UINT64_MAX;
  query.min_duration_nanos = UINT64_MAX;
  CHECK(SummaryQuestion(query).may_fit(encode_summary({{"a", 1, 1, UINT64_MAX, true, false, 0}}, 1),
                                       1));
  CHECK(SummaryQuestion(query).may_fit("\x09", 1));
  CHECK(SummaryQuestion(query).may_fit({"\x02\x01\xbf\x00\x00\x2d\x00", 7}, 1'000'000'000'000));
}

TEST_CASE(
    "span_summary: an attribute is looked for where an operation has it, or too many of its key") {
  constexpr uint64_t kStart = 1'790'000'000'000'000'000ULL;
  const auto summary_with = [&](uint64_t bits) {
    return encode_summary({{"GET /", kStart, kStart, 5'000'000, false, true, bits}}, kStart);
  };
  TraceQuery query;
  query.end_unix_nanos = UINT64_MAX;
  query.tags = {{"http.response.status_code", "500"}, {"zone", "north"}};
  const uint64_t failed = attribute_bit("http.response.status_code", "500"),
                 north = attribute_bit("zone", "north");
  const auto may_fit = [&](uint64_t bits) {
    return SummaryQuestion(query).may_fit(summary_with(bits), kStart);
  };
  CHECK(may_fit(failed | north));
  CHECK(may_fit(failed | key_bit("zone")));
  CHECK_FALSE(may_fit(failed));
  CHECK_FALSE(may_fit(0));
  // A summary of before has none: it may hold anything.
  std::string older = summary_with(0);
  older[0] = 2;
  older.resize(older.size() - 8);
  CHECK(SummaryQuestion(query).may_fit(older, kStart));
}
