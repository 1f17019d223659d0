// packed_histogram.h: an exponential histogram of scale 5 as a few bytes: what the live window
// keeps per second and series.
//
// Varints: zero count, number of buckets, then per bucket the distance to the one before (the
// first: to kMinIndex) and the count. A second of one route has some 10 to 30 buckets: 20 to 60
// bytes instead of 500. Sum, minimum and maximum are not kept. Thread: values, any.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "telemetry/histogram.h"

namespace hms::collector {

/// Finer scales are lowered to 5 first; a coarser one is spread to the middle of its buckets (only
/// foreign senders have those).
[[nodiscard]] std::string pack_histogram(const telemetry::Histogram& histogram);
/// Counts one duration more, in place: what unpacking and packing again would give (0.1 instead of
/// 0.9 us for a span).
void pack_one_more(std::string& packed, double seconds);
/// Adds up packed histograms; `result` is one of scale 5 with count and buckets.
class HistogramSum {
 public:
  void add(const std::string& packed);
  [[nodiscard]] telemetry::Histogram result() const;

 private:
  std::vector<uint64_t> counts_;  // dense from kMinIndex on; empty until something was added
  uint64_t zero_ = 0;
};

}  // namespace hms::collector
