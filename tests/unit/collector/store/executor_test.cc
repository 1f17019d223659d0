#include "collector/executor.h"

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <stdexcept>

using namespace hms::collector;

TEST_CASE("executor: runs tasks on its threads and ends after what is queued") {
  std::atomic<int> ran{0};
  const auto executor = make_executor(3, 1000);
  for (int i = 0; i < 100; ++i) CHECK(executor->try_run([&] { ++ran; }));
  executor->close();
  CHECK(ran == 100);
  CHECK_FALSE(executor->try_run([] {}));
}

TEST_CASE("executor: a full queue says no and takes work again when there is room") {
  const auto executor = make_executor(1, 2);
  std::promise<void> started, release;
  auto released = release.get_future().share();
  REQUIRE(executor->try_run([&] {
    started.set_value();
    released.wait();
  }));
  started.get_future().wait();
  CHECK(executor->try_run([] {}));
  std::promise<void> last;
  CHECK(executor->try_run([&] { last.set_value(); }));
  CHECK_FALSE(executor->try_run([] {}));
  release.set_value();
  last.get_future().wait();
  CHECK(executor->try_run([] {}));
  executor->close();
}

TEST_CASE("executor: a task that throws is logged, and the next one runs") {
  const auto executor = make_executor(1, 10);
  std::promise<void> next;
  CHECK(executor->try_run([] { throw std::runtime_error("made to fail"); }));
  CHECK(executor->try_run([&] { next.set_value(); }));
  next.get_future().wait();
}
