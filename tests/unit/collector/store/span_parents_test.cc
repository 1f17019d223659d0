#include "collector/store/span_parents.h"

#include <doctest/doctest.h>

using namespace hms;
using namespace hms::collector;

namespace {

/// Span `number` of trace `trace`, both as small numbers in the last bytes.
uint64_t key_of(uint8_t trace, uint64_t number) {
  telemetry::TraceId of;
  of.bytes[15] = trace;
  telemetry::SpanId id;
  for (size_t i = 0; i < 8; ++i) id.bytes[7 - i] = static_cast<uint8_t>(number >> (8 * i));
  return span_key(of, id);
}
uint64_t id_of(uint64_t number) { return key_of(1, number); }

}  // namespace

TEST_CASE(
    "span parents: a span is remembered for a minute, also where the clock's low half turns") {
  for (const uint32_t now : {1'795'000'000U, 0x6AFF'FFF0U}) {
    SpanParents parents;
    CHECK_FALSE(parents.find(id_of(1), now));
    parents.put(id_of(1), 7, now);
    CHECK(parents.find(id_of(1), now) == 7U);
    CHECK(parents.find(id_of(1), now + 60) == 7U);
    CHECK_FALSE(parents.find(id_of(1), now + 61));
    parents.put(id_of(1), 8, now + 61);
    CHECK(parents.find(id_of(1), now + 70) == 8U);
    CHECK_FALSE(parents.find(id_of(2), now + 70));
    CHECK_FALSE(parents.find(key_of(2, 1), now + 70));
  }
}

TEST_CASE("span parents: of more than there is room for, the newest are kept") {
  SpanParents parents;
  constexpr uint64_t kIds = 600'000;  // counted up, as some senders do
  for (uint64_t i = 1; i <= kIds; ++i)
    parents.put(id_of(i), 1 + static_cast<uint32_t>(i % 100), static_cast<uint32_t>(i / 20'000));
  size_t found = 0;
  constexpr uint64_t kLatest = 100'000;
  for (uint64_t i = kIds - kLatest + 1; i <= kIds; ++i) {
    const auto service = parents.find(id_of(i), kIds / 20'000);
    if (service && *service == 1 + i % 100) ++found;
  }
  CHECK(found > kLatest * 98 / 100);
}
