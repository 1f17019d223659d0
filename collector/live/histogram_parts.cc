#include "collector/live/histogram_parts.h"

#include <cmath>

namespace hms::collector {

using telemetry::Histogram;

Histogram part_of(const Histogram& whole, uint64_t i, uint64_t n) {
  const auto share = [&](uint64_t count, uint64_t phase) {
    return (count * (i + 1) + phase) / n - (count * i + phase) / n;
  };
  Histogram part;
  part.scale = whole.scale;
  part.zero_count = share(whole.zero_count, 0);
  part.count = part.zero_count;
  for (size_t at = 0; at < whole.positive.size(); ++at) {
    // Each bucket's odd requests fall on another second.
    const uint64_t count = share(whole.positive[at].count, (at * 7 + 1) % n);
    if (count == 0) continue;
    part.positive.push_back({whole.positive[at].index, count});
    part.count += count;
  }
  part.sum = whole.count == 0
                 ? 0
                 : whole.sum * static_cast<double>(part.count) / static_cast<double>(whole.count);
  return part;
}

Histogram in_seconds(const Histogram& millis) {
  Histogram seconds = millis;
  if (seconds.scale > telemetry::kScale) seconds.lower_scale_to(telemetry::kScale);
  const int shift = static_cast<int>(std::lround(std::log2(1000.0) * std::exp2(seconds.scale)));
  for (auto& bucket : seconds.positive) bucket.index -= shift;
  seconds.sum /= 1000;
  return seconds;
}

}  // namespace hms::collector
