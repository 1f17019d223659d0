// Packed chunks against a plain list of points, and thinned points against all of them.
#include "collector/store/series_packed.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "collector/store/series_head.h"
#include "collector/store/series_rollup.h"
#include "collector/store/series_thinning.h"

using namespace hms::collector;
using hms::telemetry::Histogram;

namespace {

constexpr int64_t kBegin = 20'000 * int64_t{86'400'000};

PointColumns unpacked(const std::vector<std::string>& parts, int64_t start = INT64_MIN,
                      int64_t end = INT64_MAX) {
  PointColumns out;
  for (const std::string& part : parts)
    REQUIRE(unpack_points(part, {start, end, {}}, out.samples, out.histograms).ok());
  return out;
}

size_t check(const PointColumns& points) {
  PointPacker packer;
  packer.add(points);
  CHECK(packer.points() == points.samples.size() + points.histograms.size());
  const std::vector<std::string> parts = packer.take();
  const PointColumns read = unpacked(parts);
  REQUIRE(read.samples.size() == points.samples.size());
  for (size_t i = 0; i < read.samples.size(); ++i) {
    REQUIRE(read.samples[i].t_millis == points.samples[i].t_millis);
    REQUIRE(std::bit_cast<uint64_t>(read.samples[i].value) ==
            std::bit_cast<uint64_t>(points.samples[i].value));
  }
  REQUIRE(read.histograms.size() == points.histograms.size());
  for (size_t i = 0; i < read.histograms.size(); ++i) {
    REQUIRE(read.histograms[i].t_millis == points.histograms[i].t_millis);
    REQUIRE(*read.histograms[i].value == *points.histograms[i].value);
  }
  size_t bytes = 0;
  for (const std::string& part : parts) bytes += part.size();
  return bytes;
}

PointColumns numbers(size_t count, int64_t step, const std::function<double(size_t)>& value) {
  PointColumns out;
  for (size_t i = 0; i < count; ++i)
    out.samples.push_back({kBegin + static_cast<int64_t>(i) * step, value(i)});
  return out;
}

Histogram grown(std::mt19937_64& random, const Histogram& before) {
  Histogram out = before;
  Histogram more;
  for (int i = 0; i < 100; ++i)
    more.record(std::exp(std::normal_distribution<double>(-3, 0.25)(random)));
  out.merge(more);
  out.has_min_max = false;
  out.min = out.max = 0;
  return out;
}

}  // namespace

TEST_CASE("series packed: counters, gauges, decimals and odd values come back bit for bit") {
  std::mt19937_64 random(5);
  check({});
  check(numbers(1, 1000, [](size_t) { return 42.0; }));
  check(numbers(2, 1000, [](size_t i) { return static_cast<double>(i); }));
  check(numbers(5000, 1000, [](size_t i) { return static_cast<double>(i * 10); }));
  check(numbers(3000, 15'000, [&](size_t) { return static_cast<double>(random() % 1000) / 1000; }));
  check(numbers(3000, 15'000, [&](size_t) { return std::bit_cast<double>(random()); }));
  const double odd[] = {0.0,
                        -0.0,
                        std::nan(""),
                        std::numeric_limits<double>::infinity(),
                        9e15,
                        9.1e15,
                        -9e15,
                        5e-324,
                        0.1,
                        1e300,
                        std::bit_cast<double>(uint64_t{0x7ff0000000000002})};
  check(numbers(500, 7, [&](size_t i) { return odd[(i * i) % std::size(odd)]; }));
  PointColumns wild = numbers(2000, 1, [&](size_t) {
    return std::floor(std::bit_cast<double>(random() >> 12 | 0x4000000000000000) * 1e6);
  });
  int64_t t = -5;
  for (Sample& sample : wild.samples)
    sample.t_millis = t += 1 + static_cast<int64_t>(random() % 100'000'000'000);
  check(wild);
}

TEST_CASE(
    "series packed: histograms that grow, begin again and change scale come back as they were") {
  std::mt19937_64 random(6);
  PointColumns points;
  Histogram value;
  for (int64_t i = 0; i < 3000; ++i) {
    if (i % 700 == 699) value = Histogram();
    if (i == 1500) value.lower_scale_to(3);
    value = grown(random, value);
    points.histograms.push_back({kBegin + i * 1000, std::make_shared<Histogram>(value)});
    if (i % 500 == 0) points.samples.push_back({kBegin + i * 1000 + 1, 5});
  }
  check(points);
}

TEST_CASE(
    "series packed: thinned while unpacked is as thinned afterwards, and has the same increase") {
  std::mt19937_64 random(16);
  PointColumns points;
  Histogram value;
  for (int64_t i = 0; i < 3000; ++i) {
    if (random() % 150 == 0) value = Histogram();
    if (i == 1500) value.lower_scale_to(3);
    if (random() % 500 == 0) value.negative = {{static_cast<int32_t>(random() % 9'000'000), 1}};
    value = grown(random, value);
    points.histograms.push_back({kBegin + i * 1000, std::make_shared<Histogram>(value)});
  }
  PointPacker packer;
  packer.add(points);
  const std::vector<std::string> parts = packer.take();
  for (const Thinning& thinning :
       {Thinning{0, 60'000}, Thinning{kBegin + 7, 1'000'000}, Thinning{-5, 3000}, Thinning{0, 1}}) {
    PointColumns read;
    const PointRange range{kBegin + 33'000, kBegin + 2'900'000, thinning};
    for (const std::string& part : parts)
      REQUIRE(unpack_points(part, range, read.samples, read.histograms).ok());
    std::vector<HistogramSample> all = points.histograms;
    std::erase_if(all, [&](const HistogramSample& point) {
      return point.t_millis <= range.start_millis || point.t_millis > range.end_millis;
    });
    // What is cut between two runs is kept on both sides: thinning again takes that away.
    const auto total = [](const std::vector<HistogramSample>& list) {
      return std::accumulate(
          list.begin(), list.end(), size_t{0},
          [](size_t sum, const HistogramSample& point) { return sum + 1 + point.left_out; });
    };
    CHECK(total(read.histograms) == all.size());
    thin_histograms(read.histograms, 0, thinning);
    thin_histograms(all, 0, thinning);
    REQUIRE(read.histograms.size() == all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      CHECK(read.histograms[i].t_millis == all[i].t_millis);
      CHECK(read.histograms[i].left_out == all[i].left_out);
      CHECK(*read.histograms[i].value == *all[i].value);
    }
    if (thinning.length_millis >= 60'000) CHECK(all.size() < 300);
  }
}

TEST_CASE("series packed: only what is asked for is read, also across parts") {
  std::mt19937_64 random(7);
  const PointColumns points = numbers(
      86'400, 1000, [&](size_t i) { return static_cast<double>(i * 100 + random() % 300); });
  PointPacker packer;
  packer.add(points);
  const std::vector<std::string> parts = packer.take();
  CHECK(parts.size() > 1);
  for (const auto& [from, to] :
       {std::pair(0, 100), std::pair(40'000, 40'001), std::pair(86'000, 99'000), std::pair(5, 5)}) {
    const auto read = unpacked(parts, kBegin + from * 1000, kBegin + to * 1000);
    REQUIRE(read.samples.size() == static_cast<size_t>(std::min(to, 86'399) - from));
    if (!read.samples.empty()) CHECK(read.samples.front().t_millis == kBegin + (from + 1) * 1000);
  }
}

TEST_CASE(
    "series packed: a counter's sample takes at most 1.5 bytes, a busy route's histogram at most "
    "60") {
  std::mt19937_64 random(8);
  double total = 0;
  const size_t counter = check(
      numbers(1440, 60'000, [&](size_t) { return total += static_cast<double>(random() % 200); }));
  CHECK(static_cast<double>(counter) / 1440 <= 1.5);
  PointColumns points;
  Histogram value;
  for (int64_t i = 0; i < 1440; ++i) {
    value = grown(random, value);
    points.histograms.push_back({kBegin + i * 60'000, std::make_shared<Histogram>(value)});
  }
  CHECK(static_cast<double>(check(points)) / 1440 <= 60);
}

TEST_CASE("series packed: every cut and every flipped bit is an error, never a wrong answer") {
  PointPacker packer;
  packer.add(numbers(50, 1000, [](size_t i) { return static_cast<double>(i); }));
  const std::string stored = packer.take().front();
  std::vector<Sample> samples;
  std::vector<HistogramSample> histograms;
  for (size_t cut = 0; cut < stored.size(); ++cut)
    CHECK_FALSE(
        unpack_points(std::string_view(stored).substr(0, cut), {}, samples, histograms).ok());
  for (size_t bit = 0; bit < stored.size() * 8; ++bit) {
    std::string flipped = stored;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    CHECK_FALSE(unpack_points(flipped, {}, samples, histograms).ok());
  }
}

TEST_CASE(
    "series rollup: on its borders it has the same ends, extremes and increases as all points") {
  std::mt19937_64 random(9);
  for (int round = 0; round < 20; ++round) {
    double total = 0;
    PointColumns all = numbers(20'000, 700 + static_cast<int64_t>(random() % 3000), [&](size_t) {
      if (random() % 900 == 0) total = 0;
      return total += static_cast<double>(random() % 50) - (round % 2 == 0 ? 0 : 20);
    });
    std::erase_if(all.samples,
                  [&](const Sample& sample) { return sample.t_millis / 600'000 % 7 == 3; });
    for (const RollupLevel& level : kRollupLevels) {
      const PointColumns thin = thin_out(all, level.millis);
      CHECK(thin.samples.size() < all.samples.size());
      const auto figures = [&](const PointColumns& points, int64_t from, int64_t to) {
        std::array<double, 5> out = {0, 0, 0, std::numeric_limits<double>::max(),
                                     std::numeric_limits<double>::lowest()};
        const Sample* before = nullptr;
        for (const Sample& sample : points.samples) {
          if (sample.t_millis <= from || sample.t_millis > to) continue;
          if (before == nullptr) out[0] = sample.value;
          if (before != nullptr)
            out[2] += sample.value >= before->value ? sample.value - before->value : sample.value;
          before = &sample;
          out[1] = sample.value;
          out[3] = std::min(out[3], sample.value);
          out[4] = std::max(out[4], sample.value);
        }
        return out;
      };
      for (int64_t window = 1; window <= 5; ++window) {
        const int64_t from = kBegin + static_cast<int64_t>(random() % 3) * level.millis;
        const auto wanted = figures(all, from, from + window * level.millis);
        const auto got = figures(thin, from, from + window * level.millis);
        for (size_t i = 0; i < wanted.size(); ++i) CHECK(got[i] == doctest::Approx(wanted[i]));
      }
    }
  }
}
