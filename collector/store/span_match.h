// span_match.h: whether a span is one that was asked for, by everything but its time: the same for
// the hot store and the lake. Thread: any.
#pragma once

#include <algorithm>
#include <string_view>

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

/// What of a span decides, wherever it is kept. What was not asked for may be left empty.
struct SpanFacts {
  std::string_view service, name;
  bool error = false;
  uint64_t duration_nanos = 0;
};

/// `has_tag(key, text)`: whether an attribute of the span or of its resource is that; asked last.
template <class HasTag>
[[nodiscard]] bool span_fits(const TraceQuery& query, const SpanFacts& span,
                             const HasTag& has_tag) {
  if (!query.service.empty() && span.service != query.service) return false;
  if (!query.operation.empty() && span.name != query.operation) return false;
  if (query.error && span.error != *query.error) return false;
  if (!duration_fits(query, span.duration_nanos)) return false;
  return std::all_of(query.tags.begin(), query.tags.end(),
                     [&](const auto& tag) { return has_tag(tag.first, tag.second); });
}

[[nodiscard]] inline bool span_fits(const telemetry::TraceBatch& batch,
                                    const telemetry::SpanView& span, const TraceQuery& query) {
  const telemetry::ResourceView& resource = batch.resources[span.resource];
  return span_fits(query,
                   {resource.service_name, span.name, span.status == telemetry::SpanStatus::error,
                    duration_of(span.start_unix_nanos, span.end_unix_nanos)},
                   [&](std::string_view key, std::string_view text) {
                     return has_attribute(batch, span.attributes, key, text) ||
                            has_attribute(batch, resource.attributes, key, text);
                   });
}

[[nodiscard]] inline bool start_fits(const TraceQuery& query, uint64_t start) noexcept {
  return start >= query.start_unix_nanos && start <= query.end_unix_nanos;
}

}  // namespace hms::collector
