// otlp_check.h: what must hold of every decoded batch, whatever came in; shared by the OTLP
// fuzzers.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "net/core/check.h"
#include "telemetry/otlp_decode.h"
#include "telemetry/text.h"

namespace hms::fuzz {

inline void check_text(std::string_view text) {
  HMS_ENSURE(text.size() <= telemetry::kMaxTextBytes);
  HMS_ENSURE(telemetry::is_valid_utf8(
      text));  // touches every byte, so that a view past its owner is seen by ASan
}

inline void check_range(const telemetry::BatchStorage& batch, telemetry::AttributeRange range,
                        size_t most) {
  HMS_ENSURE(range.begin <= range.end && range.end <= batch.attributes.size());
  HMS_ENSURE(range.end - range.begin <= most);
  for (uint32_t i = range.begin; i < range.end; ++i) {
    check_text(batch.attributes[i].key);
    HMS_ENSURE(!batch.attributes[i].key.empty());
    check_text(batch.attributes[i].value.text);
  }
}

inline void check_storage(const telemetry::BatchStorage& batch) {
  for (const auto& resource : batch.resources) {
    HMS_ENSURE(!resource.service_name.empty());
    check_text(resource.service_name);
    check_text(resource.service_instance);
    check_range(batch, resource.attributes, 128);
  }
}

inline void check(const telemetry::TraceBatch& batch) {
  check_storage(batch);
  for (const auto& span : batch.spans) {
    HMS_ENSURE(span.resource < batch.resources.size());
    HMS_ENSURE(!span.trace_id.is_zero() && !span.span_id.is_zero());
    HMS_ENSURE(span.start_unix_nanos <= span.end_unix_nanos);
    HMS_ENSURE(span.events_begin <= span.events_end && span.events_end <= batch.events.size());
    HMS_ENSURE(span.links_begin <= span.links_end && span.links_end <= batch.links.size());
    check_text(span.name);
    check_text(span.status_message);
    check_text(span.scope_name);
    check_text(span.trace_text);
    check_range(batch, span.attributes, 128);
    for (uint32_t i = span.events_begin; i < span.events_end; ++i) {
      check_text(batch.events[i].name);
      check_range(batch, batch.events[i].attributes, 128);
    }
  }
}

inline void check(const telemetry::MetricBatch& batch) {
  check_storage(batch);
  for (const auto& point : batch.points) {
    HMS_ENSURE(point.resource < batch.resources.size());
    HMS_ENSURE(!point.name.empty());
    check_text(point.unit);
    check_text(point.description);
    check_range(batch, point.attributes, 128);
    if (point.kind != telemetry::PointKind::histogram) continue;
    HMS_ENSURE(point.histogram < batch.histograms.size());
    telemetry::Histogram histogram = batch.histograms[point.histogram];
    HMS_ENSURE(histogram.scale <= telemetry::kScale);
    uint64_t count = histogram.zero_count;
    for (const auto& bucket : histogram.positive) count += bucket.count;
    for (const auto& bucket : histogram.negative) count += bucket.count;
    HMS_ENSURE(count == histogram.count || point.stale);
    for (size_t i = 1; i < histogram.positive.size(); ++i) {
      HMS_ENSURE(histogram.positive[i - 1].index < histogram.positive[i].index);
    }
    if (histogram.count > 0 && histogram.count < (1ULL << 52) && std::isfinite(histogram.sum) &&
        !point.stale) {
      const double low = histogram.quantile(0.1), high = histogram.quantile(0.9);
      HMS_ENSURE(!std::isnan(low) && !std::isnan(high));
      HMS_ENSURE(low <= high * (high < 0 ? 1 - 1e-9 : 1 + 1e-9));
      const double below = histogram.fraction_below(high);
      HMS_ENSURE(below >= 0 && below <= 1);
    }
    const telemetry::Histogram before = histogram;
    histogram.merge(before);
    histogram.lower_scale_to(-3);
    (void)histogram.subtract(before);
  }
}

inline void check(const telemetry::LogBatch& batch) {
  check_storage(batch);
  for (const auto& log : batch.logs) {
    HMS_ENSURE(log.resource < batch.resources.size());
    HMS_ENSURE(log.severity_number <= 24);
    check_text(log.level);
    check_text(log.severity);
    check_text(log.message);
    check_text(log.trace_text);
    check_range(batch, log.attributes, 128);
  }
}

/// Decodes the input in both forms; what is taken must hold, what is refused must say why.
template <class Decode>
void run(Decode decode, const uint8_t* data, size_t size) {
  const std::string body(reinterpret_cast<const char*>(data), size);
  for (const auto format : {telemetry::OtlpFormat::protobuf, telemetry::OtlpFormat::json}) {
    auto decoded = decode(body, format);
    if (!decoded) {
      HMS_ENSURE(!decoded.error().detail.empty());
      continue;
    }
    const auto moved = std::move(decoded).value();  // views must survive a move
    HMS_ENSURE((moved.rejected == 0) == moved.first_rejection.empty());
    check(moved.batch);
  }
}

}  // namespace hms::fuzz
