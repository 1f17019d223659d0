// http_points.cc: names to meaning.
#include "collector/live/http_points.h"

#include <charconv>

namespace hms::collector {
namespace {

using telemetry::Attribute;
using telemetry::AttributeRange;
using telemetry::AttributeValue;
using telemetry::BatchStorage;

std::string_view text_of(const BatchStorage& batch, AttributeRange range,
                         std::string_view key) noexcept {
  const Attribute* attribute = telemetry::find_attribute(batch, range, key);
  return attribute != nullptr && attribute->value.kind == AttributeValue::Kind::text
             ? attribute->value.text
             : std::string_view();
}

int number_of(std::string_view text) noexcept {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : 0;
}

/// A status code as an integer or as text (labels of /ingest and remote_write are texts).
int status_of(const BatchStorage& batch, AttributeRange range) noexcept {
  for (const std::string_view key : {std::string_view("http.response.status_code"),
                                     std::string_view("http_response_status_code")}) {
    const Attribute* attribute = telemetry::find_attribute(batch, range, key);
    if (attribute == nullptr) continue;
    if (attribute->value.kind == AttributeValue::Kind::integer)
      return static_cast<int>(attribute->value.integer);
    if (attribute->value.kind == AttributeValue::Kind::text)
      return number_of(attribute->value.text);
  }
  return 0;
}

std::string_view first_text(const BatchStorage& batch, AttributeRange range, std::string_view one,
                            std::string_view other) noexcept {
  const std::string_view text = text_of(batch, range, one);
  return text.empty() ? text_of(batch, range, other) : text;
}

/// error.type counts as a failure, but not a caller that left, and not the 4xx that clients put
/// there.
bool failed(const BatchStorage& batch, AttributeRange range) noexcept {
  const std::string_view type = first_text(batch, range, "error.type", "error_type");
  if (type == "client_disconnect") return false;
  if (status_of(batch, range) >= 500) return true;
  const int as_status = number_of(type);
  return !type.empty() && !(as_status >= 100 && as_status < 500);
}

}  // namespace

PointFamily family_of(const telemetry::MetricPointView& point) noexcept {
  if (point.kind != telemetry::PointKind::histogram || point.stale) return PointFamily::none;
  if (point.name == "http.server.request.duration" ||
      point.name == "http_server_request_duration_seconds")
    return PointFamily::server;
  if (point.name == "http.client.request.duration" ||
      point.name == "http_client_request_duration_seconds")
    return PointFamily::client;
  // A `timing` of /ingest is one measurement: it has a time but no interval. Other histograms
  // (garbage collection, database calls) are no requests.
  const bool single = point.temporality == telemetry::Temporality::delta &&
                      point.start_unix_nanos == point.time_unix_nanos;
  return single && (point.unit == "s" || point.unit == "ms") ? PointFamily::timing
                                                             : PointFamily::none;
}

HttpLabels http_labels(const telemetry::MetricBatch& batch,
                       const telemetry::MetricPointView& point) noexcept {
  HttpLabels labels;
  labels.route = first_text(batch, point.attributes, "http.route", "http_route");
  labels.upstream = first_text(batch, point.attributes, "hms.upstream", "hms_upstream");
  labels.error = failed(batch, point.attributes);
  return labels;
}

HttpLabels timing_labels(const telemetry::MetricBatch& batch,
                         const telemetry::MetricPointView& point) noexcept {
  HttpLabels labels;
  labels.route = first_text(batch, point.attributes, "http.route", "route");
  if (labels.route.empty()) labels.route = point.name;
  labels.error = failed(batch, point.attributes);
  return labels;
}

bool is_request_span(const telemetry::SpanView& span) noexcept {
  switch (span.kind) {
    case telemetry::SpanKind::server:
    case telemetry::SpanKind::consumer:
    case telemetry::SpanKind::unspecified:
      return true;
    case telemetry::SpanKind::internal:
    case telemetry::SpanKind::client:
    case telemetry::SpanKind::producer:
      return span.parent_span_id.is_zero();
  }
  return false;
}

HttpLabels span_labels(const telemetry::TraceBatch& batch,
                       const telemetry::SpanView& span) noexcept {
  HttpLabels labels;
  labels.route = first_text(batch, span.attributes, "http.route", "route");
  if (labels.route.empty()) labels.route = span.name;
  labels.upstream = text_of(batch, span.attributes, "hms.upstream");
  labels.error =
      span.status == telemetry::SpanStatus::error || status_of(batch, span.attributes) >= 500;
  return labels;
}

int64_t middle_second(uint64_t start_unix_nanos, uint64_t end_unix_nanos) noexcept {
  const uint64_t begin = start_unix_nanos == 0 || start_unix_nanos > end_unix_nanos
                             ? end_unix_nanos
                             : start_unix_nanos;
  return static_cast<int64_t>((begin + (end_unix_nanos - begin) / 2) / 1'000'000'000ULL);
}

}  // namespace hms::collector
