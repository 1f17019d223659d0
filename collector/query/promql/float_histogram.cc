// float_histogram.cc: see float_histogram.h. Source: prometheus/model/histogram/float_histogram.go,
// promql/quantile.go.
#include "collector/query/promql/float_histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hms::collector::promql {
namespace {

using Buckets = std::vector<FloatHistogram::Bucket>;

/// Index of bucket `index` after lowering the scale by `shift`: (base^i, base^(i+1)] nests into (i
/// >> shift).
int32_t lowered(int32_t index, int32_t shift) noexcept {
  return shift >= 31 ? (index < 0 ? -1 : 0) : index >> shift;
}

template <class From>
Buckets copy_buckets(const From& from, int32_t shift) {
  Buckets out;
  out.reserve(from.size());
  for (const auto& bucket : from) {
    const int32_t index = lowered(bucket.index, shift);
    if (!out.empty() && out.back().index == index) {
      out.back().count += static_cast<double>(bucket.count);
    } else {
      out.push_back({index, static_cast<double>(bucket.count)});
    }
  }
  return out;
}

// left + sign * right, both rising; empty buckets are left out.
Buckets combine(const Buckets& left, const Buckets& right, double sign) {
  Buckets out;
  out.reserve(left.size() + right.size());
  size_t l = 0;
  size_t r = 0;
  while (l < left.size() || r < right.size()) {
    FloatHistogram::Bucket bucket;
    if (r == right.size() || (l < left.size() && left[l].index < right[r].index)) {
      bucket = left[l++];
    } else if (l == left.size() || right[r].index < left[l].index) {
      bucket = {right[r].index, sign * right[r].count};
      ++r;
    } else {
      bucket = {left[l].index, left[l].count + sign * right[r].count};
      ++l;
      ++r;
    }
    if (bucket.count != 0) out.push_back(bucket);
  }
  return out;
}

// Whether any bucket of `earlier` holds more than the same one of `later`, both brought to the
// coarser scale.
template <class Vector>
bool any_fell(const Vector& later, const Vector& earlier) {
  size_t l = 0;
  for (const auto& bucket : earlier) {
    while (l < later.size() && later[l].index < bucket.index) ++l;
    const auto now = l < later.size() && later[l].index == bucket.index ? later[l].count : 0;
    if (now < bucket.count) return true;
  }
  return false;
}

double middle(double lower, double upper) {
  if (lower <= 0 && upper >= 0) return 0;
  return (upper < 0 ? -1.0 : 1.0) * std::sqrt(upper * lower);
}

}  // namespace

FloatHistogram::FloatHistogram(const telemetry::Histogram& source)
    : scale(source.scale),
      count(static_cast<double>(source.count)),
      sum(source.sum),
      zero_count(static_cast<double>(source.zero_count)),
      positive(copy_buckets(source.positive, 0)),
      negative(copy_buckets(source.negative, 0)) {}

void FloatHistogram::lower_scale_to(int32_t target) {
  if (target >= scale) return;
  const int32_t shift = scale - target;
  positive = copy_buckets(positive, shift);
  negative = copy_buckets(negative, shift);
  scale = target;
}

void FloatHistogram::add(const FloatHistogram& other, double sign) {
  if (other.scale < scale) lower_scale_to(other.scale);
  count += sign * other.count;
  sum += sign * other.sum;
  zero_count += sign * other.zero_count;
  if (other.scale > scale) {
    FloatHistogram coarse = other;
    coarse.lower_scale_to(scale);
    positive = combine(positive, coarse.positive, sign);
    negative = combine(negative, coarse.negative, sign);
  } else {
    positive = combine(positive, other.positive, sign);
    negative = combine(negative, other.negative, sign);
  }
}

void FloatHistogram::multiply(double factor) {
  count *= factor;
  sum *= factor;
  zero_count *= factor;
  for (Bucket& bucket : positive) bucket.count *= factor;
  for (Bucket& bucket : negative) bucket.count *= factor;
}

std::vector<FloatHistogram::Shown> FloatHistogram::shown() const {
  std::vector<Shown> out;
  out.reserve(positive.size() + negative.size() + 1);
  for (auto it = negative.rbegin(); it != negative.rend(); ++it) {
    if (it->count == 0) continue;
    out.push_back({1, -telemetry::bucket_upper_bound(it->index, scale),
                   -telemetry::bucket_upper_bound(it->index - 1, scale), it->count});
  }
  if (zero_count != 0) out.push_back({3, 0, 0, zero_count});
  for (const Bucket& bucket : positive) {
    if (bucket.count == 0) continue;
    out.push_back({0, telemetry::bucket_upper_bound(bucket.index - 1, scale),
                   telemetry::bucket_upper_bound(bucket.index, scale), bucket.count});
  }
  return out;
}

double FloatHistogram::quantile(double q) const {
  if (q < 0) return -std::numeric_limits<double>::infinity();
  if (q > 1) return std::numeric_limits<double>::infinity();
  if (count == 0 || std::isnan(q)) return std::nan("");
  const std::vector<Shown> buckets = shown();
  if (buckets.empty()) return std::nan("");
  // From the nearer end, so that rounding in the sums stays small.
  const bool from_below = std::isnan(sum) || q < 0.5;
  double rank = (from_below ? q : 1 - q) * count;
  double passed = 0;
  const Shown* found = &buckets.front();
  for (size_t i = 0; i < buckets.size(); ++i) {
    found = from_below ? &buckets[i] : &buckets[buckets.size() - 1 - i];
    passed += found->count;
    if (passed >= rank) break;
  }
  // Rounding may leave the rank beyond the last bucket.
  if (passed < rank) return from_below ? found->upper : found->lower;
  rank = from_below ? rank - (passed - found->count) : passed - rank;
  const double fraction_in = rank / found->count;
  if (found->lower <= 0 && found->upper >= 0)
    return found->lower + (found->upper - found->lower) * fraction_in;
  const double low = std::log2(std::fabs(found->lower));
  const double high = std::log2(std::fabs(found->upper));
  if (found->lower > 0) return std::exp2(low + (high - low) * fraction_in);
  return -std::exp2(high + (low - high) * (1 - fraction_in));
}

double FloatHistogram::fraction(double lower, double upper) const {
  if (count == 0 || std::isnan(lower) || std::isnan(upper)) return std::nan("");
  if (lower >= upper) return 0;
  // What of one bucket lies at or below a bound, interpolated as in `quantile`.
  const auto below = [](const Shown& bucket, double bound) {
    if (bound >= bucket.upper) return bucket.count;
    if (bound <= bucket.lower) return 0.0;
    const double low = std::log2(std::fabs(bucket.lower));
    const double high = std::log2(std::fabs(bucket.upper));
    const double at = std::log2(std::fabs(bound));
    const double share =
        bucket.lower > 0 ? (at - low) / (high - low) : 1 - (at - high) / (low - high);
    return bucket.count * share;
  };
  double inside = 0;
  for (const Shown& bucket : shown()) {
    if (bucket.lower == 0 && bucket.upper == 0) {
      if (lower < 0 && upper >= 0) inside += bucket.count;
    } else {
      inside += below(bucket, upper) - below(bucket, lower);
    }
  }
  return inside / count;
}

double FloatHistogram::variance() const {
  if (count == 0) return std::nan("");
  const double mean = sum / count;
  double total = 0;
  for (const Shown& bucket : shown()) {
    const double distance = middle(bucket.lower, bucket.upper) - mean;
    total += bucket.count * distance * distance;
  }
  return total / count;
}

FloatHistogram difference(const telemetry::Histogram& later, const telemetry::Histogram& earlier) {
  FloatHistogram out;
  out.scale = std::min(later.scale, earlier.scale);
  out.count = static_cast<double>(later.count) - static_cast<double>(earlier.count);
  out.sum = later.sum - earlier.sum;
  out.zero_count = static_cast<double>(later.zero_count) - static_cast<double>(earlier.zero_count);
  out.positive = combine(copy_buckets(later.positive, later.scale - out.scale),
                         copy_buckets(earlier.positive, earlier.scale - out.scale), -1);
  out.negative = combine(copy_buckets(later.negative, later.scale - out.scale),
                         copy_buckets(earlier.negative, earlier.scale - out.scale), -1);
  return out;
}

bool was_reset(const telemetry::Histogram& later, const telemetry::Histogram& earlier) {
  if (later.count < earlier.count || later.zero_count < earlier.zero_count) return true;
  if (later.scale > earlier.scale) return true;
  if (later.scale == earlier.scale)
    return any_fell(later.positive, earlier.positive) || any_fell(later.negative, earlier.negative);
  const int32_t shift = earlier.scale - later.scale;
  return any_fell(copy_buckets(later.positive, 0), copy_buckets(earlier.positive, shift)) ||
         any_fell(copy_buckets(later.negative, 0), copy_buckets(earlier.negative, shift));
}

}  // namespace hms::collector::promql
