// otlp_read.h: the two format halves of otlp_decode.h; private to telemetry/otlp_*.cc. Bounds:
// otlp_build.h.
#pragma once

#include "telemetry/otlp_build.h"
#include "telemetry/otlp_decode.h"

namespace hms::telemetry::otlp {

// From protobuf (otlp_protobuf.cc). Each fills an empty batch whose body is set. The Error's detail
// names the byte.
[[nodiscard]] net::Result<void> read_protobuf(TraceBatch& batch, Tally& tally);
[[nodiscard]] net::Result<void> read_protobuf(MetricBatch& batch, Tally& tally,
                                              KnownAttributes* known);
[[nodiscard]] net::Result<void> read_protobuf(LogBatch& batch, Tally& tally);

// The same from JSON (otlp_json.cc). The Error's detail names the byte or the JSON path.
[[nodiscard]] net::Result<void> read_json(TraceBatch& batch, Tally& tally);
[[nodiscard]] net::Result<void> read_json(MetricBatch& batch, Tally& tally);
[[nodiscard]] net::Result<void> read_json(LogBatch& batch, Tally& tally);

}  // namespace hms::telemetry::otlp
