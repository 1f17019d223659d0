// float_histogram.h: an exponential histogram with real-valued counts: what rates, sums and
// averages of histograms are.
//
// Stored histograms (telemetry/histogram.h) have whole counts; as soon as PromQL divides by a time
// or scales, counts are real. Buckets are sparse, rising by index, (base^i, base^(i+1)] with base =
// 2^(2^-scale), as OpenTelemetry numbers them (Prometheus: i + 1). Thread: values, any. Source:
// prometheus/model/histogram/float_histogram.go for the arithmetic.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "telemetry/histogram.h"

namespace hms::collector::promql {

struct FloatHistogram {
  struct Bucket {
    int32_t index = 0;
    double count = 0;
    bool operator==(const Bucket&) const = default;
  };
  int32_t scale = telemetry::kScale;
  double count = 0;
  double sum = 0;
  double zero_count = 0;
  std::vector<Bucket> positive;
  std::vector<Bucket> negative;  // by absolute value

  FloatHistogram() = default;
  explicit FloatHistogram(const telemetry::Histogram& source);

  /// this += sign * other; the finer one is lowered to the other's scale first. Buckets that become
  /// 0 are removed.
  void add(const FloatHistogram& other, double sign = 1);
  void multiply(double factor);
  void lower_scale_to(int32_t scale);
  [[nodiscard]] bool operator==(const FloatHistogram&) const = default;

  /// One bucket as the query API shows it. `rule`: 0 (lower, upper], 1 [lower, upper), 2 both open,
  /// 3 both closed (the zero bucket).
  struct Shown {
    int rule = 0;
    double lower = 0, upper = 0, count = 0;
  };
  /// Rising by value: negative, zero, positive; empty buckets left out.
  [[nodiscard]] std::vector<Shown> shown() const;

  /// As PromQL's histogram_quantile on native histograms (exponential interpolation). NaN when
  /// empty.
  [[nodiscard]] double quantile(double q) const;
  /// The share of observations in (lower, upper]. NaN when empty or a bound is NaN.
  [[nodiscard]] double fraction(double lower, double upper) const;
  /// Estimated by the buckets' geometric middles.
  [[nodiscard]] double variance() const;

 private:
  // Places of all buckets, rising by value: negative ones, the zero bucket, positive ones.
  [[nodiscard]] size_t places() const noexcept;
  [[nodiscard]] double count_at(size_t place) const noexcept;
  [[nodiscard]] Shown shown_at(size_t place) const noexcept;
};
using FloatHistogramPtr = std::shared_ptr<const FloatHistogram>;

/// later - earlier of one cumulative histogram (no reset between them).
[[nodiscard]] FloatHistogram difference(const telemetry::Histogram& later,
                                        const telemetry::Histogram& earlier);
/// Whether a cumulative histogram started anew between the two readings (a count fell, or the scale
/// became finer).
[[nodiscard]] bool was_reset(const telemetry::Histogram& later,
                             const telemetry::Histogram& earlier);

}  // namespace hms::collector::promql
