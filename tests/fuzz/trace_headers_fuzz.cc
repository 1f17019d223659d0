// trace_headers_fuzz.cc: any bytes as the nine trace headers (one a line): whatever comes in, what
// goes out is a valid trace that reads back the same.
#include <array>
#include <cstdint>
#include <string_view>

#include "net/core/check.h"
#include "telemetry/trace_context.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hms::telemetry;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::array<std::string_view, 9> lines;
  for (auto& line : lines) {
    const size_t end = rest.find('\n');
    line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  }
  TraceHeaders headers;
  headers.x_trace = lines[0], headers.traceparent = lines[1], headers.tracestate = lines[2],
  headers.b3 = lines[3];
  headers.b3_trace_id = lines[4], headers.b3_span_id = lines[5],
  headers.b3_parent_span_id = lines[6];
  headers.b3_sampled = lines[7], headers.b3_flags = lines[8];

  const TraceContext context = read_trace_context(headers);
  HMS_ENSURE(!context.trace_id.is_zero());
  HMS_ENSURE(!context.span_id.is_zero());
  HMS_ENSURE(context.x_trace_text.empty() || context.x_trace_text == headers.x_trace);
  HMS_ENSURE(context.x_trace().size() <= kMaxXTraceBytes);
  HMS_ENSURE(trace_id_of_text(context.x_trace()) == context.trace_id);

  char traceparent[kTraceparentBytes], b3[100];
  write_traceparent(context, traceparent);
  const std::string_view b3_text(b3, write_b3_single(context, b3));
  TraceHeaders next;
  next.x_trace = context.x_trace();
  next.traceparent = std::string_view(traceparent, sizeof traceparent);
  const TraceContext onward = read_trace_context(next);
  HMS_ENSURE(onward.traceparent_valid);
  HMS_ENSURE(onward.trace_id == context.trace_id && onward.parent_span_id == context.span_id);
  HMS_ENSURE(onward.sampled == context.sampled);
  TraceHeaders zipkin;
  zipkin.b3 = b3_text;
  const TraceContext by_b3 = read_trace_context(zipkin);
  HMS_ENSURE(by_b3.came_as_b3_single);
  HMS_ENSURE(by_b3.trace_id == context.trace_id && by_b3.parent_span_id == context.span_id);
  return 0;
}
