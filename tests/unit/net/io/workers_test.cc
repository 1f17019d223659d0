#include "net/io/workers.h"

#include <doctest/doctest.h>
#include <pthread.h>

#include <memory>
#include <string>
#include <vector>

namespace hms::net {

TEST_CASE(
    "worker: calls run on its own thread, one after the other, and their results are there "
    "afterwards") {
  Worker worker("hms-worker-with-a-long-name");
  const auto here = std::this_thread::get_id();
  std::thread::id there;
  std::string name(64, '\0');
  worker.call([&] {
    there = std::this_thread::get_id();
    CHECK(worker.loop().in_loop_thread());
    pthread_getname_np(pthread_self(), name.data(), name.size());
  });
  CHECK(there != here);
  CHECK(std::string(name.c_str()) == "hms-worker-with");
  int sum = 0;
  for (int i = 1; i <= 1000; ++i) worker.call([&sum, i] { sum += i; });
  CHECK(sum == 500'500);
}

TEST_CASE("worker: values go between workers by post") {
  Worker first("first");
  Worker second("second");
  int received = 0;
  for (int i = 0; i < 100; ++i) {
    first.loop().post([&second, &received] { second.loop().post([&received] { ++received; }); });
  }
  first.call([] {});
  second.call([&] { CHECK(received == 100); });
}

TEST_CASE("worker: stopping at once, twice or never asked for") {
  for (int i = 0; i < 50; ++i) {
    Worker worker("brief");
    if (i % 2 == 0) worker.stop_and_join();
    if (i % 4 == 0) worker.stop_and_join();
  }
}

}  // namespace hms::net
