// Past days of the series store: packed, thinned, and answering as before.
#include <algorithm>

#include "collector/store/series_thinning.h"
#include "tests/unit/collector/store/series_fixture.h"

using namespace hms::collector;

namespace {

/// A day of two gauges and a histogram, every ten seconds, two days ago; a counter reset and a late
/// point among them.
void fill_past_day(Fixture& f) {
  const int64_t begin = kNow / kDay * kDay - 2 * kDay;
  for (int64_t t = begin; t < begin + kDay; t += 600'000) {
    Batch batch;
    for (int64_t u = t; u < t + 600'000; u += 10'000) {
      batch.gauge("level", u, static_cast<double>((u / 10'000) % 977));
      batch.gauge("rare", u / 3'600'000 * 3'600'000, 1);
      batch.histogram("took", u - 10'000, u, {0.1, 0.2 + static_cast<double>(u % 70'000) / 1e5});
    }
    f.put(std::move(batch), t + 600'000);
  }
}

}  // namespace

TEST_CASE(
    "series store: a past day is packed and thinned, and answers as before, whenever it is "
    "killed") {
  Fixture f;
  fill_past_day(f);
  f.seal();
  const std::string level = f.values("level"), took = f.values("took_seconds"),
                    rare = f.values("rare");
  CHECK(f.keys(0x33) == 0);
  const int64_t later = kNow + 11 * 365 * kDay;
  for (int step = 0; step < 6; ++step) {
    f.maintain(later);
    f.maintain(kNow);
    CHECK(f.values("level") == level);
    CHECK(f.values("took_seconds") == took);
    f.restart();
    CHECK(f.values("level") == level);
    CHECK(f.values("took_seconds") == took);
    CHECK(f.values("rare") == rare);
  }
  for (int step = 0; step < 6; ++step) f.maintain(later);
  f.maintain(kNow);
  CHECK(f.keys(0x34) == 3);  // also the days at its edges
  CHECK(f.keys(0x33) == 4);  // two levels of two series; the rare one is not worth it
  CHECK(f.values("level") == level);
}

TEST_CASE(
    "series store: thinned points are read when an interval will do, and not after late points") {
  Fixture f;
  fill_past_day(f);
  f.seal();
  for (int step = 0; step < 6; ++step) f.maintain(kNow + 11 * 365 * kDay);
  f.maintain(kNow);
  const int64_t begin = kNow / kDay * kDay - 2 * kDay;
  const auto points = [&](int64_t interval) {
    SelectLimits limits;
    limits.interval_millis = interval;
    auto found = f.store->select({{"__name__", LabelMatcher::Kind::equal, "level"}}, begin,
                                 begin + 12 * 3'600'000, limits);
    REQUIRE(found.ok());
    REQUIRE(found->size() == 1);
    return found->front().samples.size();
  };
  CHECK(points(0) == 4320);
  CHECK(points(60'000) < 4320 / 2);
  CHECK(points(3'600'000) < 12 * 10);
  f.put(Batch().gauge("level", begin + 5000, 3));
  CHECK(points(3'600'000) == 4321);
  for (int step = 0; step < 3; ++step) f.maintain(kNow + 13 * 365 * kDay);
  f.maintain(kNow);
  CHECK(points(3'600'000) == 4321);
  for (int step = 0; step < 6; ++step) f.maintain(kNow + 15 * 365 * kDay);
  f.maintain(kNow);
  CHECK(points(3'600'000) < 12 * 10);
  CHECK(points(0) == 4321);
}

TEST_CASE(
    "series store: a range that cuts intervals has all points of those, thinned ones within") {
  Fixture f;
  fill_past_day(f);
  f.seal();
  for (int step = 0; step < 6; ++step) f.maintain(kNow + 11 * 365 * kDay);
  f.maintain(kNow);
  const int64_t begin = kNow / kDay * kDay - 2 * kDay;
  const auto select = [&](int64_t start, int64_t end, int64_t interval) {
    SelectLimits limits;
    limits.interval_millis = interval;
    auto found = f.store->select({{"__name__", LabelMatcher::Kind::matches, "level|took_seconds"}},
                                 start, end, limits);
    REQUIRE(found.ok());
    return std::move(*found);
  };
  for (const auto& [from, to] : {std::pair<int64_t, int64_t>{1'234'000, 70'001'000},
                                 {-5'000'000, 86'399'000},
                                 {3'600'000, 80'000'000},
                                 {40'000, 50'000},
                                 {100'000, 3'700'000},
                                 {7'000'000, 90'000'000}}) {
    for (const int64_t interval : {60'000, 3'600'000}) {
      const auto all = select(begin + from, begin + to, 0);
      const auto some = select(begin + from, begin + to, interval);
      REQUIRE(all.size() == some.size());
      for (size_t s = 0; s < all.size(); ++s) {
        const auto& whole = all[s].samples;
        const auto& thin = some[s].samples;
        REQUIRE(thin.empty() == whole.empty());
        if (to - from > 10'000'000)
          CHECK(thin.size() + some[s].histograms.size() < whole.size() + all[s].histograms.size());
        if (!whole.empty()) {
          CHECK(thin.front().t_millis == whole.front().t_millis);
          CHECK(thin.back().t_millis == whole.back().t_millis);
          const auto by_value = [](const Sample& a, const Sample& b) { return a.value < b.value; };
          CHECK(std::max_element(thin.begin(), thin.end(), by_value)->value ==
                std::max_element(whole.begin(), whole.end(), by_value)->value);
          const auto not_rising = [](const Sample& a, const Sample& b) {
            return a.t_millis >= b.t_millis;
          };
          CHECK(std::adjacent_find(thin.begin(), thin.end(), not_rising) == thin.end());
        }
        const auto& whole_histograms = all[s].histograms;
        const auto& thin_histograms = some[s].histograms;
        REQUIRE(thin_histograms.empty() == whole_histograms.empty());
        if (whole_histograms.empty()) continue;
        CHECK(thin_histograms.front().t_millis == whole_histograms.front().t_millis);
        CHECK(thin_histograms.back().t_millis == whole_histograms.back().t_millis);
        CHECK(*thin_histograms.back().value == *whole_histograms.back().value);
      }
    }
  }
}

TEST_CASE(
    "series store: of a histogram a question gets the ends of each window, wherever the points "
    "are, and holds no more") {
  Fixture f;
  fill_past_day(f);
  const int64_t begin = kNow / kDay * kDay - 2 * kDay;
  const auto select = [&](int64_t length, int64_t interval, uint64_t most) {
    SelectLimits limits;
    limits.histograms = {begin, length};
    limits.interval_millis = interval;
    limits.max_samples = most;
    return f.store->select({{"__name__", LabelMatcher::Kind::equal, "took_seconds"}},
                           begin + 1'234'000, begin + 80'000'000, limits);
  };
  auto found = select(0, 0, 1'000'000);
  REQUIRE(found.ok());
  const std::vector<HistogramSample> all = found->front().histograms;
  REQUIRE(all.size() > 7000);
  bool unpacked = false;
  const auto check = [&](int64_t length, int64_t interval) {
    auto answer = select(length, interval, 1'000'000);
    REQUIRE(answer.ok());
    std::vector<HistogramSample> got = answer->front().histograms;
    std::vector<HistogramSample> wanted = all;
    CHECK(got.size() < all.size() / 5);
    thin_histograms(got, 0, {begin, length});
    thin_histograms(wanted, 0, {begin, length});
    REQUIRE(got.size() == wanted.size());
    for (size_t i = 0; i < got.size(); ++i) {
      CHECK(got[i].t_millis == wanted[i].t_millis);
      CHECK(*got[i].value == *wanted[i].value);
      if (interval == 0) CHECK(got[i].left_out == wanted[i].left_out);
    }
    // A limit that all points would cross. Of chunks that are not packed one series' day is held.
    if (!unpacked) CHECK(select(length, interval, 30'000).ok());
    CHECK(select(0, 0, 30'000).error().code == hms::net::Code::too_large);
  };
  const auto check_all = [&] {
    check(600'000, 0);
    check(777'000, 0);
    check(3'600'000, 0);
  };
  check_all();
  f.seal();
  unpacked = true;
  check_all();
  for (int step = 0; step < 6; ++step) f.maintain(kNow + 11 * 365 * kDay);
  f.maintain(kNow);
  unpacked = false;
  check_all();
  check(600'000, 60'000);
  check(3'600'000, 3'600'000);
}
