// otlp_json_records.h: from the tape of one record into a batch; private to
// telemetry/otlp_json*.cc.
#pragma once

#include "telemetry/otlp_json_tape.h"
#include "telemetry/otlp_read.h"

namespace hms::telemetry::otlp {

/// Texts of the tape live until the record ends; what a batch keeps is copied.
[[nodiscard]] std::string_view kept(BatchStorage& batch, std::string_view text);
AttributeRange read_attributes(BatchStorage& batch, Value list);

void read_record(TraceBatch& batch, Tally& tally, uint32_t resource, Value record);
void read_record(LogBatch& batch, Tally& tally, uint32_t resource, Value record);
void read_record(MetricBatch& batch, Tally& tally, uint32_t resource, Value record);

}  // namespace hms::telemetry::otlp
