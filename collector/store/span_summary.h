// span_summary.h: what one service did in the traces of one chunk: enough to refuse most chunks of
// a search without opening them (docs/storage-format.md, "trace_summary").
//
// One value per service and chunk, not per trace: a key of 40 bytes per trace would cost more than
// its spans. Thread: values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/span_chunk.h"
#include "collector/store/span_store.h"

namespace hms::collector {

struct ServiceSummary {
  uint64_t newest_start = 0;  // of the service's traces in the chunk
  std::string value;
};
/// Of spans sorted by trace, as encode_span_chunk leaves them. Service names end at a NUL, as keys
/// do.
[[nodiscard]] std::map<std::string, ServiceSummary, std::less<>> summarize(
    const std::vector<SpanSource>& spans);

/// First rows of the traces that may fit: in the time range, with the operation, as long, with an
/// error where one is asked for. Whether one fits is seen in its spans.
struct SummaryHit {
  uint64_t start_unix_nanos = 0;
  uint32_t row = 0;
};
[[nodiscard]] std::vector<SummaryHit> summary_hits(std::string_view value, uint64_t newest_start,
                                                   const TraceQuery& query);

}  // namespace hms::collector
