// span_summary.h: what one service did in one chunk, operation by operation: enough to refuse most
// chunks of a search without opening them (docs/storage-format.md, "trace_summary").
//
// Bounds, not spans: about eight bytes an operation and chunk. An entry per span would cost more
// than all its attributes, and which spans fit is seen at once in the chunk's columns. Thread:
// values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/span_store.h"

namespace hms::collector {

/// The spans of one service and operation in one chunk.
struct OperationBounds {
  std::string_view name;
  uint64_t oldest_start = UINT64_MAX, newest_start = 0;
  uint64_t longest_nanos = 0;
  bool some_failed = false, some_not_failed = false;
};

/// `newest_start` of them all.
[[nodiscard]] std::string encode_summary(const std::vector<OperationBounds>& operations,
                                         uint64_t newest_start);
/// Whether a span of this service in this chunk may fit. Reads version 1, too.
[[nodiscard]] bool summary_may_fit(std::string_view value, uint64_t newest_start,
                                   const TraceQuery& query);

}  // namespace hms::collector
