// Blocks and chunks of series, against a plain list of points.
#include "collector/store/series_chunk.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <random>

#include "collector/store/series_head.h"
#include "collector/store/series_log.h"

using namespace hms::collector;
using hms::telemetry::Histogram;

namespace {

bool same(double a, double b) { return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b); }

/// Writes all points, reads them back through a sealed chunk.
void check_numbers(const std::vector<Sample>& points) {
  std::vector<BlockPtr> blocks;
  BlockWriter writer;
  for (const Sample& point : points) {
    if (!writer.accepts(point.t_millis, point.value))
      blocks.push_back(std::make_shared<Block>(writer.take()));
    writer.add(point.t_millis, point.value);
  }
  if (!writer.empty()) blocks.push_back(std::make_shared<Block>(writer.take()));
  const auto opened = open_blocks(seal_blocks(blocks), INT64_MIN, INT64_MAX);
  REQUIRE(opened.ok());
  std::vector<Sample> read;
  std::vector<HistogramSample> histograms;
  for (const Block& block : *opened)
    REQUIRE(read_block(block, INT64_MIN, INT64_MAX, read, histograms));
  REQUIRE(read.size() == points.size());
  for (size_t i = 0; i < read.size(); ++i) {
    CHECK(read[i].t_millis == points[i].t_millis);
    CHECK(same(read[i].value, points[i].value));
  }
}

Histogram random_growth(std::mt19937_64& random, const Histogram& before) {
  Histogram out = before;
  Histogram more;
  for (int i = 0; i < 5; ++i)
    more.record(std::exp(std::uniform_real_distribution<double>(-9, 3)(random)));
  if (random() % 20 == 0) more.record(0);
  out.merge(more);
  out.has_min_max = false;
  out.min = out.max = 0;
  return out;
}

}  // namespace

TEST_CASE("series chunk: steady counters, gauges and odd values come back bit for bit") {
  check_numbers({});
  check_numbers({{0, 0}});
  check_numbers({{1, -0.0}, {2, 0.0}, {3, std::nan("")}, {4, HUGE_VAL}, {5, -HUGE_VAL}});
  check_numbers({{1, 9007199254740991.0},
                 {2, -9007199254740991.0},
                 {3, 9007199254740993.0},
                 {4, 1e300},
                 {5, 5e-324}});
  check_numbers({{1'700'000'000'000, std::bit_cast<double>(uint64_t{0x7ff0000000000002})},
                 {1'700'000'000'001, 1}});
  std::vector<Sample> counter;
  for (int i = 0; i < 1000; ++i) counter.push_back({1'700'000'000'000 + i * 1000, i * 5.0});
  check_numbers(counter);
}

TEST_CASE("series chunk: random points against the plain list") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<Sample> points;
    int64_t t = static_cast<int64_t>(random() % 2'000'000'000'000);
    const size_t count = random() % 400;
    double value = 0;
    for (size_t i = 0; i < count; ++i) {
      t += 1 + static_cast<int64_t>(random() % (random() % 10 == 0 ? 100'000'000 : 2000));
      switch (random() % 5) {
        case 0:
          value = static_cast<double>(random() % 1000);
          break;
        case 1:
          value += 0.25;
          break;
        case 2:
          value = std::bit_cast<double>(random());
          break;
        default:
          value += static_cast<double>(random() % 100);
          break;
      }
      points.push_back({t, value});
    }
    check_numbers(points);
  }
}

TEST_CASE("series chunk: a steady counter costs about two bytes a point") {
  BlockWriter writer;
  size_t bytes = 0;
  std::mt19937_64 random(3);
  double value = 0;
  for (int i = 0; i < 1200; ++i) {
    const int64_t t = 1'700'000'000'000 + i * 10'000;
    value += static_cast<double>(20 + random() % 8);
    if (!writer.accepts(t, value)) bytes += writer.take().bytes.size();
    writer.add(t, value);
  }
  bytes += writer.take().bytes.size();
  CHECK(bytes < 1200 * 2.2);
}

TEST_CASE("series chunk: histograms come back as they were, and steps cost only what changed") {
  std::mt19937_64 random(11);
  std::vector<HistogramSample> points;
  Histogram total;
  std::vector<BlockPtr> blocks;
  BlockWriter writer;
  size_t bytes = 0;
  for (int i = 0; i < 500; ++i) {
    total = i == 250 ? Histogram{} : random_growth(random, total);
    if (i == 300) total.lower_scale_to(3);
    const int64_t t = 1'700'000'000'000 + i * 1000;
    points.push_back({t, std::make_shared<const Histogram>(total)});
    if (!writer.accepts(t, total)) blocks.push_back(std::make_shared<Block>(writer.take()));
    writer.add(t, total);
  }
  blocks.push_back(std::make_shared<Block>(writer.take()));
  for (const BlockPtr& block : blocks) bytes += block->bytes.size();
  CHECK(bytes / 500 < 40);
  const auto opened = open_blocks(seal_blocks(blocks), INT64_MIN, INT64_MAX);
  REQUIRE(opened.ok());
  std::vector<Sample> numbers;
  std::vector<HistogramSample> read;
  for (const Block& block : *opened)
    REQUIRE(read_block(block, INT64_MIN, INT64_MAX, numbers, read));
  REQUIRE(read.size() == points.size());
  for (size_t i = 0; i < read.size(); ++i) {
    CHECK(read[i].t_millis == points[i].t_millis);
    CHECK(*read[i].value == *points[i].value);
  }
}

TEST_CASE("series chunk: only what lies in the range is opened and read") {
  BlockWriter writer;
  std::vector<BlockPtr> blocks;
  for (int i = 0; i < 500; ++i) {
    if (!writer.accepts(i * 10, i)) blocks.push_back(std::make_shared<Block>(writer.take()));
    writer.add(i * 10, i);
  }
  blocks.push_back(std::make_shared<Block>(writer.take()));
  const auto opened = open_blocks(seal_blocks(blocks), 1300, 1320);
  REQUIRE(opened.ok());
  CHECK(opened->size() == 1);
  std::vector<Sample> read;
  std::vector<HistogramSample> none;
  REQUIRE(read_block((*opened)[0], 1300, 1320, read, none));
  REQUIRE(read.size() == 2);
  CHECK(read[0].t_millis == 1310);
  CHECK(read[1].t_millis == 1320);
}

TEST_CASE("series chunk: a flipped bit or a cut is found") {
  BlockWriter writer;
  for (int i = 0; i < 50; ++i) writer.add(i * 1000, i * 3);
  const std::string stored = seal_blocks({std::make_shared<Block>(writer.take())});
  for (size_t i = 0; i < stored.size(); ++i) {
    std::string bad = stored;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    CHECK_FALSE(open_blocks(bad, INT64_MIN, INT64_MAX).ok());
    CHECK_FALSE(open_blocks(stored.substr(0, i), INT64_MIN, INT64_MAX).ok());
  }
}

TEST_CASE("series head: late points and repeats of a time end as one, the last one wins") {
  std::mt19937_64 random(5);
  for (int round = 0; round < 50; ++round) {
    SeriesHead head;
    std::map<int64_t, double> model;
    for (int i = 0; i < 600; ++i) {
      const auto t = static_cast<int64_t>(random() % 5 == 0 ? random() % 100'000
                                                            : static_cast<uint64_t>(i) * 170);
      const auto value = static_cast<double>(random() % 1000);
      REQUIRE(head.add({t, value, nullptr}));
      model[t] = value;
      if (i == 300 && round % 2 == 0) head.begin_sealing();
    }
    SeriesHead::Snapshot snapshot;
    head.snapshot(-1, 1'000'000, snapshot);
    std::vector<Sample> read;
    std::vector<HistogramSample> none;
    for (const BlockPtr& block : snapshot.blocks)
      REQUIRE(read_block(*block, -1, 1'000'000, read, none));
    for (const SeriesPoint& point : snapshot.plain) read.push_back({point.t_millis, point.value});
    merge_points(read, none);
    REQUIRE(read.size() == model.size());
    size_t i = 0;
    for (const auto& [t, value] : model) {
      CHECK(read[i].t_millis == t);
      CHECK(read[i++].value == value);
    }
  }
}

TEST_CASE("series log: what is written is read, histograms as changes too") {
  std::mt19937_64 random(13);
  SeriesLogWriter writer;
  Histogram first;
  first.record(0.5);
  Histogram second = first;
  second.record(0.7);
  writer.add(7, 1000, 42);
  writer.add(8, 1001, 0.125);
  writer.add(9, 1002, first, nullptr);
  writer.add(9, 2002, second, &first);
  const std::string stored = writer.finish();
  CHECK(writer.empty());
  std::vector<std::pair<uint32_t, SeriesPoint>> read;
  SeriesLogReader reader;
  HistogramPtr last;
  reader.before = [&](uint32_t) { return last; };
  reader.point = [&](uint32_t series, SeriesPoint point) {
    if (point.histogram) last = point.histogram;
    read.emplace_back(series, std::move(point));
  };
  REQUIRE(read_series_log(stored, reader).ok());
  REQUIRE(read.size() == 4);
  CHECK(read[0].first == 7);
  CHECK(read[0].second.value == 42);
  CHECK(read[1].second.value == 0.125);
  CHECK(read[2].second.histogram->count == 1);
  CHECK(read[3].second.t_millis == 2002);
  Histogram wanted = second;
  wanted.has_min_max = false;
  CHECK(read[3].second.histogram->positive == wanted.positive);
  for (size_t i = 0; i < stored.size(); ++i)
    CHECK_FALSE(read_series_log(stored.substr(0, i), reader).ok());
}
