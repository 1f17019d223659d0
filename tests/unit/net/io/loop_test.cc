#include "net/io/loop.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "net/io/tcp.h"
#include "net/io/timer_wheel.h"

namespace hms::net {
namespace {

constexpr Millis kLong{10'000};

struct OnDeath {
  explicit OnDeath(std::function<void()> what) : action(std::move(what)) {}
  ~OnDeath() { action(); }
  std::function<void()> action;
};

}  // namespace

TEST_CASE(
    "loop: tasks run in the order of posting, on the loop's thread, and post may be called from a "
    "task") {
  Loop loop;
  std::vector<int> seen;
  loop.post([&] {
    seen.push_back(1);
    CHECK(loop.in_loop_thread());
    loop.post([&] {
      seen.push_back(3);
      loop.stop();
    });
  });
  loop.post([&] { seen.push_back(2); });
  loop.run();
  CHECK(seen == std::vector<int>{1, 2, 3});
}

TEST_CASE("loop: many threads post, nothing is lost, and each thread's order is kept") {
  Loop loop;
  constexpr int kThreads = 4;
  constexpr int kEach = 2000;
  std::vector<std::vector<int>> seen(kThreads);
  int total = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        loop.post([&, t, i] {
          seen[static_cast<size_t>(t)].push_back(i);
          if (++total == kThreads * kEach) loop.stop();
        });
      }
    });
  }
  loop.run();
  for (auto& thread : threads) thread.join();
  for (const auto& list : seen) {
    REQUIRE(list.size() == kEach);
    for (int i = 0; i < kEach; ++i) CHECK(list[static_cast<size_t>(i)] == i);
  }
}

TEST_CASE("loop: a stop that comes before run is not lost, and run may be called again") {
  Loop loop;
  loop.stop();
  loop.run();
  std::thread other([&] {
    CHECK(!loop.in_loop_thread());
    loop.stop();
  });
  loop.run();
  other.join();
  CHECK(loop.in_loop_thread());
}

TEST_CASE("loop: run_until answers whether it happened, also for what another thread does") {
  Loop loop;
  CHECK(!loop.run_until([] { return false; }, Millis(20)));
  std::atomic<bool> happened{false};
  std::thread other([&] { happened = true; });
  CHECK(loop.run_until([&] { return happened.load(); }, kLong));
  other.join();
}

TEST_CASE("loop: what is retired lives until the end of the turn, and may retire more") {
  Loop loop;
  std::vector<std::string> order;
  loop.post([&] {
    loop.retire(std::make_unique<OnDeath>([&] {
      order.emplace_back("first dies");
      loop.retire(std::make_unique<OnDeath>([&] { order.emplace_back("second dies"); }));
    }));
    order.emplace_back("first retired");
  });
  loop.post([&] { order.emplace_back("same turn"); });
  CHECK(loop.run_until([&] { return order.size() == 4; }, kLong));
  CHECK(order ==
        std::vector<std::string>{"first retired", "same turn", "first dies", "second dies"});
}

TEST_CASE("loop: a timer may retire its own owner") {
  struct Owner {
    Owner(Loop& loop, std::unique_ptr<Owner>& slot, bool& dead)
        : timer(loop, [&] { loop.retire(std::move(slot)); }), died(dead) {
      timer.arm(Millis(1));
    }
    ~Owner() { died = true; }
    Timer timer;
    bool& died;
  };
  Loop loop;
  bool dead = false;
  std::unique_ptr<Owner> owner;
  owner = std::make_unique<Owner>(loop, owner, dead);
  CHECK(loop.run_until([&] { return dead; }, kLong));
}

TEST_CASE("loop: tasks and retired objects of a loop that never runs again die with it") {
  int dead = 0;
  {
    Loop loop;
    auto held = std::make_shared<OnDeath>([&] { ++dead; });
    loop.post([held] { FAIL("ran"); });
    held.reset();
    loop.retire(std::make_unique<OnDeath>([&] { ++dead; }));
  }
  CHECK(dead == 2);
}

TEST_CASE("loop: the slab is one block of 512 KiB") {
  Loop loop;
  CHECK(loop.slab().size() == 524'288);
  CHECK(loop.slab().data() == loop.slab().data());
}

TEST_CASE("loop: a handle left open stops the program and is named") {
  int pipe_ends[2];
  REQUIRE(pipe(pipe_ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGABRT, SIG_DFL);
    dup2(pipe_ends[1], STDERR_FILENO);
    static uv_tcp_t leaked;
    {
      Loop loop;
      uv_tcp_init(loop.raw(), &leaked);
    }
    _exit(0);
  }
  close(pipe_ends[1]);
  std::string said;
  char buffer[4096];
  for (ssize_t count = 0; (count = read(pipe_ends[0], buffer, sizeof(buffer))) > 0;) {
    said.append(buffer, static_cast<size_t>(count));
  }
  close(pipe_ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status));
  CHECK(said.find("a tcp handle was left open") != std::string::npos);
}

}  // namespace hms::net
