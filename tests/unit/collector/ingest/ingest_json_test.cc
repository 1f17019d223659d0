#include "collector/ingest/ingest_json.h"

#include <doctest/doctest.h>

#include <string>

using namespace hms;
using namespace hms::collector;

namespace {

constexpr uint64_t kNow = 1'795'339'370'000'000'000ULL;
const TimeBounds kBounds = TimeBounds::around(kNow, 30);
MetricBounds metric_bounds(kNow, 30);

ParsedIngest parse(std::string_view body) {
  auto parsed = parse_ingest(body, kBounds, metric_bounds, nullptr);
  REQUIRE_MESSAGE(parsed.ok(), (parsed.ok() ? "" : parsed.error().detail));
  return std::move(parsed).value();
}

/// The field named by the only fault of a single item.
std::string fault_field(const std::string& item) {
  const ParsedIngest parsed = parse(item);
  REQUIRE_MESSAGE(parsed.faults.size() == 1, item);
  CHECK(parsed.accepted == 0);
  CHECK_FALSE(parsed.faults[0].error.empty());
  CHECK(parsed.logs.logs.size() + parsed.metrics.points.size() + parsed.traces.spans.size() == 0);
  return parsed.faults[0].field;
}
std::string log_fault(const std::string& payload) {
  return fault_field(R"({"type":"log","payload":)" + payload + "}");
}
std::string metric_fault(const std::string& payload) {
  return fault_field(R"({"type":"metric","payload":)" + payload + "}");
}
std::string trace_fault(const std::string& payload) {
  return fault_field(R"({"type":"trace","payload":)" + payload + "}");
}

uint64_t not_json_at(std::string_view body) {
  NotJson where;
  const auto parsed = parse_ingest(body, kBounds, metric_bounds, &where);
  REQUIRE_FALSE(parsed.ok());
  CHECK(parsed.error().code == net::Code::bad_message);
  CHECK(parsed.error().detail.find("byte " + std::to_string(where.byte)) != std::string::npos);
  return where.byte;
}

}  // namespace

TEST_CASE("ingest_json: a log keeps its fields, and what else it carried as attributes") {
  const auto parsed = parse(
      R"({"type":"log","payload":{"ts":"2026-11-22T09:00:00Z","level":"WARN","msg":"slow","service":"claims",
    "traceId":"0190A0B0-0000-7000-8000-00000000000a","severity":"Security","user":7,"ratio":0.5,"ok":true,"tags":["a",1],"none":null,"text":"x"}})");
  REQUIRE(parsed.logs.logs.size() == 1);
  const auto& log = parsed.logs.logs[0];
  CHECK(log.time_unix_nanos == 1'795'338'000'000'000'000ULL);
  CHECK(log.level == "WARN");
  CHECK(log.severity_number == 13);
  CHECK(log.severity == "security");
  CHECK(log.message == "slow");
  CHECK(telemetry::to_hex(log.trace_id) == "0190a0b000007000800000000000000a");
  CHECK(log.trace_text.empty());
  CHECK(parsed.logs.resources[log.resource].service_name == "claims");
  CHECK(log.attributes.end - log.attributes.begin == 5);
  CHECK(telemetry::find_attribute(parsed.logs, log.attributes, "user")->value.integer == 7);
  CHECK(telemetry::find_attribute(parsed.logs, log.attributes, "ratio")->value.real == 0.5);
  CHECK(telemetry::find_attribute(parsed.logs, log.attributes, "ok")->value.boolean);
  CHECK(telemetry::find_attribute(parsed.logs, log.attributes, "tags")->value.text == R"(["a",1])");
  CHECK(telemetry::find_attribute(parsed.logs, log.attributes, "none") == nullptr);
}

TEST_CASE(
    "ingest_json: without a time the time of arrival counts, without a service it is unknown") {
  const auto parsed = parse(R"({"type":"log","payload":{"msg":""}})");
  REQUIRE(parsed.logs.logs.size() == 1);
  CHECK(parsed.logs.logs[0].time_unix_nanos == kNow);
  CHECK(parsed.logs.resources[0].service_name == "unknown_service");
  CHECK(parsed.logs.logs[0].trace_id.is_zero());
}

TEST_CASE(
    "ingest_json: a count is a delta counter, a gauge a value, a timing an exponential histogram "
    "in seconds") {
  const auto parsed = parse(
      R"([{"type":"metric","payload":{"name":"orders","value":3,"kind":"count","service":"shop","labels":{"tier":"gold","n":1}}},
    {"type":"metric","payload":{"name":"depth","value":-4.5,"kind":"gauge","unit":"items"}},
    {"type":"metric","payload":{"name":"checkout","value":250,"kind":"timing"}},
    {"type":"metric","payload":{"name":"checkout","value":0.25,"kind":"timing","unit":"s"}}])");
  REQUIRE(parsed.metrics.points.size() == 4);
  const auto& points = parsed.metrics.points;
  CHECK(points[0].kind == telemetry::PointKind::counter);
  CHECK(points[0].temporality == telemetry::Temporality::delta);
  CHECK(points[0].value == 3);
  CHECK(telemetry::find_attribute(parsed.metrics, points[0].attributes, "tier")->value.text ==
        "gold");
  CHECK(points[1].kind == telemetry::PointKind::gauge);
  CHECK(points[1].unit == "items");
  CHECK(points[1].value == -4.5);
  CHECK(points[2].kind == telemetry::PointKind::histogram);
  CHECK(points[2].temporality == telemetry::Temporality::delta);
  CHECK(points[2].unit == "s");
  CHECK(parsed.metrics.histograms[points[2].histogram].sum == doctest::Approx(0.25));
  CHECK(parsed.metrics.histograms[points[3].histogram].positive ==
        parsed.metrics.histograms[points[2].histogram].positive);
}

TEST_CASE("ingest_json: a trace item is a span; a trace named by a text keeps it") {
  const auto parsed = parse(
      R"({"type":"trace","payload":{"traceId":"order 4711","spanId":"00f067aa0ba902b7","parentId":"00f067aa0ba902b8",
    "service":"claims","name":"GET /claims","start":1795339360000,"durationMs":12.5,"status":"error","attributes":{"http.route":"/claims"}}})");
  REQUIRE(parsed.traces.spans.size() == 1);
  const auto& span = parsed.traces.spans[0];
  CHECK(span.trace_text == "order 4711");
  CHECK(span.trace_id == telemetry::trace_id_of_text("order 4711"));
  CHECK(telemetry::to_hex(span.span_id) == "00f067aa0ba902b7");
  CHECK(span.end_unix_nanos - span.start_unix_nanos == 12'500'000);
  CHECK(span.status == telemetry::SpanStatus::error);
  CHECK(telemetry::find_attribute(parsed.traces, span.attributes, "http.route")->value.text ==
        "/claims");
}

TEST_CASE("ingest_json: a number beyond a double is the fault of its item alone") {
  const ParsedIngest parsed = parse(
      R"([{"type":"log","payload":{"msg":"a"}},{"type":"metric","payload":{"name":"x","value":1e999}},{"type":"log","payload":{"msg":"b"}}])");
  CHECK(parsed.accepted == 2);
  REQUIRE(parsed.faults.size() == 1);
  CHECK(parsed.faults[0].index == 1);
  CHECK(parsed.faults[0].error == "a number is beyond 1.8e308, the range of a double");
}

TEST_CASE("ingest_json: a span without an id gets one") {
  const auto parsed =
      parse(R"({"type":"trace","payload":{"traceId":"t","name":"n","status":503}})");
  CHECK_FALSE(parsed.traces.spans.at(0).span_id.is_zero());
  CHECK(parsed.traces.spans.at(0).status == telemetry::SpanStatus::error);
  CHECK(parsed.traces.spans.at(0).start_unix_nanos == kNow);
}

TEST_CASE("ingest_json: each wrong field is named") {
  CHECK(fault_field("7").empty());
  CHECK(fault_field(R"({})") == "type");
  CHECK(fault_field(R"({"type":"event","payload":{}})") == "type");
  CHECK(fault_field(R"({"type":3,"payload":{}})") == "type");
  CHECK(fault_field(R"({"type":"log"})") == "payload");
  CHECK(fault_field(R"({"type":"log","payload":[]})") == "payload");
  CHECK(log_fault("{}") == "msg");
  CHECK(log_fault(R"({"msg":4})") == "msg");
  CHECK(log_fault(R"({"msg":"m","ts":"soon"})") == "ts");
  CHECK(log_fault(R"({"msg":"m","ts":true})") == "ts");
  CHECK(log_fault(R"({"msg":"m","ts":-5})") == "ts");
  CHECK(log_fault(R"({"msg":"m","ts":1795339370})") == "ts");  // seconds: 1970
  CHECK(log_fault(R"({"msg":"m","ts":"2036-11-22"})") == "ts");
  CHECK(log_fault(R"({"msg":"m","level":5})") == "level");
  CHECK(log_fault(R"({"msg":"m","service":{}})") == "service");
  CHECK(log_fault(R"({"msg":"m","service":")" + std::string(257, 's') + "\"}") == "service");
  CHECK(log_fault(R"({"msg":"m","traceId":")" + std::string(257, 't') + "\"}") == "traceId");
  CHECK(trace_fault(R"({"traceId":"00000000000000000000000000000000","name":"n"})") == "traceId");
  CHECK(log_fault(R"({"msg":"m","spanId":"xyz"})") == "spanId");
  CHECK(metric_fault(R"({"value":1})") == "name");
  CHECK(metric_fault(R"({"name":"","value":1})") == "name");
  CHECK(metric_fault(R"({"name":"n"})") == "value");
  CHECK(metric_fault(R"({"name":"n","value":"1"})") == "value");
  CHECK(metric_fault(R"({"name":"n","value":-1,"kind":"count"})") == "value");
  CHECK(metric_fault(R"({"name":"n","value":-1,"kind":"timing"})") == "value");
  CHECK(metric_fault(R"({"name":"n","value":1,"kind":"summary"})") == "kind");
  CHECK(metric_fault(R"({"name":"n","value":1,"kind":"timing","unit":"miles"})") == "unit");
  CHECK(metric_fault(R"({"name":"n","value":1,"labels":[]})") == "labels");
  CHECK(metric_fault(R"({"name":"n","value":1,"labels":{"a":{}}})") == "labels.a");
  CHECK(trace_fault(R"({"name":"n"})") == "traceId");
  CHECK(trace_fault(R"({"traceId":"t"})") == "name");
  CHECK(trace_fault(R"({"traceId":"t","name":"n","start":"x"})") == "start");
  CHECK(trace_fault(R"({"traceId":"t","name":"n","durationMs":-1})") == "durationMs");
  CHECK(trace_fault(R"({"traceId":"t","name":"n","durationMs":"1"})") == "durationMs");
  CHECK(trace_fault(R"({"traceId":"t","name":"n","status":"broken"})") == "status");
  CHECK(trace_fault(R"({"traceId":"t","name":"n","spanId":"1"})") == "spanId");
  CHECK(trace_fault(R"({"traceId":"t","name":"n","parentId":5})") == "parentId");
  CHECK(trace_fault(R"({"traceId":"t","name":"n","attributes":3})") == "attributes");
}

TEST_CASE(
    "ingest_json: the good items of a request with bad ones are kept, the bad ones told by index") {
  const auto parsed = parse(
      R"([{"type":"log","payload":{"msg":"a"}}, 5, {"type":"log","payload":{"msg":"b"}}, {"type":"metric","payload":{"name":"x"}}])");
  CHECK(parsed.accepted == 2);
  CHECK(parsed.rejected == 2);
  CHECK(parsed.logs.logs.size() == 2);
  CHECK(parsed.faults[0].index == 1);
  CHECK(parsed.faults[1].index == 3);
  CHECK(parsed.faults[1].field == "value");
}

TEST_CASE("ingest_json: NDJSON lines stand for themselves, also ones that are not JSON") {
  const auto parsed = parse(
      "{\"type\":\"log\",\"payload\":{\"msg\":\"a\"}}\n\n{broken\r\n{\"type\":\"log\",\"payload\":{"
      "\"msg\":\"b\"}}\r\n");
  CHECK(parsed.accepted == 2);
  REQUIRE(parsed.faults.size() == 1);
  CHECK(parsed.faults[0].index == 1);
  CHECK(parsed.faults[0].error.find("byte 39") != std::string::npos);
}

TEST_CASE("ingest_json: one object over several lines is one item; an empty array is none") {
  CHECK(parse("{\n \"type\": \"log\",\n \"payload\": {\n \"msg\": \"a ] } \\\" {\"\n }\n}\n")
            .accepted == 1);
  CHECK(parse("\xEF\xBB\xBF {\"type\":\"log\",\"payload\":{\"msg\":\"after a byte order mark\"}}")
            .accepted == 1);
  CHECK(parse("[]").accepted == 0);
  CHECK(parse(" [ ] ").rejected == 0);
}

TEST_CASE("ingest_json: a body that is not JSON is refused whole, with the byte where it stopped") {
  CHECK(not_json_at("") == 0);
  CHECK(not_json_at("   ") == 3);
  CHECK(not_json_at("hello") == 0);
  CHECK(not_json_at("{\"type\":") == 8);
  CHECK(not_json_at("[{\"type\":\"log\",\"payload\":{\"msg\":\"a\"}}") == 37);
  CHECK(not_json_at("[{\"a\":1},]") == 9);
  CHECK(not_json_at("[1 2]") == 3);
  CHECK(not_json_at("[,1]") == 1);
  CHECK(not_json_at("[] x") == 3);
  CHECK(not_json_at("{\n} {") == 4);
  CHECK(not_json_at("{\"a\":\"\xFF\"}") == 6);
  CHECK(not_json_at("[{\"type\":\"log\",\"payload\":{\"msg\":\"a\"}},nope]") == 39);
}

TEST_CASE("ingest_json: nesting and sizes are bounded per item, and the others are kept") {
  const std::string deep = std::string(40, '[') + std::string(40, ']');
  const std::string good = R"({"type":"log","payload":{"msg":"a"}})";
  auto parsed = parse("[" + deep + "," + good + "]");
  CHECK(parsed.accepted == 1);
  CHECK(parsed.faults.at(0).error.find("24 levels") != std::string::npos);
  parsed = parse(good + "\n" + deep + "\n");
  CHECK(parsed.accepted == 1);
  CHECK(parsed.faults.at(0).index == 1);
  parsed = parse("[{\"type\":\"log\",\"payload\":{\"msg\":\"" + std::string(1'100'000, 'x') +
                 "\"}}," + good + "]");
  CHECK(parsed.accepted == 1);
  CHECK(parsed.faults.at(0).error == "larger than 1 MiB");
}

TEST_CASE("ingest_json: long texts are cut, further attributes left out, and both are counted") {
  std::string item = R"({"type":"log","payload":{"msg":")" + std::string(100'000, 'm') + "\"";
  for (int i = 0; i < 200; ++i) item += ",\"k" + std::to_string(i) + "\":1";
  const auto parsed = parse(item + "}}");
  REQUIRE(parsed.logs.logs.size() == 1);
  CHECK(parsed.logs.logs[0].message.size() == 64 * 1024);
  CHECK(parsed.logs.logs[0].attributes.end - parsed.logs.logs[0].attributes.begin == 128);
  CHECK(parsed.logs.truncated == 1 + 72);
}

TEST_CASE("ingest_json: more items than a request may have are refused") {
  std::string body = "[1";
  for (int i = 0; i < 200'001; ++i) body += ",1";
  const auto parsed = parse_ingest(body + "]", kBounds, metric_bounds, nullptr);
  REQUIRE_FALSE(parsed.ok());
  CHECK(parsed.error().code == net::Code::too_large);
}

TEST_CASE("ingest_json: lines of unclosed brackets cost one pass") {
  std::string body = "{}\n";
  for (int i = 0; i < 100'000; ++i) body += "{\"a\":[\n";
  const auto parsed = parse(body);  // quadratic work would take minutes
  CHECK(parsed.rejected == 100'001);
  CHECK(parsed.faults.size() == ParsedIngest::kMaxReported);
}

TEST_CASE("ingest_json: a broken first line is one bad item; a cut value over lines is no JSON") {
  const std::string good = R"({"type":"log","payload":{"msg":"a"}})";
  for (const char* broken : {R"({"type":"log","payl)", "{", "{\"a\":[", "\"text"}) {
    const auto parsed = parse(std::string(broken) + "\n" + good + "\r\n\n" + good + "\n");
    CHECK_MESSAGE(parsed.accepted == 2, broken);
    REQUIRE(parsed.faults.size() == 1);
    CHECK(parsed.faults[0].index == 0);
  }
  CHECK(not_json_at("{\n  \"type\": \"log\",\n  \"payload\": {\n    \"msg\": \"a\"\n  }\n") > 0);
  CHECK(parse("{\n\"type\": \"log\",\n\"payload\":\n{\"msg\": \"a\"}\n}\n").accepted == 1);
}

TEST_CASE("ingest_json: a NUL is a fault at its place, and hides nothing") {
  const std::string good = R"({"type":"log","payload":{"msg":"a"}})";
  CHECK(not_json_at(good + std::string(1, '\0') + good) == good.size());
  const auto parsed = parse(good + std::string(1, '\0') + "x\n" + good);
  CHECK(parsed.accepted == 1);
  CHECK(parsed.rejected == 1);
}
