#include "telemetry/histogram.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

using namespace hms::telemetry;

namespace {

Histogram of(std::initializer_list<double> values) {
  Histogram histogram;
  for (const double value : values) histogram.record(value);
  return histogram;
}

uint64_t total(const Histogram& histogram) {
  uint64_t count = histogram.zero_count;
  for (const auto& bucket : histogram.positive) count += bucket.count;
  for (const auto& bucket : histogram.negative) count += bucket.count;
  return count;
}

}  // namespace

TEST_CASE("histogram: a power of two is the upper bound of the lower bucket") {
  for (int power = -29; power <= 17; ++power) {
    const double border = std::ldexp(1.0, power);
    CAPTURE(power);
    CHECK(bucket_index(border) == power * 32 - 1);
    if (power < 17) CHECK(bucket_index(std::nextafter(border, 1e9)) == power * 32);
    CHECK(bucket_index(std::nextafter(border, 0)) == power * 32 - 1);
  }
}

TEST_CASE("histogram: each upper bound lies in its bucket, the next double in the next") {
  for (int index = kMinIndex; index < kMaxIndex; ++index) {
    const double bound = bucket_upper_bound(index);
    CAPTURE(index);
    CHECK(bucket_index(bound) == index);
    CHECK(bucket_index(std::nextafter(bound, 1e9)) == index + 1);
    CHECK(bound == doctest::Approx(std::exp2((index + 1) / 32.0)).epsilon(1e-15));
  }
}

TEST_CASE(
    "histogram: the nanosecond index agrees with the double one on both sides of every border") {
  for (int index = kMinIndex; index <= kMaxIndex; ++index) {
    const auto near = static_cast<uint64_t>(bucket_upper_bound(index) * 1e9);
    for (uint64_t nanos = near > 2 ? near - 2 : 1; nanos <= near + 2; ++nanos) {
      CAPTURE(nanos);
      CHECK(bucket_index_nanos(nanos) == bucket_index(static_cast<double>(nanos) / 1e9));
    }
  }
}

TEST_CASE(
    "histogram: the nanosecond index agrees with the double one for random values of every size") {
  std::mt19937_64 random(20261122);
  for (int i = 0; i < 1'000'000; ++i) {
    const uint64_t nanos = (random() >> (random() % 64)) | 1;
    REQUIRE(bucket_index_nanos(nanos) == bucket_index(static_cast<double>(nanos) / 1e9));
  }
  for (uint64_t nanos = 1; nanos < 20'000; ++nanos) {
    REQUIRE(bucket_index_nanos(nanos) == bucket_index(static_cast<double>(nanos) / 1e9));
  }
}

TEST_CASE("histogram: values beyond the range are clamped, never lost") {
  CHECK(bucket_index(1e-30) == kMinIndex);
  CHECK(bucket_index(5e-324) == kMinIndex);
  CHECK(bucket_index(1e30) == kMaxIndex);
  CHECK(bucket_index(std::numeric_limits<double>::infinity()) == kMaxIndex);
  CHECK(bucket_index_nanos(std::numeric_limits<uint64_t>::max()) == kMaxIndex);
  CHECK(bucket_upper_bound(kMaxIndex) == 131'072.0);
  Histogram histogram = of({1e30});
  CHECK(histogram.count == 1);
  CHECK(histogram.sum == 1e30);
}

TEST_CASE(
    "histogram: zero and negative durations go to the zero bucket, NaN and infinity nowhere") {
  Histogram histogram = of({0, -1, 1, std::nan(""), std::numeric_limits<double>::infinity()});
  CHECK(histogram.count == 3);
  CHECK(histogram.zero_count == 2);
  CHECK(histogram.sum == 1);
  CHECK(histogram.min == 0);
  CHECK(histogram.max == 1);
}

TEST_CASE("histogram: upper bounds at other scales") {
  CHECK(bucket_upper_bound(0, 0) == 2);
  CHECK(bucket_upper_bound(-1, 0) == 1);
  CHECK(bucket_upper_bound(0, -1) == 4);
  CHECK(bucket_upper_bound(-2, -1) == 0.25);
  CHECK(bucket_upper_bound(3, 2) == 2);
  CHECK(bucket_upper_bound(0, 20) == doctest::Approx(std::exp2(1.0 / 1048576)));
  CHECK(std::isfinite(bucket_upper_bound(std::numeric_limits<int>::max(), 5)));
  CHECK(bucket_upper_bound(std::numeric_limits<int>::min(), 5) == 0);
  CHECK(std::isfinite(bucket_upper_bound(0, -11)));
}

TEST_CASE("histogram: merging equals recording everything in one") {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> latency(-5, 1.5);
  Histogram all, left, right;
  for (int i = 0; i < 5'000; ++i) {
    const double value = i % 50 == 0 ? 0 : latency(random);
    all.record(value);
    (i % 3 == 0 ? left : right).record(value);
  }
  left.merge(right);
  CHECK(left.sum == doctest::Approx(all.sum));
  left.sum = all.sum;
  CHECK(left == all);
  CHECK(total(left) == left.count);
}

TEST_CASE(
    "histogram: merging into an empty one keeps minimum and maximum, and an empty one changes "
    "nothing") {
  Histogram empty, some = of({0.5, 2});
  Histogram into = empty;
  into.merge(some);
  CHECK(into == some);
  some.merge(empty);
  CHECK(into == some);
}

TEST_CASE("histogram: lowering the scale merges pairs exactly, negative indices included") {
  Histogram fine;
  for (int index = -5; index <= 4; ++index)
    fine.positive.push_back({index, static_cast<uint64_t>(10 + index)});
  for (const auto& bucket : fine.positive) fine.count += bucket.count;
  Histogram coarse = fine;
  coarse.lower_scale_to(4);
  CHECK(coarse.scale == 4);
  const std::vector<Histogram::Bucket> expected = {{-3, 5},      {-2, 6 + 7},  {-1, 8 + 9},
                                                   {0, 10 + 11}, {1, 12 + 13}, {2, 14}};
  CHECK(coarse.positive == expected);
  CHECK(total(coarse) == fine.count);
  coarse.lower_scale_to(-10);
  CHECK(coarse.positive ==
        std::vector<Histogram::Bucket>{{-1, 5 + 6 + 7 + 8 + 9}, {0, 10 + 11 + 12 + 13 + 14}});
}

TEST_CASE("histogram: merging different scales ends at the coarser one, whichever side it is on") {
  Histogram fine = of({0.001, 0.0011, 3}), coarse = of({0.01, 7});
  coarse.lower_scale_to(2);
  Histogram one = fine, two = coarse;
  one.merge(coarse);
  two.merge(fine);
  CHECK(one.scale == 2);
  CHECK(one.positive == two.positive);
  CHECK(one.count == 5);
  one.record(0.0012);
  CHECK(total(one) == 6);
  CHECK(one.scale == 2);
}

TEST_CASE("histogram: subtracting an earlier reading gives what came between") {
  Histogram earlier = of({0.1, 0.2, 0});
  Histogram later = earlier, between = of({0.2, 5, 0});
  later.merge(between);
  REQUIRE(later.subtract(earlier));
  CHECK(later.positive == between.positive);
  CHECK(later.count == 3);
  CHECK(later.zero_count == 1);
  CHECK(later.sum == doctest::Approx(5.2));
  CHECK_FALSE(later.has_min_max);
}

TEST_CASE("histogram: a reset is seen and leaves the histogram as it was") {
  const Histogram earlier = of({0.1, 0.2, 0.3});
  Histogram restarted = of({0.1, 0.1, 0.1, 0.1});
  const Histogram before = restarted;
  CHECK_FALSE(restarted.subtract(earlier));
  CHECK(restarted == before);
}

TEST_CASE("histogram: quantiles interpolate exponentially within a bucket, as Prometheus 3 does") {
  // schema 0: buckets (1, 2] and (2, 4], four in each. promql/testdata/native_histograms.test has
  // the same arithmetic.
  Histogram histogram;
  histogram.scale = 0;
  histogram.positive = {{0, 4}, {1, 4}};
  histogram.count = 8;
  CHECK(histogram.quantile(0.25) == doctest::Approx(std::exp2(0.5)));
  CHECK(histogram.quantile(0.5) == doctest::Approx(2));
  CHECK(histogram.quantile(0.75) == doctest::Approx(std::exp2(1.5)));
  CHECK(histogram.quantile(1) == doctest::Approx(4));
  CHECK(histogram.quantile(0) == doctest::Approx(1));
}

TEST_CASE("histogram: quantiles out of range and of nothing, as Prometheus answers them") {
  Histogram histogram;
  CHECK(std::isnan(histogram.quantile(0.5)));
  CHECK(histogram.quantile(-0.1) == -std::numeric_limits<double>::infinity());
  CHECK(histogram.quantile(1.1) == std::numeric_limits<double>::infinity());
  CHECK(std::isnan(of({1}).quantile(std::nan(""))));
}

TEST_CASE("histogram: a quantile in the zero bucket is zero") {
  const Histogram histogram = of({0, 0, 0, 1});
  CHECK(histogram.quantile(0.5) == 0);
  CHECK(histogram.quantile(0.74) == 0);
  CHECK(histogram.quantile(0.76) > 0.97);
}

TEST_CASE("histogram: negative buckets mirror the positive ones") {
  Histogram histogram;
  histogram.scale = 0;
  histogram.negative = {{0, 4}, {1, 4}};  // [-2, -1) and [-4, -2)
  histogram.count = 8;
  CHECK(histogram.quantile(0) == doctest::Approx(-4));
  CHECK(histogram.quantile(0.25) == doctest::Approx(-std::exp2(1.5)));
  CHECK(histogram.quantile(0.75) == doctest::Approx(-std::exp2(0.5)));
  CHECK(histogram.fraction_below(-2) == doctest::Approx(0.5));
  CHECK(histogram.fraction_below(0) == 1);
}

TEST_CASE("histogram: quantiles of recorded values are within the scale's error") {
  std::mt19937_64 random(3);
  std::lognormal_distribution<double> latency(-4, 1);
  std::vector<double> values(20'001);
  Histogram histogram;
  for (double& value : values) histogram.record(value = latency(random));
  std::sort(values.begin(), values.end());
  for (const double q : {0.01, 0.1, 0.5, 0.9, 0.99, 0.999}) {
    const double exact = values[static_cast<size_t>(q * 20'000)];
    CAPTURE(q);
    CHECK(std::fabs(histogram.quantile(q) / exact - 1) < 0.022);  // one bucket's width
  }
}

TEST_CASE("histogram: the fraction below a bound is exact at borders and interpolated between") {
  Histogram histogram;
  histogram.scale = 0;
  histogram.zero_count = 2;
  histogram.positive = {{0, 4}, {1, 4}};
  histogram.count = 10;
  CHECK(histogram.fraction_below(-1) == 0);
  CHECK(histogram.fraction_below(0) == doctest::Approx(0.2));
  CHECK(histogram.fraction_below(1) == doctest::Approx(0.2));
  CHECK(histogram.fraction_below(std::exp2(0.5)) == doctest::Approx(0.4));
  CHECK(histogram.fraction_below(2) == doctest::Approx(0.6));
  CHECK(histogram.fraction_below(100) == 1);
  CHECK(std::isnan(Histogram().fraction_below(1)));
  CHECK(histogram.fraction_below(std::numeric_limits<double>::infinity()) == 1);
}

TEST_CASE("histogram: explicit bounds keep every count on its side of each bound") {
  const std::vector<double> bounds = {0.1, 0.5, 1, 5};
  const std::vector<uint64_t> counts = {10, 20, 30, 40, 5};
  const Histogram histogram = from_explicit_bounds(bounds, counts, 123);
  CHECK(histogram.count == 105);
  CHECK(total(histogram) == 105);
  CHECK(histogram.sum == 123);
  CHECK(histogram.fraction_below(0.1) == doctest::Approx(10.0 / 105));
  CHECK(histogram.fraction_below(0.5) == doctest::Approx(30.0 / 105));
  CHECK(histogram.fraction_below(1) == doctest::Approx(60.0 / 105));
  CHECK(
      histogram.quantile(1) ==
      doctest::Approx(5).epsilon(0.03));  // what lies beyond the last bound is told as just past it
}

TEST_CASE("histogram: explicit bounds below zero, and none at all") {
  const std::vector<double> bounds = {-10, 0, 10};
  const std::vector<uint64_t> counts = {1, 2, 3, 4};
  const Histogram histogram = from_explicit_bounds(bounds, counts, 0);
  CHECK(total(histogram) == 10);
  CHECK(histogram.negative.size() == 2);
  const std::vector<uint64_t> only = {8};
  const Histogram mean = from_explicit_bounds({}, only, 16);
  CHECK(mean.quantile(0.5) == doctest::Approx(2).epsilon(0.03));
}

TEST_CASE("dense histogram: a snapshot equals the sparse one recorded from seconds") {
  std::mt19937_64 random(11);
  DenseHistogram dense;
  Histogram sparse;
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t nanos = i % 100 == 0 ? 0 : random() >> (24 + random() % 30);
    dense.record_nanos(nanos);
    sparse.record(static_cast<double>(nanos) / 1e9);
  }
  const Histogram snapshot = dense.snapshot();
  CHECK(snapshot.sum == doctest::Approx(sparse.sum));
  sparse.sum = snapshot.sum;
  CHECK(snapshot == sparse);
}

TEST_CASE("dense histogram: clear starts afresh and keeps working over the whole range") {
  DenseHistogram dense;
  for (const uint64_t nanos :
       {uint64_t{1}, uint64_t{1'000'000'000}, std::numeric_limits<uint64_t>::max()})
    dense.record_nanos(nanos);
  CHECK(dense.count() == 3);
  dense.clear();
  CHECK(dense.count() == 0);
  CHECK(dense.snapshot() == Histogram());
  dense.record_nanos(5);
  CHECK(dense.snapshot().count == 1);
  CHECK(dense.snapshot().positive.size() == 1);
}
