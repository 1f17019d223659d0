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

std::vector<RecorderDelta> second_of(uint64_t spans, std::string_view route = "/claims") {
  Recorder recorder;
  SpanRecord span;
  span.trace_id.bytes[0] = span.span_id.bytes[0] = 1;
  span.key.route = recorder.names().intern(route);
  for (uint64_t i = 0; i < spans; ++i) recorder.add_span(span, "", "/claims/1");
  std::vector<RecorderDelta> deltas;
  deltas.push_back(recorder.flip(1));
  return deltas;
}

hms::telemetry::Decoded<hms::telemetry::TraceBatch> unpacked(const SpanQueue::Batch& batch) {
  auto body = hms::net::zstd_decode(batch.packed, 64 << 20);
  REQUIRE(body.ok());
  auto decoded =
      hms::telemetry::decode_traces(std::move(body).value(), hms::telemetry::OtlpFormat::protobuf);
  REQUIRE(decoded.ok());
  CHECK(decoded->rejected == 0);
  return std::move(decoded).value();
}

}  // namespace

TEST_CASE("span_queue: seconds of several workers come out whole, in steps, a batch each") {
  constexpr uint64_t kSpans = 5 * SpanQueue::kSpansPerStep + 1;
  SpanQueue queue(kResource);
  for (int second = 0; second < 2; ++second) {
    auto deltas = second_of(kSpans);
    deltas.push_back(std::move(second_of(3, "/other")[0]));
    CHECK(queue.add(deltas) == 0);
    CHECK(deltas[0].spans.empty());
  }
  for (int second = 0; second < 2; ++second) {
    SpanQueue::Batch batch;
    int steps = 1;
    while (!queue.step(batch)) ++steps;
    CHECK(steps > 6);
    CHECK(batch.spans == kSpans + 3);
    const auto decoded = unpacked(batch);
    REQUIRE(decoded.batch.spans.size() == kSpans + 3);
    CHECK(decoded.batch.spans.front().name == "HTTP /claims");
    CHECK(decoded.batch.spans[kSpans - 1].name == "HTTP /claims");
    CHECK(decoded.batch.spans.back().name == "HTTP /other");
  }
  CHECK(queue.empty());
}

TEST_CASE("span_queue: a second that is too large for one request goes into several") {
  SpanQueue queue(kResource);
  std::vector<RecorderDelta> deltas;
  uint64_t added = 0, taken = 0;
  const std::string path(256, 'p');
  for (; added * 300 < SpanQueue::kBatchBytes; added += 16'000)
    deltas.push_back(std::move(second_of(16'000, path)[0]));
  CHECK(queue.add(deltas) == 0);
  int batches = 0;
  for (SpanQueue::Batch batch; !queue.empty();) {
    if (!queue.step(batch)) continue;
    const auto decoded = unpacked(batch);
    CHECK(decoded.batch.spans.size() == batch.spans);
    taken += batch.spans;
    ++batches;
  }
  CHECK(batches > 1);
  CHECK(taken == added);
}

TEST_CASE("span_queue: seconds that pile up are dropped and counted, and room comes back") {
  SpanQueue queue(kResource);
  for (size_t i = 0; i < SpanQueue::kMostSeconds; ++i) {
    auto deltas = second_of(3);
    CHECK(queue.add(deltas) == 0);
  }
  auto more = second_of(7);
  CHECK(queue.add(more) == 7);
  CHECK(more[0].spans.empty());
  SpanQueue::Batch batch;
  while (!queue.step(batch)) {
  }
  more = second_of(7);
  CHECK(queue.add(more) == 0);
}
