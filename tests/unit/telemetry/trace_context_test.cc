#include "telemetry/trace_context.h"

#include <doctest/doctest.h>

#include <string>

#include "net/core/random.h"
#include "telemetry/ids.h"

using namespace hms::telemetry;

namespace {

constexpr const char* kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr const char* kSpan = "00f067aa0ba902b7";
const std::string kParent = std::string("00-") + kTrace + "-" + kSpan + "-01";

TraceContext with_traceparent(std::string_view text) {
  TraceHeaders headers;
  headers.traceparent = text;
  return read_trace_context(headers);
}

}  // namespace

TEST_CASE("ids: hexadecimal text goes both ways and takes either case") {
  const auto id = parse_trace_id("4BF92f3577b34da6a3ce929d0e0e4736");
  REQUIRE(id);
  CHECK(to_hex(*id) == kTrace);
  const auto span = parse_span_id(kSpan);
  REQUIRE(span);
  CHECK(to_hex(*span) == kSpan);
}

TEST_CASE("ids: anything but the right number of digits is refused") {
  CHECK_FALSE(parse_trace_id(""));
  CHECK_FALSE(parse_trace_id("4bf92f3577b34da6a3ce929d0e0e473"));
  CHECK_FALSE(parse_trace_id("4bf92f3577b34da6a3ce929d0e0e47360"));
  CHECK_FALSE(parse_trace_id("4bf92f3577b34da6a3ce929d0e0e473g"));
  CHECK_FALSE(parse_span_id("00f067aa0ba902b"));
  CHECK_FALSE(parse_span_id("00f067aa0ba902\xff\xff"));
}

TEST_CASE("x-trace: a UUID and 32 hexadecimal digits are themselves the id") {
  CHECK(to_hex(trace_id_of_text("4bf92f35-77b3-4da6-a3ce-929d0e0e4736")) == kTrace);
  CHECK(to_hex(trace_id_of_text("4BF92F35-77B3-4DA6-A3CE-929D0E0E4736")) == kTrace);
  CHECK(to_hex(trace_id_of_text(kTrace)) == kTrace);
  CHECK(is_literal_trace_text(kTrace));
  CHECK(is_literal_trace_text("4bf92f35-77b3-4da6-a3ce-929d0e0e4736"));
}

TEST_CASE("x-trace: the hash of a free text is part of the stored format") {
  // XXH3_128bits, seed 0, canonical byte order; `printf a | xxhsum -H128` says the same.
  CHECK(to_hex(trace_id_of_text("a")) == "a96faf705af16834e6c632b61e964e1f");
  CHECK(to_hex(trace_id_of_text("order-42")) == "d303ab4ecd501a89fbc35a92d7ec0b0a");
  CHECK_FALSE(is_literal_trace_text("order-42"));
  CHECK(trace_id_of_text("").is_zero());
}

TEST_CASE("x-trace: an all-zero UUID names no trace, so it counts as a free text") {
  CHECK_FALSE(is_literal_trace_text("00000000-0000-0000-0000-000000000000"));
  CHECK_FALSE(trace_id_of_text("00000000-0000-0000-0000-000000000000").is_zero());
  CHECK_FALSE(trace_id_of_text("00000000000000000000000000000000").is_zero());
}

TEST_CASE("trace context: a valid traceparent is taken") {
  const auto context = with_traceparent(kParent);
  CHECK(to_hex(context.trace_id) == kTrace);
  CHECK(to_hex(context.parent_span_id) == kSpan);
  CHECK(context.sampled);
  CHECK(context.traceparent_valid);
  CHECK_FALSE(context.started_here);
  CHECK_FALSE(context.span_id.is_zero());
  CHECK(context.span_id != context.parent_span_id);
  CHECK(context.x_trace() == "4bf92f35-77b3-4da6-a3ce-929d0e0e4736");
}

TEST_CASE("trace context: the sampled flag is bit 0 of the flags, whatever else is set") {
  const std::string stem = std::string("00-") + kTrace + "-" + kSpan + "-";
  CHECK_FALSE(with_traceparent(stem + "00").sampled);
  CHECK_FALSE(with_traceparent(stem + "02").sampled);
  CHECK(with_traceparent(stem + "03").sampled);
  CHECK(with_traceparent(stem + "ff").sampled);
  CHECK_FALSE(with_traceparent(stem + "fe").sampled);
}

TEST_CASE("trace context: an invalid traceparent is as if absent (W3C 3.2.2)") {
  const std::string trace = kTrace, span = kSpan;
  const std::string bad[] = {
      "ff-" + trace + "-" + span + "-01",  // version ff
      "0-" + trace + "-" + span + "-01",
      "00-4BF92F3577B34DA6A3CE929D0E0E4736-" + span + "-01",  // upper case
      "00-" + trace + "-00F067AA0BA902B7-01",
      "00-" + trace + "-" + span + "-0A",
      "0A-" + trace + "-" + span + "-01",
      "00-00000000000000000000000000000000-" + span + "-01",  // all zero
      "00-" + trace + "-0000000000000000-01",
      "00-" + trace + "-" + span + "-01-more",  // version 00 has exactly 55 bytes
      "00-" + trace + "-" + span + "-011",
      "00-" + trace + "-" + span + "-0",
      "00_" + trace + "-" + span + "-01",
      "00-" + trace + "_" + span + "-01",
      "00-" + trace + "-" + span + "_01",
      "01-" + trace + "-" + span + "-01x",  // a higher version goes on after a dash
      "00-" + trace.substr(1) + "g-" + span + "-01",
      " " + kParent,
      "00",
  };
  for (const auto& text : bad) {
    CAPTURE(text);
    const auto context = with_traceparent(text);
    CHECK(context.started_here);
    CHECK_FALSE(context.traceparent_valid);
    CHECK(context.parent_span_id.is_zero());
  }
}

TEST_CASE(
    "trace context: of a higher version the first 55 bytes count, and version 00 is written") {
  for (const std::string& text :
       {"cc-" + kParent.substr(3), "cc-" + kParent.substr(3) + "-what-the-future-brings"}) {
    const auto context = with_traceparent(text);
    CHECK(to_hex(context.trace_id) == kTrace);
    char out[kTraceparentBytes];
    write_traceparent(context, out);
    CHECK(std::string(out, sizeof out) ==
          "00-" + std::string(kTrace) + "-" + to_hex(context.span_id) + "-01");
  }
}

TEST_CASE("trace context: without any header a version 7 UUID starts a trace") {
  hms::net::seed_random_for_test(1);
  const auto context = read_trace_context({});
  CHECK(context.started_here);
  CHECK(context.sampled);
  CHECK(context.parent_span_id.is_zero());
  const std::string text(context.x_trace());
  CHECK(text.size() == 36);
  CHECK(text[14] == '7');
  CHECK(trace_id_of_text(text) == context.trace_id);
  CHECK(read_trace_context({}).trace_id != context.trace_id);
}

TEST_CASE("trace context: x-trace wins, and is kept byte for byte") {
  TraceHeaders headers;
  headers.x_trace = "4BF92F35-77B3-4DA6-A3CE-929D0E0E4736";
  const auto context = read_trace_context(headers);
  CHECK(to_hex(context.trace_id) == kTrace);
  CHECK(context.x_trace() == headers.x_trace);
  CHECK_FALSE(context.started_here);
}

TEST_CASE("trace context: the parent is taken when x-trace and traceparent name the same trace") {
  TraceHeaders headers;
  headers.x_trace = kTrace;
  headers.traceparent = kParent;
  const auto context = read_trace_context(headers);
  CHECK(to_hex(context.parent_span_id) == kSpan);
  CHECK(context.traceparent_valid);
}

TEST_CASE(
    "trace context: a traceparent of another trace than the x-trace is no parent, and its "
    "tracestate ends here") {
  TraceHeaders headers;
  headers.x_trace = "11111111-77b3-4da6-a3ce-929d0e0e4736";
  headers.traceparent = kParent;
  const auto context = read_trace_context(headers);
  CHECK(context.parent_span_id.is_zero());
  CHECK_FALSE(context.traceparent_valid);
  CHECK(context.trace_id == trace_id_of_text(headers.x_trace));
}

TEST_CASE("trace context: a free x-trace keeps the traceparent's span as parent") {
  TraceHeaders headers;
  headers.x_trace = "order 42";
  headers.traceparent = kParent;
  const auto context = read_trace_context(headers);
  CHECK(to_hex(context.parent_span_id) == kSpan);
  CHECK(context.trace_id == trace_id_of_text("order 42"));
  CHECK(context.x_trace() == "order 42");
  CHECK_FALSE(context.traceparent_valid);
}

TEST_CASE(
    "trace context: what one hop writes for a free x-trace the next hop reads as the same trace") {
  TraceHeaders first;
  first.x_trace = "order-42";
  const auto upstream = read_trace_context(first);
  char out[kTraceparentBytes];
  write_traceparent(upstream, out);
  TraceHeaders second;
  second.x_trace = upstream.x_trace();
  second.traceparent = std::string_view(out, sizeof out);
  const auto downstream = read_trace_context(second);
  CHECK(downstream.trace_id == upstream.trace_id);
  CHECK(downstream.parent_span_id == upstream.span_id);
  CHECK(downstream.traceparent_valid);
}

TEST_CASE(
    "trace context: an x-trace with control characters, bytes above ASCII or more than 256 bytes "
    "is as if absent") {
  const std::string long_text(257, 'a'), just_right(256, 'a');
  for (const std::string& text :
       {std::string("a\tb"), std::string("a\r\nb"), std::string("a\0b", 3), std::string("\x7f"),
        std::string("caf\xc3\xa9"), long_text, std::string()}) {
    CAPTURE(text);
    TraceHeaders headers;
    headers.x_trace = text;
    const auto context = read_trace_context(headers);
    CHECK(context.started_here);
    CHECK(context.x_trace_text.empty());
  }
  TraceHeaders headers;
  headers.x_trace = just_right;
  CHECK(read_trace_context(headers).x_trace() == just_right);
}

TEST_CASE("b3 single: full, without sampling, and with a parent") {
  for (const std::string tail : {"", "-1", "-d", "-1-05e3ac9a4f6e3b90"}) {
    TraceHeaders headers;
    const std::string text = std::string(kTrace) + "-" + kSpan + tail;
    headers.b3 = text;
    const auto context = read_trace_context(headers);
    CAPTURE(text);
    CHECK(to_hex(context.trace_id) == kTrace);
    CHECK(to_hex(context.parent_span_id) == kSpan);
    CHECK(context.sampled);
    CHECK(context.came_as_b3_single);
    CHECK_FALSE(context.came_as_b3_multi);
  }
}

TEST_CASE("b3 single: a 64-bit trace id is padded on the left") {
  TraceHeaders headers;
  headers.b3 = "a3ce929d0e0e4736-00f067aa0ba902b7-0";
  const auto context = read_trace_context(headers);
  CHECK(to_hex(context.trace_id) == "0000000000000000a3ce929d0e0e4736");
  CHECK_FALSE(context.sampled);
}

TEST_CASE("b3 single: a sampling decision alone starts a trace that follows it") {
  TraceHeaders headers;
  headers.b3 = "0";
  const auto context = read_trace_context(headers);
  CHECK(context.started_here);
  CHECK_FALSE(context.sampled);
  CHECK(context.came_as_b3_single);
}

TEST_CASE("b3 single: broken values are as if absent") {
  const std::string trace = kTrace, span = kSpan;
  for (const std::string& text :
       {std::string("2"), trace, trace + "-", trace + "-" + span + "-", trace + "-" + span + "-2",
        trace + "-" + span + "-1-", trace + "-" + span + "-1-05e3", trace + "-" + span.substr(1),
        trace.substr(1) + "-" + span, std::string(32, '0') + "-" + span,
        trace + "-" + std::string(16, '0'), trace + "-" + span + "x1"}) {
    CAPTURE(text);
    TraceHeaders headers;
    headers.b3 = text;
    const auto context = read_trace_context(headers);
    CHECK(context.started_here);
    CHECK_FALSE(context.came_as_b3_single);
  }
}

TEST_CASE("b3 multi: ids and sampling from their own headers") {
  TraceHeaders headers;
  headers.b3_trace_id = kTrace;
  headers.b3_span_id = kSpan;
  headers.b3_parent_span_id = "05e3ac9a4f6e3b90";
  headers.b3_sampled = "0";
  auto context = read_trace_context(headers);
  CHECK(to_hex(context.trace_id) == kTrace);
  CHECK(to_hex(context.parent_span_id) == kSpan);
  CHECK_FALSE(context.sampled);
  CHECK(context.came_as_b3_multi);
  headers.b3_flags = "1";  // debug implies sampled
  CHECK(read_trace_context(headers).sampled);
  headers.b3_span_id = "";
  context = read_trace_context(headers);
  CHECK(context.started_here);
}

TEST_CASE("b3: traceparent decides where both came, and b3 is still written") {
  TraceHeaders headers;
  headers.traceparent = kParent;
  headers.b3 = "11111111111111111111111111111111-2222222222222222-0";
  const auto context = read_trace_context(headers);
  CHECK(to_hex(context.trace_id) == kTrace);
  CHECK(context.sampled);
  CHECK(context.came_as_b3_single);
  char out[100];
  const std::string written(out, write_b3_single(context, out));
  CHECK(written == std::string(kTrace) + "-" + to_hex(context.span_id) + "-1-" + kSpan);
}

TEST_CASE("b3: a root span is written without a parent") {
  const auto context = read_trace_context({});
  char out[100];
  const std::string written(out, write_b3_single(context, out));
  CHECK(written == to_hex(context.trace_id) + "-" + to_hex(context.span_id) + "-1");
}
