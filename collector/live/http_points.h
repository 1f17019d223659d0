// http_points.h: reads from batches what the live window counts: HTTP durations, spans and timings,
// each with service, route and outcome.
//
// Knows the names (docs/query.md, semantic conventions) so that window.cc only adds up. Views live
// as long as the batch. Thread: any.
#pragma once

#include <cstdint>
#include <string_view>

#include "telemetry/model.h"

namespace hms::collector {

enum class PointFamily : uint8_t { none, server, client, timing };
/// What a metric point is to the live window.
[[nodiscard]] PointFamily family_of(const telemetry::MetricPointView& point) noexcept;

struct HttpLabels {
  std::string_view route, upstream;
  bool error = false;
};
/// Route, upstream and outcome of a server or client point.
[[nodiscard]] HttpLabels http_labels(const telemetry::MetricBatch& batch,
                                     const telemetry::MetricPointView& point) noexcept;
/// Route of a `timing` metric: label http.route or route, else the metric's name.
[[nodiscard]] HttpLabels timing_labels(const telemetry::MetricBatch& batch,
                                       const telemetry::MetricPointView& point) noexcept;

/// True for spans that stand for one request at their service: SERVER, CONSUMER, roots, and those
/// without a kind.
[[nodiscard]] bool is_request_span(const telemetry::SpanView& span) noexcept;
/// Route: attribute http.route or route, else the name. Error: status error, or a status code from
/// 500 on.
[[nodiscard]] HttpLabels span_labels(const telemetry::TraceBatch& batch,
                                     const telemetry::SpanView& span) noexcept;

/// Middle of an interval as a Unix second: what a sidecar measured from 11.02 s to 12.02 s belongs
/// to second 11.
[[nodiscard]] int64_t middle_second(uint64_t start_unix_nanos, uint64_t end_unix_nanos) noexcept;

}  // namespace hms::collector
