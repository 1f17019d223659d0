// lake_questions.h: traces, logs, series and service map of the days in the lake. federated.h joins
// them with the hot days.
//
// Nothing here fails because a part of the lake cannot be read: what is missing is told in
// `warnings`. Limits: a search looks at 20,000,000 rows at most, then says so. Thread: any.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "collector/lake/lake.h"
#include "collector/store/log_store.h"
#include "collector/store/series_store.h"
#include "collector/store/span_edge_rows.h"
#include "collector/store/span_room.h"
#include "collector/store/span_store.h"

namespace hms::collector {

inline constexpr uint64_t kMaxRowsLookedAt = 20'000'000;

/// Appends the trace's spans, as far as there is room. `near_day`: a day on which some of it is
/// known to be (then only its neighbours are asked), or none.
void lake_trace(const Lake& lake, Trace& trace, SpanRoom& room, std::optional<uint32_t> near_day,
                LakeWarnings& warnings);

/// Trace ids with a span that fits, newest first, at most query.limit. Errors: canceled.
struct LakeTraceHit {
  uint64_t start_unix_nanos = 0;
  telemetry::TraceId id;
};
[[nodiscard]] net::Result<std::vector<LakeTraceHit>> lake_search(
    const Lake& lake, const TraceQuery& query, const std::function<bool()>& cancelled,
    LakeWarnings& warnings);

/// Where a line stands in the falling order of the lake's lines.
struct LakeLogPlace {
  uint64_t time = UINT64_MAX;
  uint32_t day = UINT32_MAX;
  uint64_t row = UINT64_MAX;
  [[nodiscard]] bool before(const LakeLogPlace& other) const noexcept {  // newer first
    if (time != other.time) return time > other.time;
    if (day != other.day) return day > other.day;
    return row > other.row;
  }
};
/// The newest lines after `after` (before it in time), at most `limit`. Errors: canceled.
[[nodiscard]] net::Result<std::vector<std::pair<LakeLogPlace, StoredLog>>> lake_logs(
    const Lake& lake, const LogQuery& query, const LakeLogPlace& after, size_t limit,
    const std::function<bool()>& cancelled, LakeWarnings& warnings);

/// Series with points in (start, end]; sorted by labels. `points` false: labels only. Errors:
/// bad_message, too_large, canceled.
[[nodiscard]] net::Result<std::vector<Series>> lake_series(
    const Lake& lake, const std::vector<LabelMatcher>& matchers, int64_t start_millis,
    int64_t end_millis, const SelectLimits& limits, bool points, LakeWarnings& warnings);

/// Adds the nodes and edges of the lake's days. Whole hours are read by the hour. Errors: canceled.
[[nodiscard]] net::Result<void> lake_edges(const Lake& lake, uint64_t start_unix_nanos,
                                           uint64_t end_unix_nanos,
                                           const std::function<bool()>& cancelled, EdgeSum& sum,
                                           LakeWarnings& warnings);

/// Services that the lake's days name. Only of manifests that have been read.
[[nodiscard]] std::vector<std::string> lake_services(const Lake& lake);

}  // namespace hms::collector
