// span_match.h: whether a span is one that was asked for, by everything but its time. Thread: any.
#pragma once

#include <algorithm>

#include "collector/store/span_store.h"
#include "collector/store/stored_attribute.h"
#include "telemetry/model.h"

namespace hms::collector {

/// 0 for a span that ends before it begins.
[[nodiscard]] inline uint64_t duration_of(uint64_t start, uint64_t end) noexcept {
  return end > start ? end - start : 0;
}

[[nodiscard]] inline bool duration_fits(const TraceQuery& query, uint64_t nanos) noexcept {
  return nanos >= query.min_duration_nanos &&
         (query.max_duration_nanos == 0 || nanos <= query.max_duration_nanos);
}

[[nodiscard]] inline bool span_fits(const telemetry::TraceBatch& batch,
                                    const telemetry::SpanView& span, const TraceQuery& query) {
  const telemetry::ResourceView& resource = batch.resources[span.resource];
  if (!query.service.empty() && resource.service_name != query.service) return false;
  if (!query.operation.empty() && span.name != query.operation) return false;
  if (query.error && (span.status == telemetry::SpanStatus::error) != *query.error) return false;
  if (!duration_fits(query, duration_of(span.start_unix_nanos, span.end_unix_nanos))) return false;
  return std::all_of(query.tags.begin(), query.tags.end(), [&](const auto& tag) {
    return has_attribute(batch, span.attributes, tag.first, tag.second) ||
           has_attribute(batch, resource.attributes, tag.first, tag.second);
  });
}

[[nodiscard]] inline bool start_fits(const TraceQuery& query, uint64_t start) noexcept {
  return start >= query.start_unix_nanos && start <= query.end_unix_nanos;
}

}  // namespace hms::collector
