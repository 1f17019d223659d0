#include <doctest/doctest.h>

#include "telemetry/otlp_decode.h"
#include "telemetry/recorder.h"
#include "telemetry/span_encoder.h"

using namespace hms::telemetry;

namespace {

const ResourceIdentity kIdentity{
    "claims", "1.2.3", "0190f3a0-0000-7000-8000-000000000001", {{"k8s.pod.name", "claims-0"}}};

SeriesKey key_of(Recorder& recorder, std::string_view route, uint16_t status,
                 Direction direction = Direction::inbound) {
  SeriesKey key;
  key.route = recorder.names().intern(route);
  key.status = status;
  key.method = Method::get;
  key.direction = direction;
  return key;
}

std::string text(const BatchStorage& batch, AttributeRange range, std::string_view key) {
  const Attribute* attribute = find_attribute(batch, range, key);
  return attribute == nullptr ? "(absent)" : std::string(attribute->value.text);
}

int64_t integer(const BatchStorage& batch, AttributeRange range, std::string_view key) {
  const Attribute* attribute = find_attribute(batch, range, key);
  return attribute == nullptr ? -1 : attribute->value.integer;
}

SpanRecord span_of(const SeriesKey& key) {
  SpanRecord span;
  span.trace_id.bytes.fill(0xab);
  span.span_id.bytes.fill(0x01);
  span.start_unix_nanos = 1'700'000'000'000'000'000;
  span.duration_nanos = 1'500'000;
  span.key = key;
  return span;
}

/// One request for each delta, one after the other.
std::string encode_traces(const ResourceIdentity& identity,
                          const std::vector<RecorderDelta>& deltas) {
  SpanEncoder encoder(identity);
  std::string all, one;
  for (const RecorderDelta& delta : deltas) {
    if (delta.spans.empty()) continue;
    encoder.begin_delta();
    encoder.add(delta, 0, delta.spans.size());
    encoder.take(one);
    all += one;
  }
  return all;
}

Decoded<TraceBatch> decoded_traces(std::vector<RecorderDelta> deltas) {
  auto decoded = decode_traces(encode_traces(kIdentity, deltas), OtlpFormat::protobuf);
  REQUIRE(decoded);
  return std::move(decoded).value();
}

Decoded<MetricBatch> decoded_metrics(std::vector<RecorderDelta> deltas,
                                     const std::vector<OwnMetric>& own = {}) {
  auto decoded =
      decode_metrics(encode_metrics(kIdentity, deltas, own, 5, 1'000), OtlpFormat::protobuf);
  REQUIRE(decoded);
  CHECK(decoded->rejected == 0);
  return std::move(decoded).value();
}

}  // namespace

TEST_CASE("otlp round trip: a span comes back with everything it was recorded with") {
  Recorder recorder;
  SpanRecord span = span_of(key_of(recorder, "/claims/{id}", 503));
  span.parent_span_id.bytes.fill(0x02);
  span.key.upstream = static_cast<uint16_t>(recorder.names().intern("claims-v2"));
  span.key.tls = true;
  span.peer = recorder.names().intern_peer("10.0.0.7");
  span.request_bytes = 12;
  span.response_bytes = 3'000'000'000U;
  recorder.add_span(span, "order-42", "/claims/17");
  std::vector<RecorderDelta> deltas;
  deltas.push_back(recorder.flip(2));
  const auto decoded = decoded_traces(std::move(deltas));
  const TraceBatch& batch = decoded.batch;
  REQUIRE(batch.spans.size() == 1);
  const SpanView& view = batch.spans[0];
  CHECK(view.trace_id == span.trace_id);
  CHECK(view.span_id == span.span_id);
  CHECK(view.parent_span_id == span.parent_span_id);
  CHECK(view.kind == SpanKind::server);
  CHECK(view.status == SpanStatus::error);
  CHECK(view.name == "GET /claims/{id}");
  CHECK(view.start_unix_nanos == span.start_unix_nanos);
  CHECK(view.end_unix_nanos == span.start_unix_nanos + span.duration_nanos);
  CHECK(view.trace_text == "order-42");
  CHECK(text(batch, view.attributes, "http.request.method") == "GET");
  CHECK(text(batch, view.attributes, "http.route") == "/claims/{id}");
  CHECK(text(batch, view.attributes, "url.scheme") == "https");
  CHECK(integer(batch, view.attributes, "http.response.status_code") == 503);
  CHECK(text(batch, view.attributes, "error.type") == "503");
  CHECK(text(batch, view.attributes, "hms.upstream") == "claims-v2");
  CHECK(text(batch, view.attributes, "url.path") == "/claims/17");
  CHECK(text(batch, view.attributes, "network.peer.address") == "10.0.0.7");
  CHECK(integer(batch, view.attributes, "http.request.body.size") == 12);
  CHECK(integer(batch, view.attributes, "http.response.body.size") == 3'000'000'000);
  const ResourceView& resource = batch.resources.at(view.resource);
  CHECK(resource.service_name == "claims");
  CHECK(resource.service_version == "1.2.3");
  CHECK(resource.service_instance == kIdentity.service_instance_id);
  CHECK(text(batch, resource.attributes, "k8s.pod.name") == "claims-0");
}

TEST_CASE("otlp round trip: a SERVER span fails only from 500 on, a CLIENT span from 400 on") {
  struct Case {
    uint16_t status;
    Direction direction;
    bool error;
  };
  for (const Case& c : {Case{404, Direction::inbound, false}, Case{500, Direction::inbound, true},
                        Case{404, Direction::outbound, true}, Case{302, Direction::outbound, false},
                        Case{200, Direction::inbound, false}}) {
    Recorder recorder;
    recorder.add_span(span_of(key_of(recorder, "/r", c.status, c.direction)), "", "");
    std::vector<RecorderDelta> deltas;
    deltas.push_back(recorder.flip(2));
    const auto decoded = decoded_traces(std::move(deltas));
    const SpanView& view = decoded.batch.spans.at(0);
    CAPTURE(c.status);
    CHECK((view.status == SpanStatus::error) == c.error);
    CHECK((find_attribute(decoded.batch, view.attributes, "error.type") != nullptr) == c.error);
    CHECK(view.kind == (c.direction == Direction::inbound ? SpanKind::server : SpanKind::client));
  }
}

TEST_CASE("otlp round trip: a caller that left has an error type and no status code") {
  Recorder recorder;
  SeriesKey key = key_of(recorder, "/r", 0);
  key.error_type = ErrorType::client_disconnect;
  recorder.add(key, 1'000);
  recorder.add_span(span_of(key), "", "");
  std::vector<RecorderDelta> deltas;
  deltas.push_back(recorder.flip(2));
  const auto metrics = decoded_metrics(deltas);
  const auto traces = decoded_traces(std::move(deltas));
  CHECK(traces.batch.spans.at(0).status == SpanStatus::error);
  const MetricPointView& point = metrics.batch.points.at(0);
  CHECK(text(metrics.batch, point.attributes, "error.type") == "client_disconnect");
  CHECK(find_attribute(metrics.batch, point.attributes, "http.response.status_code") == nullptr);
}

TEST_CASE(
    "otlp round trip: the same series of several workers becomes one data point, whatever number "
    "its names have") {
  Recorder one, two;
  (void)two.names().intern("something else first");
  for (int i = 0; i < 10; ++i) one.add(key_of(one, "/claims", 200), 1'000'000);
  for (int i = 0; i < 5; ++i) two.add(key_of(two, "/claims", 200), 64'000'000);
  two.add(key_of(two, "/claims", 200, Direction::outbound), 1);
  std::vector<RecorderDelta> deltas;
  deltas.push_back(one.flip(100));
  deltas.push_back(two.flip(110));
  Histogram expected;
  for (const auto& delta : deltas) {
    for (const auto& series : delta.series) {
      if (series.key.direction == Direction::inbound) expected.merge(series.duration);
    }
  }
  const auto decoded = decoded_metrics(std::move(deltas));
  const MetricBatch& batch = decoded.batch;
  REQUIRE(batch.points.size() == 2);
  const MetricPointView& server = batch.points[0];
  CHECK(server.name == "http.server.request.duration");
  CHECK(server.unit == "s");
  CHECK(server.kind == PointKind::histogram);
  CHECK(server.temporality == Temporality::delta);
  CHECK(server.time_unix_nanos == 110);
  CHECK(batch.histograms.at(server.histogram) == expected);
  CHECK(expected.count == 15);
  CHECK(batch.points[1].name == "http.client.request.duration");
}

TEST_CASE("otlp round trip: a point's exemplar is its slowest request") {
  Recorder recorder;
  const SeriesKey key = key_of(recorder, "/claims", 200);
  for (uint8_t i = 1; i <= 3; ++i) {
    recorder.add(key, i * 1'000'000ULL);
    SpanRecord span;
    span.trace_id.bytes[15] = i;
    span.span_id.bytes[7] = i;
    span.start_unix_nanos = 50;
    span.duration_nanos = (i == 2 ? 9 : i) * 1'000'000ULL;
    span.key = key;
    recorder.add_span(span, {}, {});
  }
  std::vector<RecorderDelta> deltas;
  deltas.push_back(recorder.flip(100));
  const auto decoded = decoded_metrics(std::move(deltas));
  REQUIRE(decoded.batch.points.size() == 1);
  REQUIRE(decoded.batch.exemplars.size() == 1);
  const ExemplarView& exemplar = decoded.batch.exemplars[0];
  CHECK(exemplar.trace_id.bytes[15] == 2);
  CHECK(exemplar.span_id.bytes[7] == 2);
  CHECK(exemplar.value == doctest::Approx(0.009));
  CHECK(exemplar.time_unix_nanos == 50 + 9'000'000);
}

TEST_CASE("otlp round trip: the programs' own metrics are cumulative sums and gauges") {
  const std::vector<OwnMetric> own = {
      {"hms_proxy_connections", {{"listener", "inbound"}}, 7, false},
      {"hms_proxy_requests_total", {}, 42, true},
      {"hms_proxy_connections", {{"listener", "outbound"}}, 3, false}};
  const auto decoded = decoded_metrics({}, own);
  const MetricBatch& batch = decoded.batch;
  REQUIRE(batch.points.size() == 3);
  CHECK(batch.points[0].kind == PointKind::gauge);
  CHECK(batch.points[0].value == 7);
  CHECK(text(batch, batch.points[1].attributes, "listener") == "outbound");
  CHECK(batch.points[2].kind == PointKind::counter);
  CHECK(batch.points[2].temporality == Temporality::cumulative);
  CHECK(batch.points[2].start_unix_nanos == 5);
  CHECK(batch.points[2].value == 42);
}

TEST_CASE("otlp round trip: nothing recorded gives an empty text") {
  Recorder recorder;
  std::vector<RecorderDelta> deltas;
  deltas.push_back(recorder.flip(2));
  CHECK(encode_traces(kIdentity, deltas).empty());
  CHECK(encode_metrics(kIdentity, deltas, {}, 1, 2).empty());
}

TEST_CASE("otlp round trip: bytes that are no UTF-8 do not make the request unreadable") {
  Recorder recorder;
  recorder.add_span(span_of(key_of(recorder, "/caf\xc3", 200)), "", "/\xff\xfe");
  std::vector<RecorderDelta> deltas;
  deltas.push_back(recorder.flip(2));
  const auto decoded = decoded_traces(std::move(deltas));
  CHECK(text(decoded.batch, decoded.batch.spans.at(0).attributes, "url.path") ==
        "/\xEF\xBF\xBD\xEF\xBF\xBD");
}
