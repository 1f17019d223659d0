#include "collector/store/damage_told.h"

#include <doctest/doctest.h>

#include "tests/support/memory_kv.h"

using namespace hms;
using namespace hms::collector;

namespace {

constexpr uint64_t kSecond = 1'000'000'000, kDaySeconds = 86'400;
constexpr uint32_t kDay = 20'000;

std::vector<Damage> damage_of(Family family, uint64_t unix_seconds) {
  return {{"000012.sst", family, 100, 3, unix_seconds, "checksum"}};
}

/// The warnings of a log search in (begin, end].
std::vector<std::string> told(const std::vector<Damage>& damage, uint64_t begin, uint64_t end) {
  const MemoryKv empty;
  const auto hot = make_log_store();
  REQUIRE(hot->recover(empty).ok());
  const auto telling = tell_damage(*hot, [&damage] { return damage; });
  LogQuery query;
  query.start_unix_nanos = begin * kSecond;
  query.end_unix_nanos = end * kSecond;
  const auto page = telling->search(query, {});
  REQUIRE(page.ok());
  return page->warnings;
}

}  // namespace

TEST_CASE(
    "damage_told: answers about a damaged day say which file is missing, others say nothing") {
  const auto damage = damage_of(Family{kDay}, (kDay + 9) * kDaySeconds);
  const uint64_t begin = kDay * kDaySeconds, end = begin + kDaySeconds;
  const std::vector<std::string> sentence = {
      "records of day-2024-10-04 may be missing: the damaged file 000012.sst was set aside"};
  CHECK(told(damage, begin + 5, begin + 10) == sentence);
  CHECK(told(damage, begin - 100, begin) == sentence);
  CHECK(told(damage, 1, end + 100) == sentence);
  CHECK(told(damage, end, end + 100).empty());
  CHECK(told(damage, begin - 100, begin - 1).empty());
  CHECK(told({}, begin, end).empty());
}

TEST_CASE("damage_told: a damaged log is told of for the day before it was met") {
  const uint64_t met = kDay * kDaySeconds;
  const auto damage = damage_of(Family::meta(), met);
  CHECK(told(damage, met - 10, met + 10).size() == 1);
  CHECK(told(damage, met - kDaySeconds - 10, met - kDaySeconds + 10).size() == 1);
  CHECK(told(damage, met + 1, met + 100).empty());
  CHECK(told(damage, met - 3 * kDaySeconds, met - 2 * kDaySeconds).empty());
}

TEST_CASE("damage_told: the same file is told of once") {
  auto damage = damage_of(Family{kDay}, 0);
  damage.push_back(damage.front());
  CHECK(told(damage, kDay * kDaySeconds, kDay * kDaySeconds + 10).size() == 1);
}
