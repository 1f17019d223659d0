// packed_histogram.h: an exponential histogram of scale 5 as a few bytes: what the live window
// keeps per second and series.
//
// Varints: zero count, number of buckets, then per bucket the distance to the one before (the
// first: to kMinIndex) and the count. A second of one route has some 10 to 30 buckets: 20 to 60
// bytes instead of 500. Sum, minimum and maximum are not kept. Thread: values, any.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "telemetry/histogram.h"

namespace hms::collector {

/// Finer scales are lowered to 5 first; a coarser one is spread to the middle of its buckets (only
/// foreign senders have those).
[[nodiscard]] std::string pack_histogram(const telemetry::Histogram& histogram);
/// Where a duration is counted in a packed histogram: 0 for none, else its bucket, from 1 on.
[[nodiscard]] uint16_t packed_slot(uint64_t nanos) noexcept;
/// Counts more durations: what unpacking and packing again would give. Sorts `slots`.
void pack_more(std::string& packed, std::span<uint16_t> slots);
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
