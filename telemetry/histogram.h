// histogram.h: OpenTelemetry base-2 exponential histograms at one fixed scale, the same from the
// data path to the lake.
//
// Scale 5: base = 2^(1/32), bucket i holds (base^i, base^(i+1)]; half width / midpoint = 1.08 %.
// Merging is adding counts. Values are seconds as doubles outside; the hot path records
// nanoseconds. Zero and negative durations go to the zero bucket. Range kept: 1 ns .. 2^17 s (36
// h); values beyond are clamped to the last bucket and still counted in `sum`. Thread: one owner.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hms::telemetry {

inline constexpr int kScale = 5;
inline constexpr int kMinIndex = -960;  // 2^-30 s, just below 1 ns
inline constexpr int kMaxIndex = 543;   // up to 2^17 s

/// Bucket index of a duration in seconds, > 0.
[[nodiscard]] int bucket_index(double seconds) noexcept;
/// The same from nanoseconds, without a logarithm: leading bits and a table. Agrees with
/// `bucket_index`. About 2 ns.
[[nodiscard]] int bucket_index_nanos(uint64_t nanos) noexcept;
/// Upper bound of bucket `index` in seconds at `scale`: 2^((index + 1) / 2^scale).
[[nodiscard]] double bucket_upper_bound(int index, int scale = kScale) noexcept;

/// Exponential histogram, sparse: (index, count) pairs in rising order. What is encoded, stored,
/// merged and queried.
struct Histogram {
  struct Bucket {
    int32_t index;
    uint64_t count;
    bool operator==(const Bucket&) const = default;
  };
  int32_t scale = kScale;
  uint64_t count = 0;
  double sum = 0;
  uint64_t zero_count = 0;
  double min = 0, max = 0;  // valid when count > 0 and has_min_max
  bool has_min_max = false;
  std::vector<Bucket> positive;
  std::vector<Bucket> negative;  // by absolute value

  void record(double value);
  /// Adds `other`, lowering the finer one's scale first if they differ (exact: bucket pairs merge).
  void merge(const Histogram& other);
  /// This minus an earlier reading of the same cumulative histogram. False if `earlier` is not a
  /// part of it (a reset).
  bool subtract(const Histogram& earlier);
  void lower_scale_to(int32_t scale);
  /// The q-quantile, interpolated within its bucket on the exponential scale as Prometheus does for
  /// native histograms. NaN when empty.
  [[nodiscard]] double quantile(double q) const noexcept;
  /// The share of observations at or below `bound`. NaN when empty.
  [[nodiscard]] double fraction_below(double bound) const noexcept;
  bool operator==(const Histogram&) const = default;
};

/// Made of explicit bucket counts (OTLP Histogram, Prometheus classic): each count is put at its
/// bucket's geometric middle. Lossy; marked by the caller.
[[nodiscard]] Histogram from_explicit_bounds(std::span<const double> bounds,
                                             std::span<const uint64_t> counts, double sum);

/// The hot path's form: one dense window of 32-bit counts that grows to the range seen. Steady
/// state: no allocation.
class DenseHistogram {
 public:
  void record_nanos(uint64_t nanos) noexcept;  // allocates only when the window must grow
  [[nodiscard]] uint64_t count() const noexcept { return count_; }
  [[nodiscard]] Histogram snapshot() const;
  void clear() noexcept;  // keeps the window

 private:
  void grow_to(int index);
  std::vector<uint32_t>
      counts_;  // at most 4.29e9 a bucket between two `clear`s, which come once a second
  int32_t first_index_ = 0;
  uint64_t count_ = 0;
  uint64_t zero_count_ = 0;
  uint64_t sum_nanos_ = 0;
  uint64_t min_nanos_ = 0, max_nanos_ = 0;
};

}  // namespace hms::telemetry
