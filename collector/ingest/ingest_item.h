// ingest_item.h: one parsed /ingest item into the batch of its kind. Private to collector/ingest.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "collector/ingest/ingest_json.h"

namespace hms::collector {

struct FieldFault {
  std::string field, error;
};

class ItemReader {
 public:
  ItemReader(ParsedIngest& out, const TimeBounds& bounds, MetricBounds& metrics)
      : out_(out), bounds_(bounds), metrics_(metrics) {}
  /// Adds the item, or says what is wrong with it; then nothing of it was added.
  [[nodiscard]] std::optional<FieldFault> add(const nlohmann::json& item);

 private:
  using Fault = std::optional<FieldFault>;
  using ResourceIndex = std::map<std::string, uint32_t, std::less<>>;

  Fault add_log(const nlohmann::json& payload);
  Fault add_metric(const nlohmann::json& payload);
  Fault add_span(const nlohmann::json& payload);
  Fault read_time(const nlohmann::json& payload, const char* field, uint64_t& out) const;
  Fault read_service(const nlohmann::json& payload, std::string& out) const;
  static uint32_t resource_of(telemetry::BatchStorage& batch, ResourceIndex& known,
                              const std::string& service);

  ParsedIngest& out_;
  const TimeBounds bounds_;
  MetricBounds& metrics_;
  ResourceIndex log_resources_, metric_resources_, span_resources_;
};

}  // namespace hms::collector
