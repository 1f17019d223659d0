// recording.cc: one gauge a result; the label service_name becomes the resource's service, as
// everywhere else in the store.
#include "collector/alerts/recording.h"

namespace hms::collector {
namespace {

void add_result(telemetry::MetricBatch& batch, std::string_view name, const LabelMap& rule_labels,
                const RuleResult& result, int64_t t_millis) {
  LabelMap labels = result.labels;
  for (const auto& [key, value] : rule_labels) labels[key] = value;
  telemetry::ResourceView resource;
  if (const auto at = labels.find("service_name"); at != labels.end()) {
    resource.service_name = batch.keep(at->second);
    labels.erase(at);
  }
  telemetry::MetricPointView point;
  point.resource = static_cast<uint32_t>(batch.resources.size());
  batch.resources.push_back(resource);
  point.name = name;
  point.kind = telemetry::PointKind::gauge;
  point.time_unix_nanos = static_cast<uint64_t>(t_millis) * 1'000'000;
  point.value = result.value;
  point.attributes.begin = static_cast<uint32_t>(batch.attributes.size());
  for (auto& [key, value] : labels) {
    telemetry::Attribute attribute;
    attribute.key = batch.keep(key);
    attribute.value.kind = telemetry::AttributeValue::Kind::text;
    attribute.value.text = batch.keep(value);
    batch.attributes.push_back(attribute);
  }
  point.attributes.end = static_cast<uint32_t>(batch.attributes.size());
  batch.points.push_back(point);
}

}  // namespace

std::shared_ptr<const telemetry::MetricBatch> recorded_batch(
    const std::vector<RecordedSamples>& recorded, int64_t t_millis) {
  auto batch = std::make_shared<telemetry::MetricBatch>();
  for (const RecordedSamples& samples : recorded) {
    const std::string_view name = batch->keep(samples.name);
    for (const RuleResult& result : samples.results)
      add_result(*batch, name, samples.rule_labels, result, t_millis);
  }
  if (batch->points.empty()) return nullptr;
  return batch;
}

}  // namespace hms::collector
