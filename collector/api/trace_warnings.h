// trace_warnings.h: what the collector has to say about a span or a trace that it shows, in every
// form it shows them in. Thread: any.
#pragma once

#include <string>
#include <vector>

#include "collector/store/span_store.h"

namespace hms::collector {

[[nodiscard]] inline std::vector<std::string> warnings_of(const StoredSpan& span) {
  if (span.end_unix_nanos >= span.start_unix_nanos) return {};
  return {"the span ends before it begins; shown with no duration"};
}
[[nodiscard]] inline std::string cut_warning() {
  return "only the first " + std::to_string(SpanStore::kMaxSpansPerTrace) + " spans are shown";
}

}  // namespace hms::collector
