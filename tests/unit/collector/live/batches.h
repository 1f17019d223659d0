// batches.h: small batches as the decoders make them, for the tests of window, alerts and canaries.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "collector/store/signal_store.h"
#include "telemetry/model.h"

namespace hms::test {

using Attributes = std::vector<std::pair<std::string, std::string>>;

class MetricsBuilder {
 public:
  /// `count` requests of `seconds` each, measured in the second that begins at `unix_second` (an
  /// interval of one second).
  MetricsBuilder& requests(const std::string& service, const std::string& route,
                           int64_t unix_second, uint64_t count, double seconds, int status = 200,
                           const std::string& upstream = {}, bool outbound = false,
                           const std::string& instance = "i1") {
    Attributes attributes = {{"http.route", route}, {"http.request.method", "GET"}};
    if (status >= 500) attributes.emplace_back("error.type", std::to_string(status));
    if (!upstream.empty()) attributes.emplace_back("hms.upstream", upstream);
    auto& point =
        add(service, instance,
            outbound ? "http.client.request.duration" : "http.server.request.duration", attributes);
    if (status > 0) {
      telemetry::Attribute code;
      code.key = "http.response.status_code";
      code.value.kind = telemetry::AttributeValue::Kind::integer;
      code.value.integer = status;
      batch_->attributes.push_back(code);
      point.attributes.end = static_cast<uint32_t>(batch_->attributes.size());
    }
    point.start_unix_nanos = static_cast<uint64_t>(unix_second) * 1'000'000'000ULL;
    point.time_unix_nanos = point.start_unix_nanos + 1'000'000'000ULL;
    for (uint64_t i = 0; i < count; ++i) batch_->histograms.back().record(seconds);
    return *this;
  }

  telemetry::MetricPointView& add(const std::string& service, const std::string& instance,
                                  const std::string& name, const Attributes& attributes) {
    telemetry::ResourceView resource;
    resource.service_name = batch_->keep(service);
    resource.service_instance = batch_->keep(instance);
    batch_->resources.push_back(resource);
    telemetry::MetricPointView point;
    point.resource = static_cast<uint32_t>(batch_->resources.size() - 1);
    point.name = batch_->keep(name);
    point.unit = "s";
    point.kind = telemetry::PointKind::histogram;
    point.temporality = telemetry::Temporality::delta;
    point.histogram = static_cast<uint32_t>(batch_->histograms.size());
    batch_->histograms.emplace_back();
    point.attributes.begin = static_cast<uint32_t>(batch_->attributes.size());
    for (const auto& [key, value] : attributes) {
      telemetry::Attribute attribute;
      attribute.key = batch_->keep(key);
      attribute.value.kind = telemetry::AttributeValue::Kind::text;
      attribute.value.text = batch_->keep(value);
      batch_->attributes.push_back(attribute);
    }
    point.attributes.end = static_cast<uint32_t>(batch_->attributes.size());
    batch_->points.push_back(point);
    return batch_->points.back();
  }

  telemetry::MetricBatch& batch() { return *batch_; }
  collector::AcceptedBatch accepted() {
    collector::AcceptedBatch accepted;
    accepted.metrics = batch_;
    return accepted;
  }

 private:
  std::shared_ptr<telemetry::MetricBatch> batch_ = std::make_shared<telemetry::MetricBatch>();
};

class TracesBuilder {
 public:
  TracesBuilder& span(const std::string& service, const std::string& name, telemetry::SpanKind kind,
                      uint64_t end_unix_nanos, uint64_t nanos, bool error = false, uint8_t id = 1,
                      bool root = true) {
    telemetry::ResourceView resource;
    resource.service_name = batch_->keep(service);
    batch_->resources.push_back(resource);
    telemetry::SpanView span;
    span.resource = static_cast<uint32_t>(batch_->resources.size() - 1);
    span.trace_id.bytes.fill(id);
    span.span_id.bytes.fill(id);
    if (!root) span.parent_span_id.bytes.fill(9);
    span.kind = kind;
    span.status = error ? telemetry::SpanStatus::error : telemetry::SpanStatus::unset;
    span.end_unix_nanos = end_unix_nanos;
    span.start_unix_nanos = end_unix_nanos - nanos;
    span.name = batch_->keep(name);
    batch_->spans.push_back(span);
    return *this;
  }
  collector::AcceptedBatch accepted() {
    collector::AcceptedBatch accepted;
    accepted.traces = batch_;
    return accepted;
  }

 private:
  std::shared_ptr<telemetry::TraceBatch> batch_ = std::make_shared<telemetry::TraceBatch>();
};

/// One log line.
inline collector::AcceptedBatch log_batch(const std::string& service, const std::string& severity,
                                          const std::string& message,
                                          const std::string& trace = {}) {
  auto batch = std::make_shared<telemetry::LogBatch>();
  telemetry::ResourceView resource;
  resource.service_name = batch->keep(service);
  batch->resources.push_back(resource);
  telemetry::LogView log;
  log.severity = batch->keep(severity);
  log.message = batch->keep(message);
  log.trace_text = batch->keep(trace);
  batch->logs.push_back(log);
  collector::AcceptedBatch accepted;
  accepted.logs = batch;
  return accepted;
}

/// A wall clock that tests set.
struct TestClock {
  uint64_t nanos = 1'700'000'000'000'000'000ULL;
  [[nodiscard]] int64_t second() const { return static_cast<int64_t>(nanos / 1'000'000'000ULL); }
  void advance_millis(uint64_t millis) { nanos += millis * 1'000'000ULL; }
};

}  // namespace hms::test
