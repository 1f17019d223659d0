// otlp_decode.h on traces and logs, in protobuf and JSON, and the replies.
#include <cmath>

#include "tests/unit/telemetry/otlp_bodies.h"

using namespace hms::telemetry;

// === protobuf: traces ===

TEST_CASE("otlp protobuf: an empty request is an empty batch") {
  const auto decoded = decode_traces("", OtlpFormat::protobuf);
  REQUIRE(decoded);
  CHECK(decoded->batch.spans.empty());
  CHECK(decoded->rejected == 0);
}

TEST_CASE("otlp protobuf: resource and scope are found wherever they stand") {
  const auto decoded = traces({good_span});
  REQUIRE(decoded.batch.spans.size() == 1);
  CHECK(decoded.batch.spans[0].scope_name == "my-library");
  CHECK(decoded.batch.resources.at(decoded.batch.spans[0].resource).service_name == "claims");
}

TEST_CASE("otlp protobuf: texts are views into the body and survive a move of the batch") {
  auto decoded = traces({good_span});
  const TraceBatch batch = std::move(decoded.batch);
  const char* body = batch.body->data();
  CHECK(batch.spans[0].name.data() > body);
  CHECK(batch.spans[0].name.data() < body + batch.body->size());
  CHECK(batch.spans[0].name == "op");
}

TEST_CASE("otlp protobuf: attributes of every kind") {
  const auto decoded = traces({[](pbf_writer& span) {
    good_span(span);
    add_text(span, 9, "text", "value");
    add_value(span, 9, "yes", [](pbf_writer& v) { v.add_bool(2, true); });
    add_value(span, 9, "minus", [](pbf_writer& v) { v.add_int64(3, -5); });
    add_value(span, 9, "half", [](pbf_writer& v) { v.add_double(4, 0.5); });
    add_value(span, 9, "list", [](pbf_writer& v) {
      pbf_writer array(v, 5);
      for (int i = 1; i <= 2; ++i) {
        pbf_writer item(array, 1);
        item.add_int64(3, i);
      }
      array.add_bytes(1, "");  // a value without a kind
    });
    add_value(span, 9, "map", [](pbf_writer& v) {
      pbf_writer map(v, 6);
      add_text(map, 1, "a\"b", "c\n");
    });
    add_value(span, 9, "bytes", [](pbf_writer& v) { v.add_bytes(7, "hi!?"); });
    add_value(span, 9, "none", [](pbf_writer&) {});
    add_text(span, 9, "", "no key, no attribute");
  }});
  const TraceBatch& batch = decoded.batch;
  const auto range = batch.spans.at(0).attributes;
  CHECK(range.end - range.begin == 8);
  CHECK(text(batch, range, "text") == "value");
  CHECK(find_attribute(batch, range, "yes")->value.boolean);
  CHECK(find_attribute(batch, range, "minus")->value.integer == -5);
  CHECK(find_attribute(batch, range, "half")->value.real == 0.5);
  CHECK(find_attribute(batch, range, "list")->value.kind == AttributeValue::Kind::json);
  CHECK(text(batch, range, "list") == "[1,2,null]");
  CHECK(text(batch, range, "map") == "{\"a\\\"b\":\"c\\n\"}");
  CHECK(text(batch, range, "bytes") == "\"aGkhPw==\"");
  CHECK(find_attribute(batch, range, "none")->value.kind == AttributeValue::Kind::empty);
}

TEST_CASE("otlp protobuf: events and links keep their own attributes apart from the span's") {
  const auto decoded = traces({[](pbf_writer& span) {
    good_span(span);
    add_text(span, 9, "first", "1");
    {
      pbf_writer event(span, 11);
      event.add_fixed64(1, 77);
      event.add_string(2, "exception");
      add_text(event, 3, "exception.type", "Oops");
    }
    {
      pbf_writer link(span, 13);
      link.add_bytes(1, std::string(16, '\x09'));
      link.add_bytes(2, kSpanBytes);
    }
    {
      pbf_writer bad_link(span, 13);
      bad_link.add_bytes(1, "short");
    }
    add_text(span, 9, "second", "2");
  }});
  const TraceBatch& batch = decoded.batch;
  const SpanView& span = batch.spans.at(0);
  CHECK(span.attributes.end - span.attributes.begin == 2);
  CHECK(text(batch, span.attributes, "second") == "2");
  REQUIRE(span.events_end - span.events_begin == 1);
  const SpanEventView& event = batch.events[span.events_begin];
  CHECK(event.name == "exception");
  CHECK(event.time_unix_nanos == 77);
  CHECK(text(batch, event.attributes, "exception.type") == "Oops");
  CHECK(span.links_end - span.links_begin == 1);
}

TEST_CASE("otlp protobuf: wrong spans are left out with the first reason, the good ones stay") {
  const auto zero_trace = [](pbf_writer& span) {
    span.add_bytes(1, std::string(16, '\0'));
    span.add_bytes(2, kSpanBytes);
    add_text(span, 9, "lost", "attribute");
  };
  const auto short_span = [](pbf_writer& span) {
    span.add_bytes(1, kTraceBytes);
    span.add_bytes(2, "1234567");
  };
  const auto bad_parent = [](pbf_writer& span) {
    good_span(span);
    span.add_bytes(4, "123");
  };
  const auto decoded = traces({good_span, zero_trace, short_span, bad_parent, good_span});
  CHECK(decoded.batch.spans.size() == 2);
  CHECK(decoded.rejected == 3);
  CHECK(decoded.first_rejection == "spans[1]: trace_id is all zero");
  CHECK(find_attribute(decoded.batch, {0, static_cast<uint32_t>(decoded.batch.attributes.size())},
                       "lost") == nullptr);
}

TEST_CASE("otlp protobuf: a span that ends before it begins has no duration") {
  const auto decoded = traces({[](pbf_writer& span) {
    good_span(span);
    span.add_fixed64(7, 100);
    span.add_fixed64(8, 50);
  }});
  CHECK(decoded.batch.spans.at(0).end_unix_nanos == 100);
}

TEST_CASE("otlp protobuf: enums out of range become unspecified and unset") {
  const auto decoded = traces({[](pbf_writer& span) {
    good_span(span);
    span.add_enum(6, 99);
    pbf_writer status(span, 15);
    status.add_enum(3, -4);
    status.add_string(2, "why");
  }});
  CHECK(decoded.batch.spans.at(0).kind == SpanKind::unspecified);
  CHECK(decoded.batch.spans.at(0).status == SpanStatus::unset);
  CHECK(decoded.batch.spans.at(0).status_message == "why");
}

TEST_CASE("otlp protobuf: a known field with another wire type is skipped like an unknown one") {
  const auto decoded = traces({[](pbf_writer& span) {
    good_span(span);
    span.add_uint32(5, 7);
    span.add_string(7, "not a time");
    span.add_fixed32(4'000, 1);
  }});
  CHECK(decoded.batch.spans.at(0).name == "op");
  CHECK(decoded.batch.spans.at(0).start_unix_nanos == 0);
}

TEST_CASE("otlp protobuf: a body cut off anywhere is an error that names the byte, never a crash") {
  const std::string whole = request_of({good_span, [](pbf_writer& span) {
                                          good_span(span);
                                          add_text(span, 9, "key", "value");
                                        }});
  for (size_t length = 1; length < whole.size(); ++length) {
    const auto decoded = decode_traces(whole.substr(0, length), OtlpFormat::protobuf);
    CAPTURE(length);
    REQUIRE_FALSE(decoded);
    CHECK(decoded.error().code == hms::net::Code::bad_message);
    CHECK(decoded.error().detail.find("protobuf: ") == 0);
    CHECK(decoded.error().detail.find("at byte ") != std::string::npos);
  }
}

TEST_CASE(
    "otlp protobuf: texts are cut at 64 KiB, records at 128 attributes, and both are counted") {
  const auto decoded = traces({[](pbf_writer& span) {
    good_span(span);
    std::string long_text(65'535, 'a');
    long_text += "\xC3\xA9";  // the limit falls inside this character
    add_text(span, 9, "long", long_text);
    for (int i = 0; i < 200; ++i) add_text(span, 9, "k" + std::to_string(i), "v");
  }});
  const auto range = decoded.batch.spans.at(0).attributes;
  CHECK(range.end - range.begin == 128);
  CHECK(text(decoded.batch, range, "long").size() == 65'535);
  CHECK(decoded.batch.truncated == 1 + 73);
}

TEST_CASE("otlp protobuf: nesting deeper than 16 levels is left out, not followed") {
  std::string value;
  for (int i = 0; i < 1'000; ++i) {
    std::string array, outer;
    pbf_writer(array).add_bytes(1, value);
    pbf_writer(outer).add_bytes(5, array);
    value = outer;
  }
  const auto decoded = traces({[&](pbf_writer& span) {
    good_span(span);
    pbf_writer attribute(span, 9);
    attribute.add_string(1, "deep");
    attribute.add_bytes(2, value);
  }});
  CHECK(text(decoded.batch, decoded.batch.spans.at(0).attributes, "deep").find("left out") !=
        std::string::npos);
  CHECK(decoded.batch.truncated == 1);
}

TEST_CASE("otlp protobuf: bytes that are no UTF-8 are replaced") {
  const auto decoded = traces({[](pbf_writer& span) {
    span.add_bytes(1, kTraceBytes);
    span.add_bytes(2, kSpanBytes);
    span.add_string(5, "a\xff\xed\xa0\x80z\xf4\x90");
  }});
  CHECK(decoded.batch.spans.at(0).name == "a\uFFFD\uFFFD\uFFFD\uFFFDz\uFFFD\uFFFD");
}

TEST_CASE("otlp: more attributes than fit the bounds of one body are refused as too large") {
  const auto decoded = decode_traces(request_of({[](pbf_writer& record) {
                                       good_span(record);
                                       std::string links;
                                       std::string attribute_list;
                                       for (int i = 0; i < 128; ++i) add_text(record, 9, "k", "");
                                     }}),
                                     OtlpFormat::protobuf);
  REQUIRE(decoded);
  CHECK(decoded->batch.attributes.size() == 129);  // with the resource's one
  const auto too_large =
      decode_traces(std::string(64 * 1024 * 1024 + 1, '\0'), OtlpFormat::protobuf);
  REQUIRE_FALSE(too_large);
  CHECK(too_large.error().code == hms::net::Code::too_large);
}

TEST_CASE("otlp: a body of a million empty resources is refused before it fills the memory") {
  std::string body;
  for (int i = 0; i < 1'000'000; ++i) body += std::string("\x0a\x00", 2);
  const auto decoded = decode_traces(std::move(body), OtlpFormat::protobuf);
  REQUIRE_FALSE(decoded);
  CHECK(decoded.error().code == hms::net::Code::too_large);
  CHECK(decoded.error().detail.find("100000 resources") != std::string::npos);
}

// === protobuf: logs ===

TEST_CASE("otlp protobuf: logs with level, severity, trace and any kind of body") {
  const auto decoded = decode_logs(request_of({[](pbf_writer& log) {
                                                 log.add_fixed64(1, 5);
                                                 log.add_enum(2, 17);
                                                 pbf_writer body(log, 5);
                                                 body.add_string(1, "denied");
                                                 body.commit();
                                                 add_text(log, 6, "severity", "security");
                                                 add_text(log, 6, "hms.x_trace", "order-42");
                                                 log.add_bytes(9, kTraceBytes);
                                                 log.add_bytes(10, kSpanBytes);
                                               },
                                               [](pbf_writer& log) {
                                                 log.add_fixed64(11, 9);
                                                 log.add_string(3, "WARNING");
                                                 log.add_bytes(9, "short");
                                                 pbf_writer body(log, 5);
                                                 body.add_int64(3, 42);
                                               },
                                               [](pbf_writer& log) { log.add_uint32(7, 1); }}),
                                   OtlpFormat::protobuf);
  REQUIRE(decoded);
  const LogBatch& batch = decoded->batch;
  REQUIRE(batch.logs.size() == 3);
  CHECK(batch.logs[0].level == "error");
  CHECK(batch.logs[0].severity == "security");
  CHECK(batch.logs[0].trace_text == "order-42");
  CHECK(batch.logs[0].message == "denied");
  CHECK_FALSE(batch.logs[0].trace_id.is_zero());
  CHECK(batch.logs[1].level == "WARNING");
  CHECK(batch.logs[1].severity_number == 13);
  CHECK(batch.logs[1].time_unix_nanos == 9);
  CHECK(batch.logs[1].message == "42");
  CHECK(batch.logs[1].trace_id.is_zero());
  CHECK(batch.logs[2].level.empty());
}

// === JSON ===

TEST_CASE("otlp json: a trace request as the OpenTelemetry exporter sends it, keys in any order") {
  auto decoded = decode_traces(R"({"resourceSpans":[{"scopeSpans":[{"spans":[{
      "traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174","parentSpanId":"","name":"GET /x","kind":2,
      "startTimeUnixNano":"1544712660000000000","endTimeUnixNano":1544712661000000000,
      "attributes":[{"key":"n","value":{"intValue":"-7"}},{"key":"d","value":{"doubleValue":0.5}},{"key":"b","value":{"boolValue":true}},
        {"key":"l","value":{"arrayValue":{"values":[{"stringValue":"a"},{"intValue":2},{}]}}},
        {"key":"m","value":{"kvlistValue":{"values":[{"key":"k","value":{"bytesValue":"aGk="}}]}}}],
      "status":{"code":2,"message":"bad"},"events":[{"timeUnixNano":"7","name":"e","attributes":[{"key":"x","value":{"stringValue":"y"}}]}],
      "links":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174"}],
      "unknownField":{"deep":[1,2,{"a":null}]}}],
      "scope":{"name":"lib"}}],"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"claims"}}]}}],"more":[1]})",
                               OtlpFormat::json);
  REQUIRE(decoded);
  CHECK(decoded->rejected == 0);
  const TraceBatch batch = std::move(decoded->batch);
  REQUIRE(batch.spans.size() == 1);
  const SpanView& span = batch.spans[0];
  CHECK(to_hex(span.trace_id) == "5b8efff798038103d269b633813fc60c");
  CHECK(span.kind == SpanKind::server);
  CHECK(span.name == "GET /x");
  CHECK(span.scope_name == "lib");
  CHECK(span.start_unix_nanos == 1'544'712'660'000'000'000);
  CHECK(span.end_unix_nanos == 1'544'712'661'000'000'000);
  CHECK(span.status == SpanStatus::error);
  CHECK(span.status_message == "bad");
  CHECK(batch.resources.at(span.resource).service_name == "claims");
  CHECK(find_attribute(batch, span.attributes, "n")->value.integer == -7);
  CHECK(find_attribute(batch, span.attributes, "d")->value.real == 0.5);
  CHECK(find_attribute(batch, span.attributes, "b")->value.boolean);
  CHECK(text(batch, span.attributes, "l") == "[\"a\",2,null]");
  CHECK(text(batch, span.attributes, "m") == "{\"k\":\"aGk=\"}");
  REQUIRE(span.events_end == 1);
  CHECK(text(batch, batch.events[0].attributes, "x") == "y");
  CHECK(span.links_end == 1);
}

TEST_CASE(
    "otlp: exemplars with a trace are kept with their point, those of refused points are not") {
  const auto point_of = [](uint64_t count) {
    return [count](pbf_writer& p) {
      p.add_fixed64(4, count);
      p.add_fixed64(7, 1);
      for (const char* trace : {"0123456789abcdef", "too short"}) {
        pbf_writer exemplar(p, 11);
        exemplar.add_fixed64(2, 5);
        exemplar.add_double(3, 0.25);
        exemplar.add_bytes(4, "abcdefgh");
        exemplar.add_bytes(5, trace);
      }
    };
  };
  const auto decoded = metrics({metric_of("h", 10, {point_of(9), point_of(1)}, 1)});
  REQUIRE(decoded.batch.points.size() == 1);
  const MetricPointView& point = decoded.batch.points[0];
  REQUIRE(point.exemplars_end - point.exemplars_begin == 1);
  REQUIRE(decoded.batch.exemplars.size() == 1);
  const ExemplarView& exemplar = decoded.batch.exemplars[point.exemplars_begin];
  CHECK(exemplar.value == 0.25);
  CHECK(exemplar.time_unix_nanos == 5);
  CHECK(exemplar.trace_id.bytes[0] == '0');
  CHECK(exemplar.span_id.bytes[7] == 'h');
  const auto json = decode_metrics(
      R"({"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"g","gauge":{"dataPoints":[{"asInt":"12","exemplars":[
      {"timeUnixNano":"7","asInt":"3","traceId":"00000000000000000000000000000001","spanId":"0000000000000002"},{"asDouble":1}]}]}}]}]}]})",
      OtlpFormat::json);
  REQUIRE(json);
  REQUIRE(json->batch.exemplars.size() == 1);
  CHECK(json->batch.exemplars[0].value == 3);
  CHECK(json->batch.points[0].exemplars_end == 1);
}

TEST_CASE("otlp json: logs") {
  auto decoded = decode_logs(R"({"resourceLogs":[{"scopeLogs":[{"logRecords":[
      {"timeUnixNano":"5","severityNumber":9,"body":{"stringValue":"hello \u00e9"},"attributes":[{"key":"severity","value":{"stringValue":"security"}}],
       "traceId":"5b8efff798038103d269b633813fc60c"},
      {"severityText":"Info","body":{"kvlistValue":{"values":[{"key":"a","value":{"intValue":1}}]}}}]}]}]})",
                             OtlpFormat::json);
  REQUIRE(decoded);
  REQUIRE(decoded->batch.logs.size() == 2);
  CHECK(decoded->batch.logs[0].level == "info");
  CHECK(decoded->batch.logs[0].message == "hello \xC3\xA9");
  CHECK(decoded->batch.logs[0].severity == "security");
  CHECK(decoded->batch.logs[1].level == "Info");
  CHECK(decoded->batch.logs[1].message == "{\"a\":1}");
}

TEST_CASE("otlp json: enums by name, as protobuf's own JSON writes them") {
  auto traces = decode_traces(R"({"resourceSpans":[{"scopeSpans":[{"spans":[
      {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","kind":"SPAN_KIND_SERVER","status":{"code":"STATUS_CODE_ERROR"}},
      {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b175","kind":"SPAN_KIND_","status":{"code":"STATUS_CODE_NONE"}}]}]}]})",
                              OtlpFormat::json);
  REQUIRE(traces);
  REQUIRE(traces->batch.spans.size() == 2);
  CHECK(traces->batch.spans[0].kind == SpanKind::server);
  CHECK(traces->batch.spans[0].status == SpanStatus::error);
  CHECK(traces->batch.spans[1].kind == SpanKind::unspecified);
  CHECK(traces->batch.spans[1].status == SpanStatus::unset);
  auto logs = decode_logs(R"({"resourceLogs":[{"scopeLogs":[{"logRecords":[
      {"timeUnixNano":"5","severityNumber":"SEVERITY_NUMBER_WARN2","body":{"stringValue":"x"}}]}]}]})",
                          OtlpFormat::json);
  REQUIRE(logs);
  REQUIRE(logs->batch.logs.size() == 1);
  CHECK(logs->batch.logs[0].severity_number == 14);
  auto metrics = decode_metrics(R"({"resourceMetrics":[{"scopeMetrics":[{"metrics":[
      {"name":"m","sum":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA","isMonotonic":true,"dataPoints":[{"asInt":"3","timeUnixNano":"5"}]}}]}]}]})",
                                OtlpFormat::json);
  REQUIRE(metrics);
  REQUIRE(metrics->batch.points.size() == 1);
  CHECK(metrics->batch.points[0].temporality == Temporality::delta);
}

TEST_CASE("otlp json: a wrong span is left out with its index") {
  const auto decoded = decode_traces(R"({"resourceSpans":[{"scopeSpans":[{"spans":[
      {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174"},{"traceId":"xyz"}]}]}]})",
                                     OtlpFormat::json);
  REQUIRE(decoded);
  CHECK(decoded->batch.spans.size() == 1);
  CHECK(decoded->rejected == 1);
  CHECK(decoded->first_rejection == "spans[1]: trace_id is not 16 bytes");
}

TEST_CASE("otlp json: what cannot be read names its place") {
  const auto detail = [](std::string body) {
    const auto decoded = decode_traces(std::move(body), OtlpFormat::json);
    REQUIRE_FALSE(decoded);
    CHECK(decoded.error().code == hms::net::Code::bad_message);
    return decoded.error().detail;
  };
  CHECK(detail("").find("JSON: byte 1") == 0);
  CHECK(detail("[]") == "JSON: the request: expected an object");
  CHECK(detail("3") == "JSON: the request: expected an object");
  CHECK(detail(R"({"resourceSpans":{}})") == "JSON: resourceSpans: expected an array");
  CHECK(detail(R"({"resourceSpans":[7]})") == "JSON: resourceSpans[0]: expected an object");
  CHECK(detail(R"({"resourceSpans":[{"scopeSpans":[{"spans":[{},[]]}]}]})") ==
        "JSON: resourceSpans[0].scopeSpans[0].spans[1]: expected an object");
  CHECK(detail(R"({"resourceSpans":[{"scopeSpans":[{"spans":[{"name": nul}]}]}]})")
            .find("in resourceSpans[0].scopeSpans[0].spans[0].name: ") != std::string::npos);
  CHECK(detail("{\"resourceSpans\":[{\"x\":\"\xff\"}]}").find("JSON: byte 25") == 0);
  CHECK(detail(R"({"resourceSpans":)" + std::string(100, '[')).find("expected an object") !=
        std::string::npos);
  CHECK(detail(R"({"other":)" + std::string(100, '[')).find("nested deeper than 64 levels") !=
        std::string::npos);
}

TEST_CASE("otlp json: null stands for absent, unknown fields are passed over") {
  const auto decoded = decode_traces(R"({"resourceSpans":null})", OtlpFormat::json);
  REQUIRE(decoded);
  const auto more = decode_traces(
      R"({"resourceSpans":[{"resource":null,"scopeSpans":[{"scope":null,"spans":null,"schemaUrl":"x"}]}],"x":{"resourceSpans":[3]}})",
      OtlpFormat::json);
  REQUIRE(more);
  CHECK(more->batch.resources.size() == 1);
}

// === replies ===

TEST_CASE("otlp reply: full success leaves partial_success unset") {
  CHECK(encode_export_response(Signal::traces, OtlpFormat::protobuf, 0, "").empty());
  CHECK(encode_export_response(Signal::traces, OtlpFormat::json, 0, "") == "{}");
}

TEST_CASE("otlp reply: partial success carries count and reason in both forms") {
  CHECK(encode_export_response(Signal::traces, OtlpFormat::json, 2, "a \"b\"") ==
        R"({"partialSuccess":{"rejectedSpans":"2","errorMessage":"a \"b\""}})");
  CHECK(encode_export_response(Signal::metrics, OtlpFormat::json, 2, "") ==
        R"({"partialSuccess":{"rejectedDataPoints":"2"}})");
  CHECK(encode_export_response(Signal::logs, OtlpFormat::json, 0, "warning") ==
        R"({"partialSuccess":{"errorMessage":"warning"}})");
  const std::string reply =
      encode_export_response(Signal::traces, OtlpFormat::protobuf, 300, "bad ids");
  CHECK(rejected_in_response(reply) == 300);
  CHECK(reply.find("bad ids") != std::string::npos);
  CHECK(rejected_in_response("") == 0);
  CHECK(rejected_in_response("{}") == 0);
  CHECK(rejected_in_response("\xff\xff\xff") == 0);
}

TEST_CASE("otlp reply: google.rpc.Status in both forms") {
  CHECK(encode_status(OtlpFormat::json, 3, "no") == R"({"code":3,"message":"no"})");
  CHECK(encode_status(OtlpFormat::protobuf, 3, "no") == std::string("\x08\x03\x12\x02no"));
}
