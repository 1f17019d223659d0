// measured_calls.h: what services' own metrics say of the calls that they answered in a range, for
// the service map: counted, not extrapolated as PromQL's increase() does.
//
// A service's calls are what its cumulative histograms rose by. Of a rise between two points of
// which the range holds a part, that part is counted, as if it was even. Limits: the caller's
// (SelectLimits). Thread: any.
#pragma once

#include <map>
#include <string>

#include "collector/store/series_store.h"

namespace hms::collector {

struct MeasuredCalls {
  double requests = 0, errors = 0;
  telemetry::Histogram durations;  // seconds
};

/// By service. Errors: as SeriesSource::select.
[[nodiscard]] net::Result<std::map<std::string, MeasuredCalls>> measured_calls(
    const SeriesSource& series, uint64_t start_unix_nanos, uint64_t end_unix_nanos,
    SelectLimits limits);

}  // namespace hms::collector
