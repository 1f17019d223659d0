#include "net/io/timer_wheel.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <vector>

namespace hms::net {
namespace {

/// Time moves only by `run_until`; turns happen as a loop would make them.
struct FakeDriver final : TimerWheel::Driver {
  uint64_t now = 1'000'003;
  uint64_t wake = std::numeric_limits<uint64_t>::max();
  bool soon = false;
  int turns = 0;

  [[nodiscard]] uint64_t now_millis() const noexcept override { return now; }
  void wake_at(uint64_t at_millis) override { wake = at_millis; }
  void wake_soon() override { soon = true; }
  void sleep() override { wake = std::numeric_limits<uint64_t>::max(); }

  /// One turn of the wheel if it asked for one by now.
  bool turn(TimerWheel& wheel) {
    if (!soon && now < wake) return false;
    soon = false;
    if (now >= wake) sleep();
    ++turns;
    wheel.advance();
    return true;
  }
  void run_until(TimerWheel& wheel, uint64_t until) {
    for (;;) {
      if (turn(wheel)) continue;
      if (wake > until) break;
      now = std::max(now, wake);
    }
    now = until;
  }
};

struct Wheel {
  FakeDriver driver;
  TimerWheel wheel{driver};
};

}  // namespace

TEST_CASE(
    "alarm: calls its owner, tells when it is due, and may be armed again or destroyed there") {
  struct Owner final : Alarm {
    Owner(TimerWheel& wheel, std::unique_ptr<Owner>& self) : Alarm(wheel), self_(self) {}
    void on_alarm() override {
      ++calls();
      if (calls() == 1)
        arm(Millis(50));
      else
        self_.reset();
    }
    static int& calls() {
      static int made = 0;
      return made;
    }
    std::unique_ptr<Owner>& self_;
  };
  Wheel w;
  std::unique_ptr<Owner> owner;
  owner = std::make_unique<Owner>(w.wheel, owner);
  owner->arm(Millis(30));
  CHECK(owner->due_millis() == w.driver.now + 30);
  w.driver.run_until(w.wheel, owner->due_millis() + 10);
  CHECK(Owner::calls() == 1);
  REQUIRE(owner != nullptr);
  CHECK(owner->armed());
  w.driver.run_until(w.wheel, owner->due_millis() + 10);
  CHECK(Owner::calls() == 2);
  CHECK(owner == nullptr);
  CHECK(w.wheel.armed_count() == 0);
}

TEST_CASE("timer: fires once, no earlier than asked and at most one slot later") {
  for (const int64_t delay :
       {1, 9, 10, 11, 19, 20, 250, 999, 40'950, 40'970, 123'456, 86'400'000}) {
    Wheel w;
    CAPTURE(delay);
    uint64_t fired_at = 0;
    int fired = 0;
    Timer timer(w.wheel, [&] {
      fired_at = w.driver.now;
      ++fired;
    });
    const uint64_t due = w.driver.now + static_cast<uint64_t>(delay);
    timer.arm(Millis(delay));
    CHECK(timer.armed());
    w.driver.run_until(w.wheel, due + 100'000);
    CHECK(fired == 1);
    CHECK(!timer.armed());
    CHECK(fired_at >= due);
    CHECK(fired_at < due + TimerWheel::kSlotMillis);
  }
}

TEST_CASE("timer: the driver sleeps while nothing is armed") {
  Wheel w;
  Timer timer(w.wheel, [] {});
  timer.arm(Millis(50));
  timer.disarm();
  CHECK(w.wheel.armed_count() == 0);
  w.driver.run_until(w.wheel, w.driver.now + 1000);
  CHECK(w.driver.wake == std::numeric_limits<uint64_t>::max());
  const int turns = w.driver.turns;
  w.driver.run_until(w.wheel, w.driver.now + 1'000'000);
  CHECK(w.driver.turns == turns);
}

TEST_CASE("timer: re-arming moves it, also from its own callback") {
  Wheel w;
  std::vector<uint64_t> fired;
  const uint64_t start = w.driver.now;
  std::optional<Timer> timer;
  timer.emplace(w.wheel, [&] {
    fired.push_back(w.driver.now - start);
    if (fired.size() < 3) timer->arm(Millis(100));
  });
  timer->arm(Millis(10));
  timer->arm(Millis(500));
  w.driver.run_until(w.wheel, start + 2000);
  REQUIRE(fired.size() == 3);
  CHECK(fired[0] >= 500);
  CHECK(fired[1] >= fired[0] + 100);
  CHECK(fired[2] >= fired[1] + 100);
}

TEST_CASE("timer: delay 0 fires in the next turn, and re-armed with 0 it does not hold the turn") {
  Wheel w;
  int fired = 0;
  std::optional<Timer> timer;
  timer.emplace(w.wheel, [&] {
    ++fired;
    timer->arm(Millis(0));
  });
  timer->arm(Millis(0));
  CHECK(fired == 0);
  for (int i = 1; i <= 5; ++i) {
    CHECK(w.driver.turn(w.wheel));
    CHECK(fired == i);
  }
  timer->arm(Millis(-5));
  CHECK(w.driver.turn(w.wheel));
  CHECK(fired == 6);
}

TEST_CASE("timer: a callback may destroy its own timer, with what the callback holds") {
  Wheel w;
  auto held = std::make_shared<int>(7);
  const std::weak_ptr<int> watch = held;
  auto timer = std::make_unique<std::optional<Timer>>();
  int seen = 0;
  timer->emplace(w.wheel, [&timer, &seen, held] {
    timer.reset();
    seen = *held;
  });
  held.reset();
  (*timer)->arm(Millis(5));
  w.driver.run_until(w.wheel, w.driver.now + 100);
  CHECK(seen == 7);
  CHECK(watch.expired());
}

TEST_CASE("timer: a callback may disarm, re-arm and destroy others that are due in the same slot") {
  Wheel w;
  std::vector<int> fired;
  std::map<int, std::unique_ptr<Timer>> timers;
  for (int i = 0; i < 6; ++i) {
    timers[i] = std::make_unique<Timer>(w.wheel, [&, i] {
      fired.push_back(i);
      if (i != 0) return;
      timers[1]->disarm();
      timers.erase(2);
      timers[3]->arm(Millis(1000));
      timers[4]->arm(Millis(0));
    });
    timers[i]->arm(Millis(20));
  }
  const uint64_t start = w.driver.now;
  w.driver.run_until(w.wheel, start + 500);
  CHECK(fired == std::vector<int>{0, 5, 4});
  w.driver.run_until(w.wheel, start + 2000);
  CHECK(fired == std::vector<int>{0, 5, 4, 3});
}

TEST_CASE("timer: a mass of equal timeouts is spread over turns") {
  Wheel w;
  constexpr size_t kCount = TimerWheel::kFiresPerTurn * 3 + 10;
  size_t fired = 0;
  std::vector<std::unique_ptr<Timer>> timers;
  for (size_t i = 0; i < kCount; ++i) {
    timers.push_back(std::make_unique<Timer>(w.wheel, [&] { ++fired; }));
    timers.back()->arm(Millis(30));
  }
  w.driver.now += 100;
  size_t last = 0;
  int turns = 0;
  while (w.driver.turn(w.wheel)) {
    CHECK(fired - last <= TimerWheel::kFiresPerTurn);
    last = fired;
    ++turns;
  }
  CHECK(fired == kCount);
  CHECK(turns == 4);
}

TEST_CASE("timer: a wheel that dies first disarms its timers") {
  FakeDriver driver;
  auto wheel = std::make_unique<TimerWheel>(driver);
  Timer soon(*wheel, [] {});
  Timer later(*wheel, [] {});
  soon.arm(Millis(0));
  later.arm(Millis(500));
  wheel.reset();
  CHECK(!soon.armed());
  CHECK(!later.armed());
}

TEST_CASE("timer: random operations agree with a plain model") {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto pick = [&](uint64_t bound) {
      return std::uniform_int_distribution<uint64_t>(0, bound - 1)(random);
    };
    Wheel w;
    constexpr size_t kTimers = 40;
    struct Model {
      std::unique_ptr<Timer> timer;
      std::optional<uint64_t> due;  // none: not armed
    };
    std::vector<Model> models(kTimers);
    const std::function<void(size_t)> act = [&](size_t i) {
      Model& model = models[i];
      switch (pick(4)) {
        case 0:
          model.timer->disarm();
          model.due.reset();
          break;
        case 1:
          model.timer.reset();
          model.due.reset();
          break;
        default: {
          const uint64_t delay = pick(10) == 0 ? pick(200'000) : pick(300);
          model.timer->arm(Millis(static_cast<int64_t>(delay)));
          model.due = w.driver.now + delay;
        }
      }
    };
    const auto make = [&](size_t i) {
      models[i].timer = std::make_unique<Timer>(w.wheel, [&, i] {
        REQUIRE(models[i].due.has_value());
        CHECK(w.driver.now >= *models[i].due);
        CHECK(w.driver.now <= *models[i].due + TimerWheel::kSlotMillis);
        models[i].due.reset();
        if (pick(2) == 0) act(i);
        const size_t other = pick(kTimers);
        if (pick(2) == 0 && models[other].timer != nullptr) act(other);
      });
    };
    for (int step = 0; step < 3000; ++step) {
      const size_t i = pick(kTimers);
      if (models[i].timer == nullptr) make(i);
      act(i);
      if (pick(3) == 0) w.driver.run_until(w.wheel, w.driver.now + pick(200));
      size_t armed = 0;
      for (const Model& model : models) {
        CHECK((model.timer != nullptr && model.timer->armed()) == model.due.has_value());
        armed += model.due.has_value() ? 1 : 0;
        if (model.due) CHECK(*model.due + TimerWheel::kSlotMillis >= w.driver.now);
      }
      CHECK(w.wheel.armed_count() == armed);
    }
  }
}

TEST_CASE("timer: on a real loop, zero and short delays fire in order") {
  Loop loop;
  std::vector<int> fired;
  Timer later(loop, [&] { fired.push_back(2); });
  Timer soon(loop, [&] { fired.push_back(1); });
  later.arm(Millis(30));
  soon.arm(Millis(0));
  CHECK(loop.run_until([&] { return fired.size() == 2; }, Millis(10'000)));
  CHECK(fired == std::vector<int>{1, 2});
}

}  // namespace hms::net
