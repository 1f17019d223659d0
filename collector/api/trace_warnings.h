// trace_warnings.h: what the collector has to say about a span or a trace that it shows, in every
// form it shows them in. Thread: any.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "collector/store/span_store.h"

namespace hms::collector {

[[nodiscard]] inline std::vector<std::string> warnings_of(const StoredSpan& span) {
  if (span.end_unix_nanos >= span.start_unix_nanos) return {};
  return {"the span ends before it begins; shown with no duration"};
}
/// How long an answer with traces may become, below what any answer may.
[[nodiscard]] inline size_t trace_text_limit(const SpanStore& spans) {
  constexpr uint64_t kMost = 60ULL * 1024 * 1024;
  return static_cast<size_t>(std::min(spans.answer_bytes(), kMost));
}
[[nodiscard]] inline std::string most_text(size_t limit) {
  return ": an answer has at most " + std::to_string(limit >> 20) + " MiB of text";
}
/// Of the trace where the text became too long, after so many spans; 0: further traces are missing.
[[nodiscard]] inline std::string text_full_warning(size_t spans, size_t limit) {
  return (spans == 0 ? "further traces are left out"
                     : "only the first " + std::to_string(spans) + " spans are shown") +
         most_text(limit);
}
/// What can make a span's text long: tens of megabytes, of which an answer has room for few.
inline void leave_out_lists(StoredSpan& span) {
  span.attributes = {};
  span.resource_attributes = {};
  span.events = {};
  span.links = {};
}

}  // namespace hms::collector
