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

// left += sign * right without moving a bucket: what sums of like histograms mostly are. False:
// `left` lacks a bucket and is as it was.
bool add_in_place(Buckets& left, const Buckets& right, double sign) {
  size_t l = 0;
  for (const auto& bucket : right) {
    while (l < left.size() && left[l].index < bucket.index) ++l;
    if (l == left.size() || left[l].index != bucket.index) return false;
  }
  l = 0;
  bool emptied = false;
  for (const auto& bucket : right) {
    while (left[l].index < bucket.index) ++l;
    left[l].count += sign * bucket.count;
    emptied = emptied || left[l].count == 0;
  }
  if (emptied) std::erase_if(left, [](const auto& bucket) { return bucket.count == 0; });
  return true;
}

void add_buckets(Buckets& left, const Buckets& right, double sign) {
  if (!add_in_place(left, right, sign)) left = combine(left, right, sign);
}

// later - earlier of one scale, stored or computed.
template <class From>
Buckets subtracted(const From& later, const From& earlier) {
  Buckets out(later.size() + earlier.size());  // and cut to what is filled
  FloatHistogram::Bucket* next = out.data();
  const auto put = [&next](int32_t index, double count) {
    *next = {index, count};
    next += count != 0 ? 1 : 0;
  };
  size_t e = 0;
  for (const auto& bucket : later) {
    for (; e < earlier.size() && earlier[e].index < bucket.index; ++e)
      put(earlier[e].index, -static_cast<double>(earlier[e].count));
    const bool both = e < earlier.size() && earlier[e].index == bucket.index;
    const double before = both ? static_cast<double>(earlier[e++].count) : 0;
    put(bucket.index, static_cast<double>(bucket.count) - before);
  }
  for (; e < earlier.size(); ++e) put(earlier[e].index, -static_cast<double>(earlier[e].count));
  out.resize(static_cast<size_t>(next - out.data()));
  return out;
}

// Whether any bucket of `earlier` holds more than the same one of `later`, both brought to the
// coarser scale.
template <class Vector>
bool any_fell(const Vector& later, const Vector& earlier) {
  if (later.size() == earlier.size()) {  // mostly of the same buckets: then without a branch each
    bool same = true;
    bool fell = false;
    for (size_t i = 0; i < later.size(); ++i) {
      same &= later[i].index == earlier[i].index;
      fell |= later[i].count < earlier[i].count;
    }
    if (same) return fell;
  }
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
    add_buckets(positive, coarse.positive, sign);
    add_buckets(negative, coarse.negative, sign);
  } else {
    add_buckets(positive, other.positive, sign);
    add_buckets(negative, other.negative, sign);
  }
}

void FloatHistogram::multiply(double factor) {
  count *= factor;
  sum *= factor;
  zero_count *= factor;
  for (Bucket& bucket : positive) bucket.count *= factor;
  for (Bucket& bucket : negative) bucket.count *= factor;
}

size_t FloatHistogram::places() const noexcept { return negative.size() + 1 + positive.size(); }

double FloatHistogram::count_at(size_t place) const noexcept {
  if (place < negative.size()) return negative[negative.size() - 1 - place].count;
  return place == negative.size() ? zero_count : positive[place - negative.size() - 1].count;
}

FloatHistogram::Shown FloatHistogram::shown_at(size_t place) const noexcept {
  if (place == negative.size()) return {3, 0, 0, zero_count};
  if (place < negative.size()) {
    const Bucket& bucket = negative[negative.size() - 1 - place];
    return {1, -telemetry::bucket_upper_bound(bucket.index, scale),
            -telemetry::bucket_upper_bound(bucket.index - 1, scale), bucket.count};
  }
  const Bucket& bucket = positive[place - negative.size() - 1];
  return {0, telemetry::bucket_upper_bound(bucket.index - 1, scale),
          telemetry::bucket_upper_bound(bucket.index, scale), bucket.count};
}

std::vector<FloatHistogram::Shown> FloatHistogram::shown() const {
  std::vector<Shown> out;
  out.reserve(places());
  for (size_t place = 0; place < places(); ++place) {
    if (count_at(place) != 0) out.push_back(shown_at(place));
  }
  return out;
}

double FloatHistogram::quantile(double q) const {
  if (q < 0) return -std::numeric_limits<double>::infinity();
  if (q > 1) return std::numeric_limits<double>::infinity();
  if (count == 0 || std::isnan(q)) return std::nan("");
  // From the nearer end, so that rounding in the sums stays small.
  const bool from_below = std::isnan(sum) || q < 0.5;
  double rank = (from_below ? q : 1 - q) * count;
  double passed = 0;
  size_t last = places();  // the last one that has a count
  for (size_t i = 0; i < places(); ++i) {
    const size_t place = from_below ? i : places() - 1 - i;
    if (count_at(place) == 0) continue;
    last = place;
    passed += count_at(place);
    if (passed >= rank) break;
  }
  if (last == places()) return std::nan("");
  // Bounds are a power of two each: of this bucket only.
  const Shown found = shown_at(last);
  // Rounding may leave the rank beyond the last bucket.
  if (passed < rank) return from_below ? found.upper : found.lower;
  rank = from_below ? rank - (passed - found.count) : passed - rank;
  const double fraction_in = rank / found.count;
  if (found.lower <= 0 && found.upper >= 0)
    return found.lower + (found.upper - found.lower) * fraction_in;
  const double low = std::log2(std::fabs(found.lower));
  const double high = std::log2(std::fabs(found.upper));
  if (found.lower > 0) return std::exp2(low + (high - low) * fraction_in);
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
  if (later.scale == earlier.scale) {
    out.positive = subtracted(later.positive, earlier.positive);
    out.negative = subtracted(later.negative, earlier.negative);
  } else {
    out.positive = subtracted(copy_buckets(later.positive, later.scale - out.scale),
                              copy_buckets(earlier.positive, earlier.scale - out.scale));
    out.negative = subtracted(copy_buckets(later.negative, later.scale - out.scale),
                              copy_buckets(earlier.negative, earlier.scale - out.scale));
  }
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
