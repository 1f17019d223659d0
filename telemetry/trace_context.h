// trace_context.h: the trace a request belongs to, read from and written to its headers.
//
// Reads, in this order of trust: `x-trace` (with `traceparent` for the parent span when both name
// the same 128 bits, or when x-trace is free text), else `traceparent`, else B3 (single, then
// multi), else a new trace (UUID version 7). Invalid values are as if absent (W3C Trace Context
// section 3.2.2; B3 propagation). `x-trace` is kept byte for byte; texts over 256 bytes or with
// anything but printable ASCII (blanks inside are allowed) are refused. B3 gives the parent where
// traceparent does not. No allocation on the hot path: texts are views into the head, or written
// into the caller's buffer. Thread: any.
#pragma once

#include <string_view>

#include "telemetry/ids.h"

namespace hms::telemetry {

/// Views of the header values as they came; empty when absent.
struct TraceHeaders {
  std::string_view x_trace, traceparent, tracestate;
  std::string_view b3, b3_trace_id, b3_span_id, b3_parent_span_id, b3_sampled, b3_flags;
};

struct TraceContext {
  TraceId trace_id;
  SpanId parent_span_id;  // zero: this hop is the root
  SpanId span_id;         // this hop's own span
  bool sampled = true;
  bool started_here = false;  // no usable header came in
  bool came_as_b3_single = false, came_as_b3_multi = false;
  bool traceparent_valid = false;  // then tracestate is passed on; otherwise it is dropped
  std::string_view
      x_trace_text;  // the incoming text, kept byte for byte; empty: write `canonical_x_trace`
  char canonical_x_trace[36] = {};  // the UUID form of trace_id
  /// What the response and the service are told.
  [[nodiscard]] std::string_view x_trace() const noexcept {
    return x_trace_text.empty() ? std::string_view(canonical_x_trace, sizeof canonical_x_trace)
                                : x_trace_text;
  }
};

inline constexpr size_t kMaxXTraceBytes = 256;

/// Never fails: what cannot be used is as if absent. `span_id` is new.
[[nodiscard]] TraceContext read_trace_context(const TraceHeaders& headers) noexcept;

/// "00-<trace>-<span>-01": 55 bytes at `out`.
inline constexpr size_t kTraceparentBytes = 55;
void write_traceparent(const TraceContext& context, char* out) noexcept;
/// "<trace>-<span>-1-<parent>": returns the length written (at most 100 bytes).
size_t write_b3_single(const TraceContext& context, char* out) noexcept;

}  // namespace hms::telemetry
