#include "collector/parallel.h"

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <stdexcept>
#include <vector>

using namespace hms::collector;

TEST_CASE("parallel: each index is worked on exactly once, whoever does it") {
  const auto executor = make_executor(3, 100);
  const ParallelFor parallel = make_parallel_for(*executor, 3);
  for (const size_t count : {0U, 1U, 2U, 1000U}) {
    std::vector<std::atomic<int>> seen(count);
    for_each_index(parallel, count, [&](size_t i) { ++seen[i]; });
    for (const auto& times : seen) CHECK(times == 1);
  }
  std::vector<int> alone(10);
  for_each_index({}, alone.size(), [&](size_t i) { ++alone[i]; });
  CHECK(alone == std::vector<int>(10, 1));
}

TEST_CASE(
    "parallel: a caller whose helpers are busy or gone does all of it, and waits for nobody") {
  const auto executor = make_executor(1, 100);
  std::promise<void> release;
  REQUIRE(executor->try_run([released = release.get_future().share()] { released.wait(); }));
  std::atomic<int> done{0};
  make_parallel_for(*executor, 1)(50, [&](size_t) { ++done; });
  CHECK(done == 50);
  release.set_value();
  executor->close();
  make_parallel_for(*executor, 1)(50, [&](size_t) { ++done; });
  CHECK(done == 100);
}

TEST_CASE("parallel: what the work throws reaches the caller, after all threads have left it") {
  const auto executor = make_executor(2, 100);
  const ParallelFor parallel = make_parallel_for(*executor, 2);
  for (int round = 0; round < 20; ++round) {
    const auto fails = [](size_t i) {
      if (i % 7 == 3) throw std::runtime_error("made to fail");
    };
    CHECK_THROWS_WITH(parallel(100, fails), "made to fail");
  }
}
