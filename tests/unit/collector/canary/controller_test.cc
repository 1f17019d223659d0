#include "collector/canary/controller.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "tests/support/memory_engine.h"
#include "tests/unit/collector/live/batches.h"

using namespace hms;
using namespace hms::collector;
using nlohmann::json;

namespace {

struct Fixture {
  test::TestClock clock;
  net::Loop loop;
  std::unique_ptr<LiveWindow> window;
  LiveHub hub{loop};
  std::unique_ptr<CanaryController> canaries;
  int changes = 0;

  Fixture() {
    LiveWindowOptions options;
    options.clock = [this] { return clock.nanos; };
    window = make_live_window(options);
    canaries = std::make_unique<CanaryController>(loop, *window, hub, nullptr, options.clock);
    canaries->on_change([this] { ++changes; });
  }

  net::Result<bool> put(const char* name, const char* service = "claims",
                        const char* canary = "claims-v2", int step_seconds = 5) {
    json plan = {{"service", service},
                 {"baseline", "claims-v1"},
                 {"canary", canary},
                 {"steps", {5, 50, 100}},
                 {"step_seconds", step_seconds}};
    std::optional<net::Result<bool>> answer;
    canaries->put(name, plan, [&](net::Result<bool> fresh) { answer = std::move(fresh); });
    loop.run_until([&] { return answer.has_value(); }, net::Millis(5000));
    REQUIRE(answer.has_value());
    return *answer;
  }
  net::Result<void> act(const char* name, CanaryController::Action action) {
    return wait([&](auto done) { canaries->act(name, action, done); });
  }
  net::Result<void> remove(const char* name) {
    return wait([&](auto done) { canaries->remove(name, done); });
  }
  net::Result<void> wait(const std::function<void(CanaryController::Done<void>)>& wish) {
    std::optional<net::Result<void>> answer;
    wish([&](net::Result<void> done) { answer = std::move(done); });
    loop.run_until([&] { return answer.has_value(); }, net::Millis(5000));
    REQUIRE(answer.has_value());
    return *answer;
  }

  /// Lets seconds pass with so many requests each.
  void seconds(int count, uint64_t baseline, uint64_t canary, int status = 200,
               double duration = 0.1, bool outbound = false) {
    for (int i = 0; i < count; ++i) {
      const int64_t second = clock.second();
      clock.advance_millis(1000);
      test::MetricsBuilder metrics;
      metrics.requests(outbound ? "ui" : "claims", "/a", second, baseline, 0.1, 200, "claims-v1",
                       outbound);
      metrics.requests(outbound ? "ui" : "claims", "/a", second, canary, duration, status,
                       "claims-v2", outbound);
      window->add(metrics.accepted());
      canaries->on_second(second);
    }
  }
  json get(const char* name) { return json(canaries->get(name).value()); }
};

}  // namespace

TEST_CASE("controller: a good canary goes through its steps and is promoted") {
  Fixture f;
  REQUIRE(f.put("c").ok());
  CHECK(f.changes == 1);
  CHECK(f.get("c")["weight"] == 5);
  CHECK(f.canaries->splits()[0].weight == 5);
  f.seconds(7, 100, 20);
  CHECK(f.get("c")["weight"] == 50);
  f.seconds(7, 60, 60);
  CHECK(f.get("c")["weight"] == 100);
  f.seconds(7, 0, 100);
  const json done = f.get("c");
  CHECK(done["state"] == "promoted");
  CHECK(done["weight"] == 100);
  CHECK(f.canaries->splits()[0].weight == 100);
  REQUIRE(done["record"].size() == 4);
  for (const auto& entry : done["record"]) CHECK(entry["verdict"] == "advance");
  CHECK(done["record"][1]["canary"]["requests"] == 100);
  CHECK(done["record"][1]["weight"] == 50);
}

TEST_CASE(
    "controller: a bad canary is at 0 % after its second bad second, and the record has the "
    "numbers") {
  Fixture f;
  REQUIRE(f.put("c").ok());
  f.seconds(1, 30, 2);  // the second in which it began does not count
  f.seconds(2, 30, 2, 500);
  const json bad = f.get("c");
  CHECK(bad["state"] == "rolled_back");
  CHECK(bad["weight"] == 0);
  CHECK(f.canaries->splits()[0].weight == 0);
  CHECK(f.changes == 2);
  const json last = bad["record"].back();
  CHECK(last["verdict"] == "rollback");
  CHECK(last["weight"] == 0);
  CHECK(last["canary"]["requests"] == 4);
  CHECK(last["canary"]["errors"] == 4);
  CHECK(last["baseline"]["requests"] == 60);
  CHECK(last["baseline"]["p99_ms"].get<double>() == doctest::Approx(100).epsilon(0.03));
}

TEST_CASE("controller: a slow canary is rolled back, too") {
  Fixture f;
  REQUIRE(f.put("c").ok());
  f.seconds(4, 30, 2, 200, 4.0);
  CHECK(f.get("c")["state"] == "rolled_back");
  CHECK(f.get("c")["record"].back()["reason"].get<std::string>().find("took longer than 2000 ms") !=
        std::string::npos);
}

TEST_CASE("controller: a split in the callers' sidecars is judged by what they measured") {
  Fixture f;
  REQUIRE(f.put("c").ok());
  f.seconds(1, 30, 2, 200, 0.1, true);
  f.seconds(3, 30, 2, 503, 0.1, true);
  CHECK(f.get("c")["state"] == "rolled_back");
}

TEST_CASE("controller: without traffic nothing goes forward: it holds and says so once") {
  Fixture f;
  REQUIRE(f.put("c").ok());
  f.seconds(20, 30, 0);
  const json held = f.get("c");
  CHECK(held["state"] == "running");
  CHECK(held["weight"] == 5);
  REQUIRE(held["record"].size() == 2);
  CHECK(held["record"][1]["verdict"] == "hold");
  CHECK(held["record"][1]["reason"].get<std::string>().find("insufficient evidence") == 0);
}

TEST_CASE("controller: paused it stays, but still rolls back; resumed it goes on") {
  Fixture f;
  REQUIRE(f.put("c").ok());
  REQUIRE(f.act("c", CanaryController::Action::pause).ok());
  f.seconds(10, 100, 20);
  CHECK(f.get("c")["weight"] == 5);
  CHECK(f.get("c")["state"] == "paused");
  REQUIRE(f.act("c", CanaryController::Action::resume).ok());
  f.seconds(7, 100, 20);
  CHECK(f.get("c")["weight"] == 50);
  REQUIRE(f.act("c", CanaryController::Action::pause).ok());
  f.seconds(3, 100, 20, 500);
  CHECK(f.get("c")["state"] == "rolled_back");
}

TEST_CASE("controller: by hand, and what a state does not allow is refused") {
  Fixture f;
  using Action = CanaryController::Action;
  CHECK(f.act("nobody", Action::promote).error().code == net::Code::not_found);
  REQUIRE(f.put("c").ok());
  CHECK(f.act("c", Action::resume).error().code == net::Code::already_exists);
  REQUIRE(f.act("c", Action::promote).ok());
  CHECK(f.get("c")["weight"] == 100);
  CHECK(f.act("c", Action::pause).error().detail ==
        "the canary \"c\" is promoted and cannot be paused");
  REQUIRE(f.act("c", Action::rollback).ok());
  CHECK(f.get("c")["state"] == "rolled_back");
  CHECK(f.act("c", Action::rollback).error().code == net::Code::already_exists);
  REQUIRE(f.remove("c").ok());
  CHECK(f.canaries->splits().empty());
  CHECK(f.remove("c").error().code == net::Code::not_found);
}

TEST_CASE(
    "controller: the same plan again changes nothing, another starts anew, and two may not share "
    "an upstream") {
  Fixture f;
  CHECK(f.put("c").value());
  f.seconds(7, 100, 20);
  CHECK_FALSE(f.put("c").value());
  CHECK(f.get("c")["weight"] == 50);
  CHECK_FALSE(f.put("c", "claims", "claims-v2", 9).value());
  CHECK(f.get("c")["weight"] == 5);
  CHECK(f.get("c")["record"].size() == 1);
  CHECK(f.put("d", "claims", "claims-v3").error().code == net::Code::already_exists);
}

TEST_CASE(
    "controller: callers split and measure by an upstream's name alone, so that it belongs to one "
    "service, also when its canary has ended") {
  Fixture f;
  REQUIRE(f.put("c").ok());
  const auto refused = f.put("d", "other", "other-v2");
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == net::Code::already_exists);
  CHECK(refused.error().detail ==
        "the canary \"c\" of the service \"claims\" is running and uses the upstream "
        "\"claims-v1\"; an upstream's name belongs to one service: use another, or delete that "
        "canary");
  REQUIRE(f.act("c", CanaryController::Action::promote).ok());
  CHECK(f.put("d", "other", "other-v2").error().code == net::Code::already_exists);
  REQUIRE(f.remove("c").ok());
  CHECK(f.put("d", "other", "other-v2").ok());
}

TEST_CASE("controller: what the disk refuses holds, and is stored when there is room again") {
  Fixture f;
  test::MemoryEngine engine;
  CanaryController canaries(f.loop, *f.window, f.hub, &engine, [&] { return f.clock.nanos; });
  const json plan = {{"service", "claims"}, {"baseline", "v1"}, {"canary", "v2"}};
  const auto put = [&] {
    return f.wait([&](auto done) {
      canaries.put("c", plan, [done](net::Result<bool> fresh) {
        done(fresh ? net::Result<void>() : net::Result<void>(fresh.error()));
      });
    });
  };
  REQUIRE(put().ok());
  engine.fail = true;
  const auto refused =
      f.wait([&](auto done) { canaries.act("c", CanaryController::Action::rollback, done); });
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == net::Code::no_space);
  CHECK(refused.error().detail.find("this holds from now on, but could not be stored yet") == 0);
  CHECK(canaries.splits()[0].weight == 0);
  CHECK(canaries.stats().unstored > 0);
  engine.fail = false;
  CHECK(f.loop.run_until([&] { return canaries.stats().unstored == 0; }, net::Millis(10'000)));
  const CanaryController again(f.loop, *f.window, f.hub, &engine);
  CHECK(again.get("c").value()["state"] == "rolled_back");
  CHECK(again.get("c").value()["record"].size() == 2);
}

TEST_CASE("controller: of several canaries of one pair the one started last holds the weight") {
  Fixture f;
  REQUIRE(f.put("old").ok());
  REQUIRE(f.act("old", CanaryController::Action::rollback).ok());
  f.clock.advance_millis(10);
  REQUIRE(f.put("new").ok());
  REQUIRE(f.canaries->splits().size() == 1);
  CHECK(f.canaries->splits()[0].name == "new");
  CHECK(f.canaries->splits()[0].weight == 5);
}
