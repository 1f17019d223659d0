// ingest_json.h: bodies of POST /ingest into batches: logs, metrics and spans of programs that know
// no OpenTelemetry.
//
// An item is {"type":"log"|"metric"|"trace","payload":{…}}. What is wrong with one item is told
// with its index and field, and the others are kept; only a body that is not JSON is refused whole.
// On NDJSON a line that is not JSON is a bad item, unless every line is. Fields of each type:
// docs/ingest.md. Limits: 200,000 items a body, 1 MiB and 24 levels an item, 128 attributes or
// labels (further ones are left out), 64 KiB a text (cut), 256 bytes a service, metric name, label
// name or traceId. The first kMaxReported faults are told one by one. Thread: any.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "collector/ingest/metric_bounds.h"
#include "net/core/result.h"
#include "telemetry/model.h"

namespace hms::collector {

/// The times a record may have: what is older would be dropped at once, and a clock that runs ahead
/// must not open days to come.
struct TimeBounds {
  uint64_t now = 0, oldest = 0, newest = 0;  // Unix nanoseconds, inclusive
  /// Whole UTC days besides today, and a day ahead.
  [[nodiscard]] static TimeBounds around(uint64_t now, uint32_t retention_days) noexcept;
  [[nodiscard]] bool holds(uint64_t t) const noexcept { return t >= oldest && t <= newest; }
  /// "2026-10-23": of what is older nothing is kept.
  [[nodiscard]] std::string oldest_day() const;
};

struct RejectedItem {
  uint64_t index = 0;
  std::string field;  // "value"; empty when the item as a whole is meant
  std::string error;
};

struct ParsedIngest {
  static constexpr size_t kMaxReported = 1000;
  telemetry::TraceBatch traces;
  telemetry::LogBatch logs;
  telemetry::MetricBatch metrics;
  uint64_t accepted = 0;
  uint64_t rejected = 0;
  std::vector<RejectedItem> faults;  // the first of them
};

/// Where a body stopped being JSON.
struct NotJson {
  uint64_t byte = 0;
  std::string reason;
};

/// Errors: bad_message (not JSON: `*not_json` says where), too_large (items).
[[nodiscard]] net::Result<ParsedIngest> parse_ingest(std::string_view body,
                                                     const TimeBounds& bounds,
                                                     MetricBounds& metrics, NotJson* not_json);

}  // namespace hms::collector
