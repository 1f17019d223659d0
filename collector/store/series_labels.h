// series_labels.h: from an OpenTelemetry point to the name and labels of its series, in Prometheus
// form.
//
// Labels: the point's own attributes, and of its resource service.name, service.instance.id and
// service.version. Names become Prometheus names (telemetry/prom_text.h); two attributes that fall
// together are joined with ';' (OpenTelemetry's rule). Limits: 64 labels, 4 KiB a value (cut).
#pragma once

#include <string>

#include "collector/store/series_store.h"
#include "telemetry/model.h"

namespace hms::collector {

[[nodiscard]] LabelSet series_labels(const telemetry::MetricBatch& batch,
                                     const telemetry::MetricPointView& point);
/// Two keys that are equal when the labels would be, made without converting anything: of what the
/// points of a metric and resource have in common, and of the point's own attributes.
void raw_metric_key(const telemetry::MetricBatch& batch, const telemetry::MetricPointView& point,
                    std::string& out);
void raw_attributes_key(const telemetry::MetricBatch& batch,
                        const telemetry::MetricPointView& point, std::string& out);

}  // namespace hms::collector
