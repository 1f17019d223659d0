// cumulative_histograms.h: what a histogram that only grows grew by since its last reading.
//
// A reading that is smaller than the last is a reset: all of it is new. The first reading of a
// histogram counts only if it began less than two minutes before: older requests are not of this
// second. Limits: 20,000 histograms (further ones are not counted), forgotten after ten minutes
// without a reading. Thread: one at a time.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "telemetry/histogram.h"
#include "telemetry/model.h"

namespace hms::collector {

class CumulativeHistograms {
 public:
  /// False when the growth cannot be told (yet): the first reading of an old histogram, an older
  /// reading that came late. `start` (Unix nanoseconds) is then the time of the last reading.
  bool difference_of(const telemetry::MetricBatch& batch, const telemetry::MetricPointView& point,
                     int64_t now_unix_seconds, telemetry::Histogram& difference, uint64_t& start);
  void forget(int64_t now_unix_seconds);

 private:
  struct Reading {
    telemetry::Histogram histogram;
    uint64_t time = 0;  // Unix nanoseconds
    int64_t seen = 0;
  };
  std::unordered_map<std::string, Reading> last_;  // by sender, name and attributes
};

}  // namespace hms::collector
