// otlp_build.h: what both OTLP decoders share: bounds, left-out records, and turning raw fields
// into the views of model.h.
//
// Private to telemetry/otlp_*.cc. A decoder fills a Raw* from its format and calls the matching
// `add_*`; everything appended to the batch for a record that is then refused is taken back. Bounds
// that concern the whole body throw LimitCrossed, which the decoders' entry points catch. Bounds of
// memory (a small body must not unfold into a large batch): 1,000,000 records, 4,000,000
// attributes, 1,000,000 events and links, 100,000 resources, 8,000,000 histogram buckets; 16,384
// bucket slots, 64 quantiles, 128 attributes, events and links a record.
#pragma once

#include <array>
#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "telemetry/model.h"

namespace hms::telemetry::otlp {

inline constexpr uint64_t kMaxBodyBytes = 64ULL * 1024 * 1024;
inline constexpr size_t kMaxRecords = 1'000'000;
inline constexpr size_t kMaxAttributes = 4'000'000;
inline constexpr size_t kMaxEventsAndLinks = 1'000'000;
inline constexpr size_t kMaxResources = 100'000;
inline constexpr size_t kMaxBuckets = 8'000'000;
inline constexpr size_t kMaxAttributesPerRecord = 128;
inline constexpr size_t kMaxEventsPerSpan = 128;
inline constexpr size_t kMaxExemplars = 1'000'000;
inline constexpr size_t kMaxExemplarsPerPoint = 16;
inline constexpr size_t kMaxBucketSlots = 16'384;
inline constexpr size_t kMaxQuantiles = 64;
inline constexpr int kMaxNesting = 16;  // of an attribute value

/// A bound on the whole body was crossed; `sentence` names it.
struct LimitCrossed : std::exception {
  explicit LimitCrossed(std::string text) : sentence(std::move(text)) {}
  [[nodiscard]] const char* what() const noexcept override { return sentence.c_str(); }
  std::string sentence;
};

/// Records seen and left out, with the first reason.
struct Tally {
  const char* kind;  // "spans"
  uint64_t seen = 0;
  uint64_t rejected = 0;
  std::string first_rejection;
  /// Counts one record more, or throws.
  void next();
  /// Leaves out the record counted last.
  void reject(std::string_view reason);
};

/// Appends one attribute of a record that began at `begin`; empty keys and everything past 128 are
/// left out.
void add_attribute(BatchStorage& batch, uint32_t begin, Attribute attribute);
[[nodiscard]] uint32_t attribute_mark(const BatchStorage& batch) noexcept;
/// Adds an empty resource ("unknown_service") and gives its index.
uint32_t add_resource(BatchStorage& batch);
/// Fills it from attributes [begin, end of the array).
void set_resource(BatchStorage& batch, uint32_t resource, uint32_t begin);

[[nodiscard]] SpanKind span_kind(int64_t number) noexcept;
[[nodiscard]] SpanStatus span_status(int64_t number) noexcept;
/// Text of an attribute, or "".
[[nodiscard]] std::string_view text_of(const BatchStorage& batch, AttributeRange range,
                                       std::string_view key) noexcept;

/// Which of a span's ids came in a wrong size; checked before the all-zero test.
struct IdFaults {
  bool trace = false, span = false, parent = false;
};
/// Takes a span whose attributes, events and links are in the batch, or the reason to leave it out
/// ("" when taken).
[[nodiscard]] std::string_view add_span(TraceBatch& batch, SpanView span, const IdFaults& faults);
/// A log's body as text: a text itself, anything else as JSON writes it.
[[nodiscard]] std::string_view message_of(BatchStorage& batch, const AttributeValue& body);
void add_log(LogBatch& batch, LogView log, uint64_t observed_unix_nanos);

struct MetricHead {
  uint32_t resource = 0;
  std::string_view name, unit, description;
};
struct PointHead {
  AttributeRange attributes;
  std::array<uint64_t, 2> attributes_hash{};
  std::string_view raw_attributes;
  uint64_t start_unix_nanos = 0, time_unix_nanos = 0;
  uint64_t flags = 0;  // bit 0: no recorded value
  uint32_t exemplars_begin = 0, exemplars_end = 0;
};
/// Begins a point: what is appended to the batch from here on is its own.
[[nodiscard]] PointHead begin_point(const MetricBatch& batch) noexcept;
/// Keeps an exemplar of the point if it names a trace: the first 16 of a point, 1,000,000 of a
/// body.
void add_exemplar(MetricBatch& batch, PointHead& point, const ExemplarView& exemplar);
struct RawBuckets {
  int64_t offset = 0;
  std::vector<uint64_t> counts;
};
struct RawExponential {
  uint64_t count = 0, zero_count = 0;
  double sum = 0, min = 0, max = 0;
  bool has_min = false, has_max = false;
  int64_t scale = 0;
  RawBuckets positive, negative;
  void clear();
};
struct RawExplicit {
  uint64_t count = 0;
  double sum = 0, min = 0, max = 0;
  bool has_min = false, has_max = false;
  std::vector<uint64_t> counts;
  std::vector<double> bounds;
  void clear();
};
struct RawSummary {
  uint64_t count = 0;
  double sum = 0;
  std::vector<std::pair<double, double>> quantiles;
  void clear();
};

/// Temporality as numbered by OTLP: 1 delta, 2 cumulative. Each returns "" or the reason to leave
/// the point out.
[[nodiscard]] std::string_view add_gauge(MetricBatch& batch, const MetricHead& metric,
                                         const PointHead& point, double value);
[[nodiscard]] std::string_view add_sum(MetricBatch& batch, const MetricHead& metric,
                                       const PointHead& point, double value, int64_t temporality,
                                       bool monotonic);
[[nodiscard]] std::string_view add_exponential(MetricBatch& batch, const MetricHead& metric,
                                               const PointHead& point, const RawExponential& raw,
                                               int64_t temporality);
[[nodiscard]] std::string_view add_explicit(MetricBatch& batch, const MetricHead& metric,
                                            const PointHead& point, const RawExplicit& raw,
                                            int64_t temporality);
[[nodiscard]] std::string_view add_summary(MetricBatch& batch, const MetricHead& metric,
                                           const PointHead& point, const RawSummary& raw);

}  // namespace hms::telemetry::otlp
