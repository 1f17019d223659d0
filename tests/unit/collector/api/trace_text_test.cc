#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "collector/api/jaeger_json.h"
#include "collector/api/otlp_trace_json.h"

using namespace hms::collector;
using nlohmann::json;

namespace {

constexpr size_t kLimit = 1 << 20;
constexpr size_t kNearly = kLimit + (4 << 10);  // with the names, ids and times of one span

StoredAttribute text_attribute(std::string key, std::string text) {
  StoredAttribute a;
  a.key = std::move(key);
  a.kind = hms::telemetry::AttributeValue::Kind::text;
  a.text = std::move(text);
  return a;
}

/// A text that is six times as long in JSON.
std::string control_characters(size_t bytes) { return std::string(bytes, '\x01'); }

StoredSpan a_span(uint8_t number, size_t attribute_bytes) {
  StoredSpan span;
  span.span_id.bytes[7] = number;
  span.service = "shop";
  span.name = "tick";
  span.attributes = {text_attribute("note", control_characters(attribute_bytes))};
  return span;
}

Trace trace_of(std::vector<StoredSpan> spans) {
  Trace trace;
  trace.spans = std::move(spans);
  return trace;
}

/// The one list of spans of an OTLP answer, whose spans have one resource and one scope.
json spans_of(const json& answer) { return answer["resourceSpans"][0]["scopeSpans"][0]["spans"]; }

std::string last_warning(const json& span) {
  const json& attribute = span["attributes"].back();
  REQUIRE(attribute["key"] == "@jaeger@warnings");
  return attribute["value"]["arrayValue"]["values"].back()["stringValue"];
}

}  // namespace

TEST_CASE("jaeger_json: a span that does not fit is left out whole, and the text keeps its limit") {
  JaegerText text(kLimit);
  text.add(trace_of({a_span(1, 1000), a_span(2, kLimit), a_span(3, 1)}));
  CHECK(text.full());
  const std::string answer = text.take();
  CHECK(answer.size() < kNearly);
  const json trace = json::parse(answer)[0];
  CHECK(trace["spans"].size() == 1);
  CHECK(trace["warnings"] ==
        json::array({"only the first 1 spans are shown: an answer has at most 1 MiB of text"}));
}

TEST_CASE("jaeger_json: a first span that is too long is shown without what makes it so") {
  const std::string left_out =
      "the first span's attributes, events and links and its process's tags are left out: an "
      "answer has at most 1 MiB of text";
  JaegerText one(kLimit);
  one.add(trace_of({a_span(1, kLimit)}));
  json trace = json::parse(one.take())[0];
  CHECK(trace["warnings"] == json::array({left_out}));
  CHECK(trace["spans"][0]["operationName"] == "tick");
  CHECK(trace["spans"][0]["tags"].empty());

  JaegerText more(kLimit);  // that it is long by its process is the same
  StoredSpan of_long_process = a_span(1, 1);
  of_long_process.resource_attributes = {text_attribute("host", control_characters(kLimit))};
  more.add(trace_of({of_long_process, a_span(2, 1)}));
  const std::string answer = more.take();
  CHECK(answer.size() < kNearly);
  trace = json::parse(answer)[0];
  CHECK(trace["warnings"] ==
        json::array({left_out,
                     "only the first 1 spans are shown: an answer has at most 1 MiB of "
                     "text"}));
  CHECK(trace["processes"].size() == 1);
  CHECK(trace["processes"][trace["spans"][0]["processID"].get<std::string>()]["tags"].empty());
}

TEST_CASE("jaeger_json: that further traces are left out is told once, and not after the last") {
  JaegerText text(kLimit);
  text.add(trace_of({a_span(1, 1), a_span(2, kLimit)}));
  for (int i = 0; i < 1000; ++i) text.add(trace_of({a_span(1, 1)}));
  CHECK(text.traces() == 1);
  const json traces = json::parse(text.take());
  REQUIRE(traces.size() == 1);
  CHECK(traces[0]["warnings"] ==
        json::array({"only the first 1 spans are shown: an answer has at most 1 MiB of text",
                     "further traces are left out: an answer has at most 1 MiB of text"}));
}

TEST_CASE("otlp_trace_json: the span that does not fit is shown without what makes it long") {
  OtlpTraceText text(kLimit);
  text.add(trace_of({a_span(1, 1000), a_span(2, kLimit), a_span(3, 1)}));
  text.add(trace_of({a_span(4, 1)}));
  const std::string answer = text.take();
  CHECK(answer.size() < kNearly);
  const json spans = spans_of(json::parse(answer));
  REQUIRE(spans.size() == 2);
  CHECK(spans[0]["attributes"].size() == 1);
  CHECK(spans[1]["attributes"].size() == 1);
  CHECK(last_warning(spans[1]) ==
        "this span is shown without its attributes, events and links, and none is shown after it: "
        "an answer has at most 1 MiB of text");
}

TEST_CASE("otlp_trace_json: a resource that does not fit is shown by its service's name alone") {
  StoredSpan span = a_span(1, 1);
  span.resource_attributes = {text_attribute("service.name", "shop"),
                              text_attribute("host", control_characters(kLimit))};
  OtlpTraceText text(kLimit);
  text.add(trace_of({span}));
  const std::string answer = text.take();
  CHECK(answer.size() < kNearly);
  const json parsed = json::parse(answer);
  const json resource = parsed["resourceSpans"][0]["resource"]["attributes"];
  REQUIRE(resource.size() == 1);
  CHECK(resource[0]["value"]["stringValue"] == "shop");
  CHECK(last_warning(spans_of(parsed)[0]) ==
        "this span is shown without its attributes, events and links and its resource's "
        "attributes, and none is shown after it: an answer has at most 1 MiB of text");
}
