#include "proxy/span_queue.h"

#include <doctest/doctest.h>

#include <utility>

#include "telemetry/otlp_decode.h"

using namespace hms::proxy;
using hms::telemetry::Recorder;
using hms::telemetry::RecorderDelta;
using hms::telemetry::SpanRecord;

namespace {

const hms::telemetry::ResourceIdentity kResource = {"claims", "", "", {}};

std::vector<RecorderDelta> second_of(uint64_t spans) {
  Recorder recorder;
  SpanRecord span;
  span.trace_id.bytes[0] = span.span_id.bytes[0] = 1;
  span.key.route = recorder.names().intern("/claims");
  for (uint64_t i = 0; i < spans; ++i) recorder.add_span(span, "", "/claims/1");
  std::vector<RecorderDelta> deltas;
  deltas.push_back(recorder.flip(1));
  return deltas;
}

}  // namespace

TEST_CASE("span_queue: a second is encoded piece by piece and comes out whole") {
  SpanQueue queue;
  auto deltas = second_of(2 * SpanQueue::kSpansPerPiece + 1);
  CHECK(queue.add(deltas) == 0);
  SpanQueue::Batch batch;
  int steps = 1;
  while (!queue.step(kResource, batch)) ++steps;
  CHECK(steps == 3);
  CHECK(queue.empty());
  CHECK(batch.spans == 2 * SpanQueue::kSpansPerPiece + 1);
  const auto decoded =
      hms::telemetry::decode_traces(std::move(batch.body), hms::telemetry::OtlpFormat::protobuf);
  REQUIRE(decoded.ok());
  CHECK(decoded->batch.spans.size() == 2 * SpanQueue::kSpansPerPiece + 1);
  CHECK(decoded->batch.spans.back().name == "HTTP /claims");
}

TEST_CASE("span_queue: seconds that pile up are dropped and counted, and room comes back") {
  SpanQueue queue;
  for (size_t i = 0; i < SpanQueue::kMostSeconds; ++i) {
    auto deltas = second_of(3);
    CHECK(queue.add(deltas) == 0);
  }
  auto more = second_of(7);
  CHECK(queue.add(more) == 7);
  CHECK(more[0].spans.empty());
  SpanQueue::Batch batch;
  CHECK(queue.step(kResource, batch));
  more = second_of(7);
  CHECK(queue.add(more) == 0);
}
