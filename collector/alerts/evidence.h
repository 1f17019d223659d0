// evidence.h: what an alert carries beside its numbers: which routes it comes from, and traces to
// look at. Thread: the loop's.
#pragma once

#include "collector/alerts/alert.h"
#include "collector/live/window.h"

namespace hms::collector {

/// Adds the annotations `top_routes` and `example_traces` (up to three of each) to an alert that
/// names a service; leaves what a rule has set.
void add_evidence(Alert& alert, const LiveWindow& window, int64_t unix_second);

}  // namespace hms::collector
