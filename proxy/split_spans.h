// split_spans.h: cuts a delta's spans into pieces that can be encoded one at a time. Thread: any.
#pragma once

#include <vector>

#include "telemetry/recorder.h"

namespace hms::proxy {

/// Moves the spans of `delta`, with the texts they name, into pieces of at most `most` spans;
/// series and counters stay.
void split_spans(telemetry::RecorderDelta& delta, size_t most,
                 std::vector<telemetry::RecorderDelta>& pieces);

}  // namespace hms::proxy
