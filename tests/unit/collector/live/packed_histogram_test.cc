#include "collector/live/packed_histogram.h"

#include <doctest/doctest.h>

#include <random>

using namespace hms::collector;
using hms::telemetry::Histogram;

TEST_CASE("packed histogram: one duration more, in place, is what packing all of them gives") {
  std::mt19937_64 random(7);
  for (const int spread : {1, 20, 400}) {
    Histogram all;
    std::string packed;
    for (int i = 0; i < 1'500; ++i) {
      // Now and then none at all, or one beyond what a bucket can hold.
      const double seconds = i % 97 == 0    ? 0
                             : i % 211 == 0 ? 1e300
                                            : static_cast<double>(1 + random() % 1'000'000'000) /
                                                  1e9 / static_cast<double>(1 + random() % spread);
      all.record(seconds);
      pack_one_more(packed, seconds);
    }
    CHECK(packed == pack_histogram(all));
  }
}
