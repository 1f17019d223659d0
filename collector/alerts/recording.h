// recording.h: results of recording rules as a metric batch for the store. Thread: any; pure.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "collector/alerts/rule_state.h"
#include "telemetry/model.h"

namespace hms::collector {

struct RecordedSamples {
  std::string name;
  LabelMap rule_labels;
  std::vector<RuleResult> results;
};

/// Gauges at that time; null when there is none.
[[nodiscard]] std::shared_ptr<const telemetry::MetricBatch> recorded_batch(
    const std::vector<RecordedSamples>& recorded, int64_t t_millis);

}  // namespace hms::collector
