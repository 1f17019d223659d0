// The nightly run, by a clock of its own: a real store, a real folder, time as the test sets it.
#include "collector/lake/roller.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <thread>

#include "collector/store/log_store.h"
#include "tests/support/temporary_directory.h"

using namespace hms;
using namespace hms::collector;

namespace {

constexpr uint64_t kMinute = 60'000'000'000ULL, kDay = 24 * 60 * kMinute;
constexpr uint32_t kToday = 20'779;
constexpr uint32_t kNight = 150;  // minute of the day: 02:30

struct Fixture {
  test::TemporaryDirectory folder;
  std::atomic<uint64_t> now{uint64_t{kToday} * kDay + 12 * 60 * kMinute};
  std::atomic<uint64_t> looks{0};  // how often the roller has asked for the time
  std::unique_ptr<LogStore> logs = make_log_store();
  std::unique_ptr<SeriesStore> series = make_series_store({});
  std::unique_ptr<StorageEngine> engine;
  std::unique_ptr<Lake> lake;
  std::unique_ptr<Roller> roller;

  Fixture() {
    EngineOptions options;
    options.kv.directory = folder / "data";
    options.kv.memory_bytes = 32ULL << 20;
    options.keep_old_days = true;
    options.clock = [this] { return now.load(); };
    auto opened = open_engine(options, {logs.get(), series.get()});
    REQUIRE(opened.ok());
    engine = std::move(opened).value();
    auto destination = open_folder_destination(folder / "lake");
    REQUIRE(destination.ok());
    lake = std::make_unique<Lake>(std::move(destination).value());
    RollerOptions rolling;
    rolling.staging_folder = folder / "staging";
    rolling.retention_days = 1;
    rolling.minute_of_day = kNight;
    rolling.look_every = std::chrono::milliseconds(5);
    rolling.clock = [this] {
      ++looks;
      return now.load();
    };
    roller = std::make_unique<Roller>(*engine, *series, *lake, rolling);
  }
  ~Fixture() {
    roller->stop();
    engine->close();
  }

  void add_line(uint32_t day) {
    auto batch = std::make_shared<telemetry::LogBatch>();
    telemetry::ResourceView resource;
    resource.service_name = "claims";
    batch->resources.push_back(resource);
    telemetry::LogView log;
    log.message = batch->keep("a line of day " + std::to_string(day));
    log.time_unix_nanos = uint64_t{day} * kDay + kMinute;
    batch->logs.push_back(log);
    IngestUnit unit;
    unit.batch.arrived_unix_nanos = now;
    unit.batch.logs = std::move(batch);
    std::promise<bool> stored;
    engine->append(std::move(unit),
                   [&stored](net::Result<AppendOutcome> done) { stored.set_value(done.ok()); });
    REQUIRE(stored.get_future().get());
  }
  void set_time(uint32_t day, uint64_t minute) {
    now = uint64_t{day} * kDay + minute * kMinute;
    // The turn that was under way may have asked before; the one after it has not.
    const uint64_t from = looks;
    wait([&] { return looks >= from + 8; });
  }
  static void wait(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!condition() && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    REQUIRE(condition());
  }
};

}  // namespace

TEST_CASE("roller: each night at its minute, the days past the retention go to the lake") {
  Fixture f;
  for (const uint32_t day : {kToday - 1, kToday, kToday + 1}) f.add_line(day);
  f.roller->start();
  f.set_time(kToday, 13 * 60);
  CHECK(f.roller->status().rolled == 0);  // yesterday is kept
  f.set_time(kToday + 1, kNight - 1);
  CHECK(f.roller->status().rolled == 0);  // past the retention now, but not yet the time
  f.now = uint64_t{kToday + 1} * kDay + kNight * kMinute;
  Fixture::wait([&] { return f.roller->status().rolled == 1; });
  CHECK(f.lake->days() == std::vector<uint32_t>{kToday - 1});
  f.set_time(kToday + 1, 23 * 60);
  CHECK(f.roller->status().rolled == 1);  // once a night
  f.now = uint64_t{kToday + 2} * kDay + (kNight + 7) * kMinute;
  Fixture::wait([&] { return f.roller->status().rolled == 2; });
  CHECK(f.lake->days() == std::vector<uint32_t>{kToday - 1, kToday});
  CHECK(f.engine->reader().days() == std::vector<Family>{Family{kToday + 1}});
  CHECK(f.roller->status().failed == 0);
}

TEST_CASE("roller: a night that was missed is made up for at the start, whatever the time") {
  Fixture f;
  f.add_line(kToday - 3);
  f.roller->start();
  Fixture::wait([&] { return f.roller->status().rolled == 1; });
  CHECK(f.lake->days() == std::vector<uint32_t>{kToday - 3});
}
