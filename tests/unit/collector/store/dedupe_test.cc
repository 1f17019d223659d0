#include "collector/store/dedupe.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <set>

using hms::collector::SequenceSet;

TEST_CASE("dedupe: a run of batches is one interval without gaps") {
  SequenceSet set;
  for (uint64_t i = 1; i <= 100; ++i) {
    CHECK_FALSE(set.contains(i));
    set.insert(i);
    CHECK(set.contains(i));
  }
  CHECK(set.intervals().size() == 1);
  CHECK(set.missing() == 0);
  CHECK(set.highest() == 100);
}

TEST_CASE("dedupe: what was skipped is missing until it comes") {
  SequenceSet set;
  for (const uint64_t i : {1U, 2U, 5U, 9U}) set.insert(i);
  CHECK(set.missing() == 5);  // 3 4 6 7 8
  CHECK_FALSE(set.contains(4));
  set.insert(4);
  set.insert(3);
  CHECK(set.missing() == 3);
  CHECK(set.intervals().size() == 2);  // 1..5, 9
}

TEST_CASE(
    "dedupe: counting begins at the first number seen, and an earlier one that comes late is new") {
  SequenceSet set;
  set.insert(1000);
  CHECK(set.missing() == 0);
  CHECK_FALSE(set.contains(998));
  set.insert(998);
  CHECK(set.missing() == 1);
}

TEST_CASE("dedupe: the ends of the number range are numbers like any other") {
  SequenceSet set;
  set.insert(0);
  set.insert(UINT64_MAX);
  CHECK(set.contains(0));
  CHECK(set.contains(UINT64_MAX));
  CHECK_FALSE(set.contains(1));
  CHECK(set.missing() == UINT64_MAX - 1);
  set.insert(UINT64_MAX - 1);
  set.insert(1);
  CHECK(set.intervals().size() == 2);
}

TEST_CASE("dedupe: agrees with a plain set on a shuffled sequence") {
  SequenceSet set;
  std::set<uint64_t> plain;
  uint64_t state = 42;
  for (int i = 0; i < 5000; ++i) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    const uint64_t sequence = (state >> 33) % 1500;
    REQUIRE(set.contains(sequence) == plain.contains(sequence));
    if (!set.contains(sequence)) set.insert(sequence);
    plain.insert(sequence);
  }
  CHECK(set.missing() == (*plain.rbegin() - *plain.begin() + 1) - plain.size());
}

TEST_CASE(
    "dedupe: more gaps than are kept stay counted, and no stored number above them is forgotten") {
  SequenceSet set;
  const uint64_t count = SequenceSet::kMaxIntervals + 500;
  for (uint64_t i = 0; i < count; ++i) set.insert(i * 2 + 1);
  CHECK(set.intervals().size() == SequenceSet::kMaxIntervals);
  CHECK(set.missing() == count - 1);
  CHECK(set.contains((count - 1) * 2 + 1));
  set.insert(2);  // came after its gap was given up
  CHECK(set.missing() == count - 2);
  CHECK(set.intervals().size() == SequenceSet::kMaxIntervals);
}

TEST_CASE("dedupe: what is restored must be rising and apart") {
  SequenceSet set;
  CHECK(set.restore({{1, 5}, {7, 7}}, 3));
  CHECK(set.missing() == 4);
  CHECK_FALSE(set.restore({{1, 5}, {6, 7}}, 0));
  CHECK_FALSE(set.restore({{5, 1}}, 0));
  CHECK_FALSE(set.restore({{1, 9}, {4, 12}}, 0));
}
