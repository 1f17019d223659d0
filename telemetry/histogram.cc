// histogram.cc: bucket arithmetic, exact at every border.
//
// A border 2^(k/32) is irrational unless 32 divides k, so no double and no count of nanoseconds
// lies on it: comparing with the border rounded down decides "greater than" exactly. The two tables
// hold the 32 borders of one octave, scaled to the significand of a double (53 bits) and to a
// 64-bit number with its first bit set, computed with 80 digits. One octave of either is cut into
// 64 cells narrower than any bucket, so a cell holds at most one border: one look-up, one
// comparison. Quantiles follow Prometheus 3 (promql/quantile.go, histogramQuantile and
// histogramFraction for exponential buckets).
#include "telemetry/histogram.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

namespace hms::telemetry {
namespace {

constexpr int kPerOctave = 1 << kScale;

/// floor(2^(k/32) * 2^52).
constexpr std::array<uint64_t, 33> kMantissaBorders = {
    0x10000000000000ULL, 0x1059B0D3158574ULL, 0x10B5586CF9890FULL, 0x111301D0125B50ULL,
    0x1172B83C7D517AULL, 0x11D4873168B9AAULL, 0x12387A6E756238ULL, 0x129E9DF51FDEE1ULL,
    0x1306FE0A31B715ULL, 0x1371A7373AA9CAULL, 0x13DEA64C123422ULL, 0x144E086061892DULL,
    0x14BFDAD5362A27ULL, 0x15342B569D4F81ULL, 0x15AB07DD485429ULL, 0x16247EB03A5584ULL,
    0x16A09E667F3BCCULL, 0x171F75E8EC5F73ULL, 0x17A11473EB0186ULL, 0x182589994CCE12ULL,
    0x18ACE5422AA0DBULL, 0x193737B0CDC5E4ULL, 0x19C49182A3F090ULL, 0x1A5503B23E255CULL,
    0x1AE89F995AD3ADULL, 0x1B7F76F2FB5E46ULL, 0x1C199BDD85529CULL, 0x1CB720DCEF9069ULL,
    0x1D5818DCFBA487ULL, 0x1DFC97337B9B5EULL, 0x1EA4AFA2A490D9ULL, 0x1F50765B6E4540ULL,
    UINT64_MAX};
/// floor of 10^9 * 2^(k/32) scaled into [2^63, 2^64), rising: k = 4 .. 31, then 0 .. 3.
constexpr std::array<uint64_t, 33> kNanosBorders = {
    0x81FFA7A9549CA6E3ULL, 0x84D8626D3118D396ULL, 0x87C11235836D16A3ULL,
    0x8ABA10758E1EA3CFULL, 0x8DC3B8960164A7D9ULL, 0x90DE67FFF600044CULL,
    0x940A7E28259FB382ULL, 0x97485C9A622ADB60ULL, 0x9A9867054D512391ULL,
    0x9DFB034651C99C68ULL, 0xA1709975DFB06757ULL, 0xA4F993F3ED7B61CAULL,
    0xA8965F74BF065071ULL, 0xAC476B0DF43F745FULL, 0xB00D2843E1060DC2ULL,
    0xB3E80B172FD51AF7ULL, 0xB7D88A12D0DD9EA0ULL, 0xBBDF1E5A373CE5C6ULL,
    0xBFFC43B7E604A922ULL, 0xC43078AC4ED47AE7ULL, 0xC87C3E7D03CDBEC3ULL,
    0xCCE019443EB56CE4ULL, 0xD15C9000BF211C1FULL, 0xD5F22CA6019743E0ULL,
    0xDAA17C2CD19555DBULL, 0xDF6B0EA438793A89ULL, 0xE44F7742CB56E3DDULL,
    0xE94F4C7859CE1066ULL, 0xEE6B280000000000ULL, 0xF3A3A6F29DD0C333ULL,
    0xF8F969D9B5ABF948ULL, 0xFE6D14C2B5114024ULL, UINT64_MAX};
/// How many borders lie below the first value of each of the 64 cells of an octave; `first` is the
/// octave's first value.
constexpr std::array<uint8_t, 64> count_below_cells(const std::array<uint64_t, 33>& borders,
                                                    uint64_t first, int cell_bits) {
  std::array<uint8_t, 64> below{};
  for (uint64_t cell = 0; cell < 64; ++cell) {
    const uint64_t begin = first + (cell << cell_bits);
    uint8_t count = 0;
    while (count < 32 && borders[count] < begin) ++count;
    below[cell] = count;
    if (count < 31 && borders[count + 1] < begin + (1ULL << cell_bits) - 1)
      throw "two borders in one cell";
  }
  return below;
}
constexpr auto kMantissaCells = count_below_cells(kMantissaBorders, 1ULL << 52, 46);
constexpr auto kNanosCells = count_below_cells(kNanosBorders, 1ULL << 63, 57);

double middle_of(double low, double high) { return std::sqrt(low) * std::sqrt(high); }

using Buckets = std::vector<Histogram::Bucket>;

void add_to(Buckets& buckets, int32_t index, uint64_t count) {
  if (count == 0) return;
  auto at = std::lower_bound(buckets.begin(), buckets.end(), index,
                             [](const Histogram::Bucket& b, int32_t i) { return b.index < i; });
  if (at != buckets.end() && at->index == index) {
    at->count += count;
  } else {
    buckets.insert(at, {index, count});
  }
}

Buckets merged(const Buckets& left, const Buckets& right) {
  Buckets out;
  out.reserve(left.size() + right.size());
  auto l = left.begin(), r = right.begin();
  while (l != left.end() || r != right.end()) {
    if (r == right.end() || (l != left.end() && l->index < r->index)) {
      out.push_back(*l++);
    } else if (l == left.end() || r->index < l->index) {
      out.push_back(*r++);
    } else {
      out.push_back({l->index, l->count + r->count});
      ++l, ++r;
    }
  }
  return out;
}

/// False if a bucket of `part` is not covered.
bool subtract_from(Buckets& whole, const Buckets& part) {
  auto w = whole.begin();
  for (const auto& bucket : part) {
    if (bucket.count == 0) continue;
    while (w != whole.end() && w->index < bucket.index) ++w;
    if (w == whole.end() || w->index != bucket.index || w->count < bucket.count) return false;
    w->count -= bucket.count;
  }
  std::erase_if(whole, [](const Histogram::Bucket& b) { return b.count == 0; });
  return true;
}

void shift_indices(Buckets& buckets, int shift) {
  Buckets out;
  out.reserve(buckets.size());
  for (const auto& bucket : buckets) {
    const int32_t index = shift > 31 ? (bucket.index < 0 ? -1 : 0)
                                     : static_cast<int32_t>(bucket.index >> std::min(shift, 31));
    if (!out.empty() && out.back().index == index) {
      out.back().count += bucket.count;
    } else {
      out.push_back({index, bucket.count});
    }
  }
  buckets = std::move(out);
}

/// One bucket as quantile and fraction see it; zero and negative ones included.
struct Span {
  double lower, upper;
  uint64_t count;
};

/// Calls `visit` for each bucket in rising order of value until it returns false.
template <class Visit>
void for_each_rising(const Histogram& h, Visit visit) {
  for (auto b = h.negative.rbegin(); b != h.negative.rend(); ++b) {
    if (!visit(Span{-bucket_upper_bound(b->index, h.scale),
                    -bucket_upper_bound(b->index - 1, h.scale), b->count}))
      return;
  }
  if (h.zero_count > 0 && !visit(Span{0, 0, h.zero_count})) return;
  for (const auto& b : h.positive) {
    if (!visit(Span{bucket_upper_bound(b.index - 1, h.scale), bucket_upper_bound(b.index, h.scale),
                    b.count}))
      return;
  }
}

template <class Visit>
void for_each_falling(const Histogram& h, Visit visit) {
  for (auto b = h.positive.rbegin(); b != h.positive.rend(); ++b) {
    if (!visit(Span{bucket_upper_bound(b->index - 1, h.scale),
                    bucket_upper_bound(b->index, h.scale), b->count}))
      return;
  }
  if (h.zero_count > 0 && !visit(Span{0, 0, h.zero_count})) return;
  for (const auto& b : h.negative) {
    if (!visit(Span{-bucket_upper_bound(b.index, h.scale),
                    -bucket_upper_bound(b.index - 1, h.scale), b.count}))
      return;
  }
}

/// The value `fraction` of the way through a bucket, on the exponential scale.
double value_within(const Span& bucket, double fraction) {
  if (bucket.lower <= 0 && bucket.upper >= 0)
    return bucket.lower + (bucket.upper - bucket.lower) * fraction;
  const double log_lower = std::log2(std::fabs(bucket.lower)),
               log_upper = std::log2(std::fabs(bucket.upper));
  if (bucket.lower > 0) return std::exp2(log_lower + (log_upper - log_lower) * fraction);
  return -std::exp2(log_upper + (log_lower - log_upper) * (1 - fraction));
}

/// Which share of a bucket lies at or below `bound`, lower < bound < upper.
double share_within(const Span& bucket, double bound) {
  if (bucket.lower <= 0 && bucket.upper >= 0)
    return (bound - bucket.lower) / (bucket.upper - bucket.lower);
  const double log_lower = std::log2(std::fabs(bucket.lower)),
               log_upper = std::log2(std::fabs(bucket.upper));
  const double log_bound = std::log2(std::fabs(bound));
  if (bucket.lower > 0) return (log_bound - log_lower) / (log_upper - log_lower);
  return 1 - (log_bound - log_upper) / (log_lower - log_upper);
}

}  // namespace

int bucket_index(double seconds) noexcept {
  if (!(seconds > 0)) return kMinIndex;
  if (std::isinf(seconds)) return kMaxIndex;
  int exponent = 0;
  const double half = std::frexp(seconds, &exponent);  // [0.5, 1)
  const auto significand = static_cast<uint64_t>(half * 0x1p53);
  const size_t guess = kMantissaCells[(significand >> 46) & 63];
  const int count = static_cast<int>(guess) + (significand > kMantissaBorders[guess] ? 1 : 0);
  return std::clamp((exponent - 1) * kPerOctave + count - 1, kMinIndex, kMaxIndex);
}

int bucket_index_nanos(uint64_t nanos) noexcept {
  if (nanos == 0) return kMinIndex;
  const int zeros = std::countl_zero(nanos);
  const uint64_t normal = nanos << zeros;
  const size_t guess = kNanosCells[(normal >> 57) & 63];
  const int count = static_cast<int>(guess) + (normal > kNanosBorders[guess] ? 1 : 0);
  // The first border of the octave [2^30, 2^31) ns is k = 4, one bucket above 10^9 ns = 2^0 s.
  return std::min((63 - zeros - 30) * kPerOctave + 3 + count, kMaxIndex);
}

double bucket_upper_bound(int index, int scale) noexcept {
  const int64_t next = static_cast<int64_t>(index) + 1;
  int64_t octave;
  double significand;
  if (scale <= 0) {
    if (scale < -40) return next <= 0 ? (next == 0 ? 1 : 0) : std::numeric_limits<double>::max();
    octave = next * (int64_t{1} << -scale);
    significand = 1;
  } else {
    octave = next >> std::min(scale, 62);
    const int64_t rest = scale > 31 ? 0 : next - (octave << scale);
    // Up to scale 5 the bound is the very border that bucket_index compares with.
    significand =
        scale <= kScale
            ? static_cast<double>(kMantissaBorders[static_cast<size_t>(rest << (kScale - scale))]) *
                  0x1p-52
            : std::exp2(std::ldexp(static_cast<double>(rest), -scale));
  }
  const int exponent = static_cast<int>(std::clamp<int64_t>(octave, -2000, 2000));
  // The widest finite number stands in for infinity, so that interpolation stays a number.
  return std::min(std::ldexp(significand, exponent), std::numeric_limits<double>::max());
}

void Histogram::record(double value) {
  if (!std::isfinite(value)) return;
  if (scale > kScale) lower_scale_to(kScale);
  if (value < 0) value = 0;
  if (value == 0) {
    ++zero_count;
  } else {
    const int shift = kScale - scale;
    add_to(positive, shift > 31 ? (value <= 1 ? -1 : 0) : bucket_index(value) >> shift, 1);
  }
  if (count == 0 || (has_min_max && value < min)) min = value;
  if (count == 0 || (has_min_max && value > max)) max = value;
  if (count == 0) has_min_max = true;
  ++count;
  sum += value;
}

void Histogram::lower_scale_to(int32_t lower) {
  if (lower >= scale) return;
  const int64_t shift = static_cast<int64_t>(scale) - lower;
  shift_indices(positive, static_cast<int>(std::min<int64_t>(shift, 32)));
  shift_indices(negative, static_cast<int>(std::min<int64_t>(shift, 32)));
  scale = lower;
}

void Histogram::merge(const Histogram& other) {
  if (other.count == 0 && other.positive.empty() && other.negative.empty()) return;
  if (other.scale > scale) {
    Histogram lowered = other;
    lowered.lower_scale_to(scale);
    return merge(lowered);
  }
  lower_scale_to(other.scale);
  if (count == 0) {
    min = other.min, max = other.max, has_min_max = other.has_min_max;
  } else if (has_min_max && other.has_min_max) {
    min = std::min(min, other.min), max = std::max(max, other.max);
  } else {
    has_min_max = false, min = max = 0;
  }
  positive = merged(positive, other.positive);
  negative = merged(negative, other.negative);
  count += other.count;
  zero_count += other.zero_count;
  sum += other.sum;
}

bool Histogram::subtract(const Histogram& earlier) {
  if (earlier.count > count || earlier.zero_count > zero_count) return false;
  Histogram rest = *this, part = earlier;
  rest.lower_scale_to(part.scale);
  part.lower_scale_to(rest.scale);
  if (!subtract_from(rest.positive, part.positive) || !subtract_from(rest.negative, part.negative))
    return false;
  rest.count -= part.count;
  rest.zero_count -= part.zero_count;
  rest.sum -= part.sum;
  rest.min = rest.max = 0,
  rest.has_min_max = false;  // the extremes of the difference are not known
  *this = std::move(rest);
  return true;
}

double Histogram::quantile(double q) const noexcept {
  if (std::isnan(q)) return q;
  if (q < 0) return -std::numeric_limits<double>::infinity();
  if (q > 1) return std::numeric_limits<double>::infinity();
  if (count == 0) return std::numeric_limits<double>::quiet_NaN();
  const auto total = static_cast<double>(count);
  const bool forward = std::isnan(sum) || q < 0.5;  // from the nearer end, for precision
  double rank = (forward ? q : 1 - q) * total;
  double seen = 0;
  Span hit{0, 0, 0};
  const auto visit = [&](const Span& bucket) {
    if (bucket.count == 0) return true;
    hit = bucket;
    seen += static_cast<double>(bucket.count);
    return seen < rank;
  };
  if (forward) {
    for_each_rising(*this, visit);
  } else {
    for_each_falling(*this, visit);
  }
  if (hit.count == 0) return std::numeric_limits<double>::quiet_NaN();  // a count without buckets
  seen = std::min(seen, total);
  if (seen < rank)
    return forward ? hit.upper : hit.lower;  // fewer in the buckets than `count` says
  const auto in_bucket = static_cast<double>(hit.count);
  rank = forward ? rank - (seen - in_bucket) : seen - rank;
  return value_within(hit, std::clamp(rank / in_bucket, 0.0, 1.0));
}

double Histogram::fraction_below(double bound) const noexcept {
  if (count == 0 || std::isnan(bound)) return std::numeric_limits<double>::quiet_NaN();
  double below = 0;
  for_each_rising(*this, [&](const Span& bucket) {
    if (bucket.upper <= bound) {
      below += static_cast<double>(bucket.count);
      return true;
    }
    if (bucket.lower < bound)
      below += static_cast<double>(bucket.count) * share_within(bucket, bound);
    return false;
  });
  return std::min(below / static_cast<double>(count), 1.0);
}

Histogram from_explicit_bounds(std::span<const double> bounds, std::span<const uint64_t> counts,
                               double sum) {
  Histogram out;
  out.sum = sum;
  for (size_t i = 0; i < counts.size() && i <= bounds.size(); ++i) {
    if (counts[i] == 0) continue;
    out.count += counts[i];
    const bool first = i == 0, last = i == bounds.size();
    double value;
    if (first && last) {
      value = 0;  // no bounds at all: only the mean is known, below
    } else if (last) {
      value = bounds[i - 1];
      if (value >= 0) value = std::nextafter(value, std::numeric_limits<double>::infinity());
    } else if (first) {
      value = bounds[0] > 0 ? bounds[0] / 2 : bounds[0];  // durations and sizes begin at zero
    } else if (bounds[i - 1] >= 0) {
      value = bounds[i - 1] == 0 ? bounds[i] / 2 : middle_of(bounds[i - 1], bounds[i]);
    } else if (bounds[i] <= 0) {
      value = bounds[i] == 0 ? bounds[i - 1] / 2 : -middle_of(-bounds[i - 1], -bounds[i]);
    } else {
      value = 0;
    }
    if (first && last && std::isfinite(sum)) value = sum / static_cast<double>(counts[i]);
    if (value > 0) {
      add_to(out.positive, bucket_index(value), counts[i]);
    } else if (value < 0) {
      add_to(out.negative, bucket_index(-value), counts[i]);
    } else {
      out.zero_count += counts[i];
    }
  }
  return out;
}

// === DenseHistogram ===

void DenseHistogram::record_nanos(uint64_t nanos) noexcept {
  if (count_ == 0) {
    min_nanos_ = max_nanos_ = nanos;
  } else {
    min_nanos_ = std::min(min_nanos_, nanos);
    max_nanos_ = std::max(max_nanos_, nanos);
  }
  ++count_;
  if (__builtin_add_overflow(sum_nanos_, nanos, &sum_nanos_)) sum_nanos_ = UINT64_MAX;
  if (nanos == 0) {
    ++zero_count_;
    return;
  }
  const int index = bucket_index_nanos(nanos);
  auto offset = static_cast<size_t>(static_cast<ptrdiff_t>(index - first_index_));
  if (offset >= counts_.size()) [[unlikely]] {
    grow_to(index);
    offset = static_cast<size_t>(index - first_index_);
  }
  ++counts_[offset];
}

void DenseHistogram::grow_to(int index) {
  constexpr int kStep = kPerOctave;  // whole octaves, so that a window settles after a few growths
  const int low = index & ~(kStep - 1), high = low + kStep;
  if (counts_.empty()) {
    first_index_ = low;
    counts_.resize(kStep);
    return;
  }
  const int old_end = first_index_ + static_cast<int>(counts_.size());
  const int begin = std::min(low, static_cast<int>(first_index_)), end = std::max(high, old_end);
  std::vector<uint32_t> wider(static_cast<size_t>(end - begin));
  std::copy(counts_.begin(), counts_.end(), wider.begin() + (first_index_ - begin));
  counts_ = std::move(wider);
  first_index_ = begin;
}

Histogram DenseHistogram::snapshot() const {
  Histogram out;
  out.count = count_;
  out.zero_count = zero_count_;
  out.sum = static_cast<double>(sum_nanos_) / 1e9;
  if (count_ > 0) {
    out.has_min_max = true;
    out.min = static_cast<double>(min_nanos_) / 1e9;
    out.max = static_cast<double>(max_nanos_) / 1e9;
  }
  const auto filled =
      std::count_if(counts_.begin(), counts_.end(), [](uint32_t c) { return c != 0; });
  out.positive.reserve(static_cast<size_t>(filled));
  for (size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] != 0)
      out.positive.push_back({first_index_ + static_cast<int32_t>(i), counts_[i]});
  }
  return out;
}

void DenseHistogram::clear() noexcept {
  std::fill(counts_.begin(), counts_.end(), 0U);
  count_ = zero_count_ = sum_nanos_ = min_nanos_ = max_nanos_ = 0;
}

}  // namespace hms::telemetry
