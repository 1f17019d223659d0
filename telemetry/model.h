// model.h: what telemetry is once decoded, whatever format it came in: views over a batch that
// keeps their bytes alive.
//
// A *Batch owns the request body (and an arena for texts that had to be unescaped) and hands out
// views into it; it is moved, never copied, and freed as one. Times are Unix nanoseconds. Thread:
// one owner at a time; reading a const batch from several is fine. Limits (decoders enforce them):
// 64 MiB a body, 1,000,000 records a batch, 128 attributes a record, 64 KiB a text (cut, and marked
// `truncated`), attribute nesting 16 levels.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/histogram.h"
#include "telemetry/ids.h"

namespace hms::telemetry {

struct AttributeValue {
  enum class Kind : uint8_t { empty, text, boolean, integer, real, json };
  Kind kind = Kind::empty;
  bool boolean = false;
  int64_t integer = 0;
  double real = 0;
  std::string_view text;  // Kind::text; Kind::json: arrays, maps and bytes as JSON
};

struct Attribute {
  std::string_view key;
  AttributeValue value;
};
/// Offsets into the batch's attribute array.
struct AttributeRange {
  uint32_t begin = 0, end = 0;
};

struct ResourceView {
  std::string_view service_name;      // "unknown_service" when absent
  std::string_view service_instance;  // may be empty
  std::string_view service_version;
  AttributeRange attributes;  // all of them, also the three above
};

enum class SpanKind : uint8_t {
  unspecified = 0,
  internal = 1,
  server = 2,
  client = 3,
  producer = 4,
  consumer = 5
};
enum class SpanStatus : uint8_t { unset = 0, ok = 1, error = 2 };

struct SpanEventView {
  uint64_t time_unix_nanos = 0;
  std::string_view name;
  AttributeRange attributes;
};

struct SpanLinkView {
  TraceId trace_id;
  SpanId span_id;
};

struct SpanView {
  uint32_t resource = 0;  // index into the batch's resources
  TraceId trace_id;
  SpanId span_id, parent_span_id;
  SpanKind kind = SpanKind::unspecified;
  SpanStatus status = SpanStatus::unset;
  uint64_t start_unix_nanos = 0, end_unix_nanos = 0;
  std::string_view name;
  std::string_view status_message;
  std::string_view
      trace_text;  // an `x-trace` that is not itself the id (attribute `hms.x_trace`), else empty
  std::string_view scope_name;
  AttributeRange attributes;
  uint32_t events_begin = 0, events_end = 0;
  uint32_t links_begin = 0, links_end = 0;
};

/// OpenTelemetry severity numbers 1..24 (TRACE 1, DEBUG 5, INFO 9, WARN 13, ERROR 17, FATAL 21).
struct LogView {
  uint32_t resource = 0;
  uint64_t time_unix_nanos = 0;
  uint8_t severity_number = 0;
  std::string_view level;     // as sent, or the number's name in lower case: "info", "error"
  std::string_view severity;  // the `severity` field ("security" raises an alert); empty for most
  std::string_view message;
  TraceId trace_id;  // zero when none
  SpanId span_id;
  std::string_view trace_text;
  AttributeRange attributes;
};

enum class PointKind : uint8_t { gauge, counter, histogram };
enum class Temporality : uint8_t { delta, cumulative };

/// A measurement that stands for its point: which trace was it?
struct ExemplarView {
  uint64_t time_unix_nanos = 0;
  double value = 0;
  TraceId trace_id;  // never zero
  SpanId span_id;
};

struct MetricPointView {
  uint32_t resource = 0;
  std::string_view name;  // OpenTelemetry name ("http.server.request.duration") or Prometheus name
  std::string_view unit;
  std::string_view description;
  PointKind kind = PointKind::gauge;
  Temporality temporality = Temporality::cumulative;  // counters and histograms
  bool monotonic = true;  // counters (Sum); a non-monotonic cumulative sum is a gauge
  uint64_t start_unix_nanos = 0, time_unix_nanos = 0;
  double value = 0;        // gauge, counter
  uint32_t histogram = 0;  // index into the batch's histograms
  bool stale = false;      // OTLP flag "no recorded value"
  AttributeRange attributes;
  /// Of the attributes as they stand in a protobuf body (known_attributes.h); zeros: not known.
  std::array<uint64_t, 2> attributes_hash{};
  /// Not empty: the attributes as they stand in the body, left there because the decoder has read
  /// the same bytes before; `attributes` is empty then, and read_raw_attributes() (otlp_decode.h)
  /// reads them. Only of gauges and counters, and only if the decoder was asked for it.
  std::string_view raw_attributes;
  uint32_t exemplars_begin = 0, exemplars_end = 0;  // of the batch's exemplars
};

/// What all batches share. Move-only: views point into `body` and `arena` (both stable under a
/// move: body is held by pointer).
struct BatchStorage {
  std::unique_ptr<const std::string> body;
  std::deque<std::string> arena;
  std::vector<ResourceView> resources;
  std::vector<Attribute> attributes;
  uint64_t truncated = 0;  // texts cut to their bound

  BatchStorage() = default;
  BatchStorage(BatchStorage&&) = default;
  BatchStorage& operator=(BatchStorage&&) = default;
  /// Keeps `text` alive with the batch.
  std::string_view keep(std::string text) { return arena.emplace_back(std::move(text)); }
};

struct TraceBatch : BatchStorage {
  std::vector<SpanView> spans;
  std::vector<SpanEventView> events;
  std::vector<SpanLinkView> links;
};
struct LogBatch : BatchStorage {
  std::vector<LogView> logs;
};
struct MetricBatch : BatchStorage {
  std::vector<MetricPointView> points;
  std::vector<Histogram> histograms;
  std::vector<ExemplarView> exemplars;  // those with a trace
  uint64_t buckets = 0;                 // filled buckets in all of them, for the decoders' bound
};

/// The value of `key` in a range, or nullptr.
[[nodiscard]] const Attribute* find_attribute(const BatchStorage& batch, AttributeRange range,
                                              std::string_view key) noexcept;

}  // namespace hms::telemetry
