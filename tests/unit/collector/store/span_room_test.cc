#include "collector/store/span_room.h"

#include <doctest/doctest.h>

#include <utility>

using namespace hms::collector;

namespace {

constexpr size_t kScopeBytes = 60 << 10;

StoredSpan scoped_span(uint64_t start) {
  StoredSpan span;
  span.start_unix_nanos = start;
  for (size_t i = 0; i < 8; ++i) span.span_id.bytes[i] = static_cast<uint8_t>(start >> (8 * i));
  span.scope = std::string(kScopeBytes, 's');
  return span;
}

}  // namespace

TEST_CASE("span_room: each text of a span counts") {
  const uint64_t empty = bytes_of(StoredSpan());
  const auto with = [empty](std::string StoredSpan::*text) {
    StoredSpan span;
    span.*text = std::string(1000, 't');
    return bytes_of(span) - empty;
  };
  CHECK(with(&StoredSpan::service) == 1000);
  CHECK(with(&StoredSpan::instance) == 1000);
  CHECK(with(&StoredSpan::name) == 1000);
  CHECK(with(&StoredSpan::status_message) == 1000);
  CHECK(with(&StoredSpan::scope) == 1000);
  CHECK(with(&StoredSpan::trace_text) == 1000);
}

TEST_CASE("span_room: a trace of 20,000 spans under one long scope name is cut and says so") {
  constexpr uint64_t kRoom = 4 << 20;
  SpanRoom room(kRoom);
  Trace trace;
  room.begin(trace);
  for (uint64_t i = 0; i < 20'000 && room.keep(scoped_span(i), trace.spans); ++i) {
  }
  REQUIRE(room.cut());
  CHECK(room.full());
  CHECK(trace.spans.size() > 1);
  CHECK(trace.spans.size() <= kRoom / kScopeBytes);
  const std::string shown = std::to_string(trace.spans.size());
  room.finish(trace);
  REQUIRE(trace.warnings.size() == 1);
  CHECK(trace.warnings.front().find("only the first " + shown + " spans are shown") == 0);
}

TEST_CASE("span_room: spans that are charged and take more than there is leave no room") {
  const std::vector<StoredSpan> spans = {scoped_span(1), scoped_span(2)};
  SpanRoom enough(3 * kScopeBytes);
  enough.charge(spans);
  CHECK_FALSE(enough.full());
  SpanRoom little(kScopeBytes);
  little.charge(spans);
  CHECK(little.full());
  // A trace whose spans all stand already was not cut for that.
  Trace whole;
  whole.spans = spans;
  little.begin(whole);
  little.finish(whole);
  CHECK(whole.spans.size() == 2);
  CHECK(whole.warnings.empty());
}
