#include "collector/live/packed_histogram.h"

#include <doctest/doctest.h>

#include <random>

using namespace hms::collector;
using hms::telemetry::Histogram;

TEST_CASE("packed histogram: more durations give what packing all of them gives") {
  std::mt19937_64 random(7);
  for (const uint64_t spread : std::initializer_list<uint64_t>{1, 20, 400}) {
    Histogram all;
    std::string packed;
    for (size_t round = 0; round < 60; ++round) {
      std::vector<uint16_t> slots;
      for (size_t i = 0; i < round; ++i) {
        // Now and then none at all, or one beyond what a bucket can hold.
        const uint64_t nanos = i % 37 == 0 ? 0
                               : i % 41 == 0
                                   ? UINT64_MAX
                                   : (1 + random() % 1'000'000'000) / (1 + random() % spread);
        all.record(static_cast<double>(nanos) / 1e9);
        slots.push_back(packed_slot(nanos));
      }
      pack_more(packed, slots);
      CHECK(packed == pack_histogram(all));
    }
  }
}
