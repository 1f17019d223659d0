#include "telemetry/recorder.h"

#include <doctest/doctest.h>

#include <string>

using namespace hms::telemetry;

namespace {

SeriesKey key_of(uint32_t route, uint16_t status = 200) {
  SeriesKey key;
  key.route = route;
  key.status = status;
  key.method = Method::get;
  return key;
}

uint64_t requests_in(const RecorderDelta& delta) {
  uint64_t count = 0;
  for (const auto& series : delta.series) count += series.duration.count;
  return count;
}

}  // namespace

TEST_CASE("recorder: methods outside the semantic conventions are _OTHER") {
  CHECK(method_of("GET") == Method::get);
  CHECK(method_of("DELETE") == Method::delete_);
  CHECK(method_of("get") == Method::other);
  CHECK(method_of("PROPFIND") == Method::other);
  CHECK(method_of("_OTHER") == Method::other);
  CHECK(method_name(Method::patch) == "PATCH");
  CHECK(method_name(Method::other) == "_OTHER");
  CHECK(error_type_name(ErrorType::none).empty());
  CHECK(error_type_name(ErrorType::client_disconnect) == "client_disconnect");
  CHECK(error_type_name(ErrorType::other) == "_OTHER");
}

TEST_CASE("name table: a name keeps its number, and index 0 is the empty one") {
  NameTable names;
  CHECK(names.intern("") == 0);
  const uint32_t claims = names.intern("/claims");
  CHECK(names.intern("/claims") == claims);
  CHECK(names.name(claims) == "/claims");
  CHECK(names.name(4'000'000'000U).empty());
  CHECK(names.name(names.overflow()) == "other");
}

TEST_CASE(
    "name table: beyond 65,535 names the answer is `other`, and peers never fill more than half") {
  NameTable names;
  for (int i = 0; i < 70'000; ++i) (void)names.intern_peer("10." + std::to_string(i));
  CHECK(names.intern_peer("one more peer") == names.overflow());
  CHECK(names.intern("/a/route/still/fits") != names.overflow());
  for (int i = 0; i < 70'000; ++i) (void)names.intern("/route/" + std::to_string(i));
  CHECK(names.size() == 65'535);
  CHECK(names.intern("/one/more") == names.overflow());
}

TEST_CASE("recorder: a flip hands over what was measured since the last one") {
  Recorder recorder;
  const uint32_t route = recorder.names().intern("/claims");
  recorder.add(key_of(route), 1'000'000);
  recorder.add(key_of(route), 2'000'000);
  recorder.add(key_of(route, 500), 3'000'000);
  const RecorderDelta first = recorder.flip(100);
  REQUIRE(first.series.size() == 2);
  CHECK(requests_in(first) == 3);
  CHECK(first.end_unix_nanos == 100);
  CHECK(first.name(first.series[0].key.route) == "/claims");
  CHECK(first.series[0].duration.sum == doctest::Approx(0.003));
  const RecorderDelta empty = recorder.flip(200);
  CHECK(empty.series.empty());
  CHECK(empty.begin_unix_nanos == 100);
  recorder.add(key_of(route), 1);
  CHECK(requests_in(recorder.flip(300)) == 1);
  CHECK(recorder.requests() == 4);
}

TEST_CASE(
    "recorder: beyond 4,096 series requests are folded into the route `other`, and none is lost") {
  Recorder recorder;
  for (uint32_t i = 0; i < 6'000; ++i)
    recorder.add(key_of(recorder.names().intern("/r" + std::to_string(i))), 1'000);
  const RecorderDelta delta = recorder.flip(100);
  CHECK(requests_in(delta) == 6'000);
  CHECK(delta.series_folded == 6'000 - 4'096);
  CHECK(delta.series.size() == 4'097);
  CHECK(delta.name(delta.series.back().key.route) == "other");
}

TEST_CASE("recorder: a flood of kinds stays bounded, and every request is counted") {
  Recorder recorder;
  uint64_t added = 0;
  for (uint16_t status = 0; status < 1'000; ++status) {
    for (uint8_t method = 0; method < 10; ++method) {
      for (uint8_t error = 0; error < 10; ++error) {
        SeriesKey key = key_of(2, status);
        key.method = static_cast<Method>(method);
        key.error_type = static_cast<ErrorType>(error);
        key.tls = (added & 1) != 0;
        key.direction = static_cast<Direction>((added >> 1) & 1);
        recorder.add(key, added++);
      }
    }
  }
  const RecorderDelta delta = recorder.flip(100);
  CHECK(requests_in(delta) == added);
  CHECK(delta.series.size() <= 4'096 + 1'024);
}

TEST_CASE("recorder: series silent for a minute make room for new ones") {
  Recorder recorder;
  for (uint32_t i = 0; i < 4'096; ++i) recorder.add(key_of(i), 1'000);
  for (uint64_t second = 0; second < 62; ++second) {
    recorder.add(key_of(7), 1'000);
    (void)recorder.flip(second);
  }
  for (uint32_t i = 0; i < 4'000; ++i) recorder.add(key_of(10'000 + i), 1'000);
  recorder.add(key_of(7), 1'000);
  const RecorderDelta delta = recorder.flip(100);
  CHECK(delta.series_folded == 0);
  CHECK(requests_in(delta) == 4'001);
  CHECK(delta.series.size() == 4'001);
}

TEST_CASE("recorder: spans keep their texts, and equal texts are kept once") {
  Recorder recorder;
  SpanRecord span;
  span.key = key_of(recorder.names().intern("/claims"));
  recorder.add_span(span, "", "/claims/1");
  recorder.add_span(span, "order-42", "/claims/1");
  recorder.add_span(span, "", std::string(300, 'x'));
  const RecorderDelta delta = recorder.flip(100);
  REQUIRE(delta.spans.size() == 3);
  CHECK(delta.spans[0].trace_text == 0);
  CHECK(delta.texts.at(delta.spans[0].target - 1) == "/claims/1");
  CHECK(delta.spans[1].target == delta.spans[0].target);
  CHECK(delta.texts.at(delta.spans[1].trace_text - 1) == "order-42");
  CHECK(delta.texts.at(delta.spans[2].target - 1).size() == 256);
  CHECK(delta.name(delta.spans[0].key.route) == "/claims");
}

TEST_CASE("recorder: spans beyond 16,384 between two flips are dropped and counted") {
  Recorder recorder;
  for (int i = 0; i < 16'400; ++i) recorder.add_span(SpanRecord(), "", "");
  RecorderDelta delta = recorder.flip(100);
  CHECK(delta.spans.size() == 16'384);
  CHECK(delta.spans_dropped == 16);
  recorder.add_span(SpanRecord(), "", "");
  delta = recorder.flip(200);
  CHECK(delta.spans.size() == 1);
  CHECK(delta.spans_dropped == 0);
}

TEST_CASE("recorder: a wall clock set back never gives an interval that ends before it begins") {
  Recorder recorder;
  (void)recorder.flip(1'000);
  const RecorderDelta delta = recorder.flip(500);
  CHECK(delta.begin_unix_nanos == 500);
  CHECK(delta.end_unix_nanos == 500);
}
