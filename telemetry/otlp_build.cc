// otlp_build.cc: see otlp_build.h.
#include "telemetry/otlp_build.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <span>
#include <string>

#include "telemetry/prom_text.h"
#include "telemetry/text.h"

namespace hms::telemetry::otlp {
namespace {

constexpr std::array<std::string_view, 6> kLevels = {"trace", "debug", "info",
                                                     "warn",  "error", "fatal"};

uint8_t number_of_level(std::string_view level) noexcept {
  const auto is = [&](std::string_view name) {
    return level.size() == name.size() &&
           std::equal(level.begin(), level.end(), name.begin(),
                      [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; });
  };
  for (size_t i = 0; i < kLevels.size(); ++i) {
    if (is(kLevels[i])) return static_cast<uint8_t>(1 + 4 * i);
  }
  if (is("information") || is("notice")) return 9;
  if (is("warning")) return 13;
  if (is("err")) return 17;
  if (is("critical") || is("crit") || is("emergency") || is("alert") || is("panic")) return 21;
  return 0;
}

bool known_temporality(int64_t temporality) noexcept {
  return temporality == 1 || temporality == 2;
}

constexpr std::string_view kNoTemporality =
    "aggregationTemporality is neither 1 (delta) nor 2 (cumulative)";

MetricPointView point_view(const MetricHead& metric, const PointHead& point) {
  MetricPointView view;
  view.resource = metric.resource;
  view.name = metric.name;
  view.unit = metric.unit;
  view.description = metric.description;
  view.start_unix_nanos = point.start_unix_nanos;
  view.time_unix_nanos = point.time_unix_nanos;
  view.stale = (point.flags & 1) != 0;
  view.attributes = point.attributes;
  view.attributes_hash = point.attributes_hash;
  view.raw_attributes = point.raw_attributes;
  view.exemplars_begin = point.exemplars_begin;
  view.exemplars_end = point.exemplars_end;
  return view;
}

void push_histogram(MetricBatch& batch, MetricPointView view, Histogram histogram,
                    int64_t temporality) {
  view.kind = PointKind::histogram;
  view.temporality = temporality == 1 ? Temporality::delta : Temporality::cumulative;
  view.histogram = static_cast<uint32_t>(batch.histograms.size());
  batch.histograms.push_back(std::move(histogram));
  batch.points.push_back(view);
}

/// Non-empty slots as pairs; false if an index lies outside what a double can hold at this scale.
bool take_buckets(const RawBuckets& raw, int32_t scale, std::vector<Histogram::Bucket>& out) {
  const int64_t octaves_per = scale >= 0 ? int64_t{1} << scale : 1;
  const int shift = scale < 0 ? -scale : 0;
  const int64_t lowest = (-1080 >> shift) * octaves_per - 1,
                highest = (1024 >> shift) * octaves_per;
  for (size_t i = 0; i < raw.counts.size(); ++i) {
    if (raw.counts[i] == 0) continue;
    const int64_t index = raw.offset + static_cast<int64_t>(i);
    if (index < lowest || index > highest) return false;
    out.push_back({static_cast<int32_t>(index), raw.counts[i]});
  }
  return true;
}

constexpr std::string_view kCountsOverflow = "the bucket counts add up to more than 64 bits hold";

/// False: the sum does not fit.
bool add_counts(std::span<const uint64_t> counts, uint64_t& total) {
  return std::none_of(counts.begin(), counts.end(), [&total](uint64_t count) {
    return __builtin_add_overflow(total, count, &total);
  });
}

void check_bucket_total(const MetricBatch& batch, size_t more) {
  if (batch.buckets + more > kMaxBuckets) {
    throw LimitCrossed(
        "more than 8000000 filled histogram buckets in one body; send smaller batches");
  }
}

}  // namespace

void Tally::next() {
  if (++seen > kMaxRecords) {
    throw LimitCrossed(std::string("more than 1000000 ") + kind +
                       " in one body; send smaller batches");
  }
}

void Tally::reject(std::string_view reason) {
  if (rejected++ == 0) {
    first_rejection =
        std::string(kind) + "[" + std::to_string(seen - 1) + "]: " + std::string(reason);
  }
}

uint32_t attribute_mark(const BatchStorage& batch) noexcept {
  return static_cast<uint32_t>(batch.attributes.size());
}

void add_attribute(BatchStorage& batch, uint32_t begin, Attribute attribute) {
  if (attribute.key.empty()) return;
  if (batch.attributes.size() - begin >= kMaxAttributesPerRecord) {
    ++batch.truncated;
    return;
  }
  if (batch.attributes.size() >= kMaxAttributes) {
    throw LimitCrossed("more than 4000000 attributes in one body; send smaller batches");
  }
  batch.attributes.push_back(attribute);
}

uint32_t add_resource(BatchStorage& batch) {
  if (batch.resources.size() >= kMaxResources) {
    throw LimitCrossed("more than 100000 resources in one body; send smaller batches");
  }
  const uint32_t mark = attribute_mark(batch);
  ResourceView resource;
  resource.service_name = "unknown_service";
  resource.attributes = {mark, mark};
  batch.resources.push_back(resource);
  return static_cast<uint32_t>(batch.resources.size() - 1);
}

void set_resource(BatchStorage& batch, uint32_t index, uint32_t begin) {
  ResourceView& resource = batch.resources[index];
  resource.attributes = {begin, attribute_mark(batch)};
  const auto name = text_of(batch, resource.attributes, "service.name");
  resource.service_name = name.empty() ? std::string_view("unknown_service") : name;
  resource.service_instance = text_of(batch, resource.attributes, "service.instance.id");
  resource.service_version = text_of(batch, resource.attributes, "service.version");
}

SpanKind span_kind(int64_t number) noexcept {
  return number >= 0 && number <= 5 ? static_cast<SpanKind>(number) : SpanKind::unspecified;
}

SpanStatus span_status(int64_t number) noexcept {
  return number >= 0 && number <= 2 ? static_cast<SpanStatus>(number) : SpanStatus::unset;
}

std::string_view text_of(const BatchStorage& batch, AttributeRange range,
                         std::string_view key) noexcept {
  const Attribute* attribute = find_attribute(batch, range, key);
  return attribute != nullptr && attribute->value.kind == AttributeValue::Kind::text
             ? attribute->value.text
             : std::string_view();
}

std::string_view add_span(TraceBatch& batch, SpanView span, const IdFaults& faults) {
  if (faults.trace) return "trace_id is not 16 bytes";
  if (faults.span) return "span_id is not 8 bytes";
  if (faults.parent) return "parent_span_id is neither empty nor 8 bytes";
  if (span.trace_id.is_zero()) return "trace_id is all zero";
  if (span.span_id.is_zero()) return "span_id is all zero";
  // A span that ends before it begins (a clock set back) would give a duration of centuries further
  // on.
  if (span.end_unix_nanos < span.start_unix_nanos) span.end_unix_nanos = span.start_unix_nanos;
  span.trace_text = text_of(batch, span.attributes, "hms.x_trace");
  batch.spans.push_back(span);
  return {};
}

std::string_view message_of(BatchStorage& batch, const AttributeValue& body) {
  switch (body.kind) {
    case AttributeValue::Kind::empty:
      return {};
    case AttributeValue::Kind::text:
    case AttributeValue::Kind::json:
      return body.text;
    case AttributeValue::Kind::boolean:
      return body.boolean ? "true" : "false";
    case AttributeValue::Kind::integer:
      return batch.keep(std::to_string(body.integer));
    case AttributeValue::Kind::real: {
      std::string text;
      append_json_number(text, body.real);
      return batch.keep(std::move(text));
    }
  }
  return {};
}

void add_log(LogBatch& batch, LogView log, uint64_t observed_unix_nanos) {
  if (log.time_unix_nanos == 0) log.time_unix_nanos = observed_unix_nanos;
  if (log.severity_number > 24) log.severity_number = 0;
  if (log.severity_number == 0) log.severity_number = number_of_level(log.level);
  if (log.level.empty() && log.severity_number > 0)
    log.level = kLevels[static_cast<size_t>(log.severity_number - 1) / 4];
  log.severity = text_of(batch, log.attributes, "severity");
  log.trace_text = text_of(batch, log.attributes, "hms.x_trace");
  batch.logs.push_back(log);
}

// === metrics ===

void RawExponential::clear() {
  positive.counts.clear(), negative.counts.clear();
  positive.offset = negative.offset = 0;
  count = zero_count = 0, sum = min = max = 0, has_min = has_max = false, scale = 0;
}

void RawExplicit::clear() {
  counts.clear(), bounds.clear();
  count = 0, sum = min = max = 0, has_min = has_max = false;
}

void RawSummary::clear() {
  quantiles.clear();
  count = 0, sum = 0;
}

PointHead begin_point(const MetricBatch& batch) noexcept {
  PointHead point;
  point.attributes.begin = attribute_mark(batch);
  point.exemplars_begin = point.exemplars_end = static_cast<uint32_t>(batch.exemplars.size());
  return point;
}

void add_exemplar(MetricBatch& batch, PointHead& point, const ExemplarView& exemplar) {
  if (exemplar.trace_id.is_zero() || !std::isfinite(exemplar.value)) return;
  if (point.exemplars_end - point.exemplars_begin >= kMaxExemplarsPerPoint) return;
  if (batch.exemplars.size() >= kMaxExemplars) return;
  batch.exemplars.push_back(exemplar);
  point.exemplars_end = static_cast<uint32_t>(batch.exemplars.size());
}

std::string_view add_gauge(MetricBatch& batch, const MetricHead& metric, const PointHead& point,
                           double value) {
  if (metric.name.empty()) return "the metric has no name";
  MetricPointView view = point_view(metric, point);
  view.kind = PointKind::gauge;
  view.monotonic = false;
  view.value = value;
  batch.points.push_back(view);
  return {};
}

std::string_view add_sum(MetricBatch& batch, const MetricHead& metric, const PointHead& point,
                         double value, int64_t temporality, bool monotonic) {
  if (metric.name.empty()) return "the metric has no name";
  if (!known_temporality(temporality)) return kNoTemporality;
  if (!monotonic && temporality == 2) return add_gauge(batch, metric, point, value);
  MetricPointView view = point_view(metric, point);
  view.kind = PointKind::counter;
  view.temporality = temporality == 1 ? Temporality::delta : Temporality::cumulative;
  view.monotonic = monotonic;
  view.value = value;
  batch.points.push_back(view);
  return {};
}

std::string_view add_exponential(MetricBatch& batch, const MetricHead& metric,
                                 const PointHead& point, const RawExponential& raw,
                                 int64_t temporality) {
  if (metric.name.empty()) return "the metric has no name";
  if (!known_temporality(temporality)) return kNoTemporality;
  if (raw.scale < -11 || raw.scale > 20) return "scale is outside -11..20";
  if (raw.positive.counts.size() + raw.negative.counts.size() > kMaxBucketSlots)
    return "more than 16384 buckets";
  Histogram histogram;
  histogram.scale = static_cast<int32_t>(raw.scale);
  histogram.zero_count = raw.zero_count;
  histogram.sum = raw.sum;
  if (!take_buckets(raw.positive, histogram.scale, histogram.positive) ||
      !take_buckets(raw.negative, histogram.scale, histogram.negative)) {
    return "a bucket index is outside the range of a double";
  }
  check_bucket_total(batch, histogram.positive.size() + histogram.negative.size());
  histogram.count = raw.zero_count;
  if (!add_counts(raw.positive.counts, histogram.count) ||
      !add_counts(raw.negative.counts, histogram.count))
    return kCountsOverflow;
  if (histogram.count != raw.count && (point.flags & 1) == 0)
    return "count is not the sum of the bucket counts";
  histogram.has_min_max = raw.has_min && raw.has_max && histogram.count > 0;
  if (histogram.has_min_max) histogram.min = raw.min, histogram.max = raw.max;
  histogram.lower_scale_to(kScale);
  batch.buckets += histogram.positive.size() + histogram.negative.size();
  push_histogram(batch, point_view(metric, point), std::move(histogram), temporality);
  return {};
}

std::string_view add_explicit(MetricBatch& batch, const MetricHead& metric, const PointHead& point,
                              const RawExplicit& raw, int64_t temporality) {
  if (metric.name.empty()) return "the metric has no name";
  if (!known_temporality(temporality)) return kNoTemporality;
  if (raw.counts.size() > kMaxBucketSlots) return "more than 16384 buckets";
  // Without buckets, count and sum are still there: one bucket without bounds.
  const uint64_t only[] = {raw.count};
  std::span<const uint64_t> counts(raw.counts);
  if (counts.empty() && raw.bounds.empty()) counts = only;
  if (counts.size() != raw.bounds.size() + 1)
    return "bucket_counts is not one longer than explicit_bounds";
  for (size_t i = 0; i < raw.bounds.size(); ++i) {
    if (!std::isfinite(raw.bounds[i]) || (i > 0 && raw.bounds[i] <= raw.bounds[i - 1])) {
      return "explicit_bounds are not finite and rising";
    }
  }
  check_bucket_total(batch, counts.size());
  uint64_t total = 0;
  if (!add_counts(counts, total)) return kCountsOverflow;
  Histogram histogram = from_explicit_bounds(raw.bounds, counts, raw.sum);
  if (histogram.count != raw.count && (point.flags & 1) == 0)
    return "count is not the sum of the bucket counts";
  histogram.has_min_max = raw.has_min && raw.has_max && histogram.count > 0;
  if (histogram.has_min_max) histogram.min = raw.min, histogram.max = raw.max;
  batch.buckets += histogram.positive.size() + histogram.negative.size();
  push_histogram(batch, point_view(metric, point), std::move(histogram), temporality);
  return {};
}

std::string_view add_summary(MetricBatch& batch, const MetricHead& metric, const PointHead& point,
                             const RawSummary& raw) {
  if (metric.name.empty()) return "the metric has no name";
  if (raw.quantiles.size() > kMaxQuantiles) return "more than 64 quantiles";
  if (batch.points.size() + raw.quantiles.size() + 2 > kMaxRecords) {
    throw LimitCrossed("more than 1000000 data points in one body; send smaller batches");
  }
  for (const auto& [quantile, value] : raw.quantiles) {
    PointHead own = point;
    own.attributes.begin = attribute_mark(batch);
    for (uint32_t i = point.attributes.begin; i < point.attributes.end; ++i) {
      add_attribute(batch, own.attributes.begin, Attribute(batch.attributes[i]));
    }
    char digits[32];
    const auto end = std::to_chars(digits, digits + sizeof digits, quantile).ptr;
    Attribute attribute;
    attribute.key = "quantile";
    attribute.value.kind = AttributeValue::Kind::text;
    attribute.value.text = batch.keep(std::string(digits, end));
    add_attribute(batch, own.attributes.begin, attribute);
    own.attributes.end = attribute_mark(batch);
    if (auto reason = add_gauge(batch, metric, own, value); !reason.empty()) return reason;
  }
  // As Prometheus names a summary's series: the unit stands before "_sum" and "_count", and nothing
  // behind. Names of counters get "_total", so these are gauges here; rate() sees no difference.
  const std::string base = prometheus_metric_name(metric.name, metric.unit, false);
  MetricHead total = metric;
  total.unit = {};
  total.name = batch.keep(base + "_sum");
  if (auto reason = add_gauge(batch, total, point, raw.sum); !reason.empty()) return reason;
  total.name = batch.keep(base + "_count");
  return add_gauge(batch, total, point, static_cast<double>(raw.count));
}

}  // namespace hms::telemetry::otlp
