// otlp_trace_json.h: traces as OTLP JSON (TracesData of opentelemetry-proto 1.x): ids in
// hexadecimal, 64-bit numbers as texts, enumerations as numbers. Thread: one question's.
//
// What the collector has to say about a span or a trace stands in the attribute "@jaeger@warnings"
// of the span, or of one of the trace's, where Jaeger's own programs look for it. Written as text
// span by span, as jaeger_json.h.
#pragma once

#include <cstddef>
#include <string>

#include "collector/store/span_store.h"

namespace hms::collector {

class OtlpTraceText {
 public:
  /// Spans beyond `limit` bytes of text (about) are left out; the last one, which is shown without
  /// what may make it long, says so.
  explicit OtlpTraceText(size_t limit) : limit_(limit) {}
  void add(Trace trace);
  /// {"resourceSpans":[...]}, resources of all traces after each other.
  [[nodiscard]] std::string take();

 private:
  const size_t limit_;
  std::string text_ = "{\"resourceSpans\":[";
  bool first_ = true, full_ = false;
};

}  // namespace hms::collector
