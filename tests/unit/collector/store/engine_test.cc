#include "collector/store/engine.h"

#include <doctest/doctest.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

#include "collector/store/keys.h"
#include "tests/support/temporary_directory.h"

using namespace hms;
using namespace hms::collector;

namespace {

constexpr uint64_t kDayNanos = 86'400'000'000'000ULL;
constexpr uint64_t kNow = 20'779 * kDayNanos + 12 * 3'600'000'000'000ULL;

/// Stores each log's message under its batch's order, and records what the engine told it.
class RecordingStore final : public SignalStore {
 public:
  net::Result<void> recover(const KvReader& reader) override {
    for (const Family day : reader.days()) recovered_days.push_back(day.day);
    return {};
  }
  void prepare(std::span<const AcceptedBatch> group, KvWriter& writer) override {
    groups.push_back(group.size());
    for (const auto& batch : group) {
      const Family day = Family::of_unix_nanos(batch.arrived_unix_nanos);
      if (!batch.logs) continue;
      for (const auto& log : batch.logs->logs)
        writer.put(day, table_key(Table::log_chunk) + std::string(log.message), "");
    }
    if (on_prepare) on_prepare();
  }
  void committed(std::span<const AcceptedBatch> group) override {
    committed_batches += group.size();
  }
  void failed(std::span<const AcceptedBatch> group) override { failed_batches += group.size(); }
  void maintain(uint64_t, KvWriter& writer) override {
    writer.put(Family::meta(), table_key(Table::catalogue) + "upkeep", "1");
    const uint32_t day = upkeep_day;
    if (day != 0) writer.put(Family{day}, table_key(Table::series_chunk) + "derived", "1");
    ++maintained;
  }
  void seal_day(Family day) override { sealed_days.push_back(day.day); }
  void forget_day(Family day) override { forgotten_days.push_back(day.day); }

  std::vector<uint32_t> recovered_days, forgotten_days, sealed_days;
  std::vector<size_t> groups;
  std::atomic<size_t> committed_batches{0}, failed_batches{0}, maintained{0};
  std::atomic<uint32_t> upkeep_day{0};  // maintain writes something into it
  std::function<void()> on_prepare;
};

IngestUnit log_unit(const std::string& message, uint64_t arrived = kNow) {
  auto logs = std::make_shared<telemetry::LogBatch>();
  telemetry::LogView log;
  log.message = logs->keep(message);
  log.time_unix_nanos = arrived;
  logs->logs.push_back(log);
  IngestUnit unit;
  unit.batch.arrived_unix_nanos = arrived;
  unit.batch.logs = std::move(logs);
  unit.service = "claims";
  unit.bytes = message.size();
  return unit;
}

IngestUnit numbered(const std::string& message, uint64_t sequence, uint64_t boot = 1) {
  IngestUnit unit = log_unit(message);
  unit.identity = BatchIdentity{"6f1f2b9e-0000-7000-8000-000000000001", boot, sequence};
  return unit;
}

/// One engine over a directory that outlives it.
struct Bench {
  explicit Bench(const std::string& path, uint64_t now = kNow) : clock_value(now) {
    EngineOptions options;
    options.kv.directory = path;
    options.kv.memory_bytes = 32ULL << 20;
    options.clock = [this] { return clock_value.load(); };
    auto opened = open_engine(options, {&store});
    REQUIRE_MESSAGE(opened.ok(), (opened.ok() ? "" : opened.error().detail));
    engine = std::move(opened).value();
  }
  std::future<net::Result<AppendOutcome>> append(IngestUnit unit) {
    auto promise = std::make_shared<std::promise<net::Result<AppendOutcome>>>();
    auto future = promise->get_future();
    engine->append(std::move(unit), [promise](net::Result<AppendOutcome> outcome) {
      promise->set_value(std::move(outcome));
    });
    return future;
  }
  AppendOutcome stored(IngestUnit unit) {
    auto outcome = append(std::move(unit)).get();
    REQUIRE(outcome.ok());
    return outcome.value();
  }
  bool has(const std::string& message, uint32_t day = 20'779) const {
    return engine->reader().get(Family{day}, table_key(Table::log_chunk) + message).ok();
  }
  SenderLedger row(uint64_t boot = 1) const {
    for (const auto& sender : engine->ledger()) {
      if (sender.boot == boot) return sender;
    }
    return {};
  }

  RecordingStore store;
  std::atomic<uint64_t> clock_value;
  std::unique_ptr<StorageEngine> engine;
};

/// Lets the first group wait inside `prepare`, so that what comes meanwhile is one group.
class Gate {
 public:
  void wait() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void wait_for_arrival() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return arrived_ > 0; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int arrived_ = 0;
};

}  // namespace

TEST_CASE("engine: a batch is readable once it is acknowledged, and after a restart") {
  const test::TemporaryDirectory directory;
  {
    Bench bench(directory.path());
    CHECK_FALSE(bench.stored(log_unit("one")).repeated);
    CHECK(bench.has("one"));
    CHECK(bench.store.committed_batches == 1);
  }
  Bench again(directory.path());
  CHECK(again.has("one"));
  CHECK(again.store.recovered_days == std::vector<uint32_t>{20'779});
}

TEST_CASE(
    "engine: a batch sent again is answered as stored and stored once, also after a restart") {
  const test::TemporaryDirectory directory;
  {
    Bench bench(directory.path());
    CHECK_FALSE(bench.stored(numbered("a", 7)).repeated);
    CHECK(bench.stored(numbered("a", 7)).repeated);
    CHECK(bench.store.committed_batches == 1);
  }
  Bench again(directory.path());
  CHECK(again.stored(numbered("a", 7)).repeated);
  CHECK_FALSE(again.stored(numbered("a", 7, 2)).repeated);  // another boot counts anew
  CHECK(again.store.committed_batches == 1);
  const SenderLedger row = again.row();
  CHECK(row.batches_received == 3);
  CHECK(row.batches_stored == 1);
  CHECK(row.batches_repeated == 2);
  CHECK(row.records_repeated == 2);
  CHECK(row.last_sequence == 7);
  CHECK(row.service == "claims");
}

TEST_CASE(
    "engine: batches that come during a commit are one group, and a repeat in it is stored once") {
  const test::TemporaryDirectory directory;
  Bench bench(directory.path());
  Gate gate;
  bool first = true;
  bench.store.on_prepare = [&] {
    if (std::exchange(first, false)) gate.wait();
  };
  auto head = bench.append(log_unit("head"));
  gate.wait_for_arrival();
  std::vector<std::future<net::Result<AppendOutcome>>> rest;
  for (uint64_t i = 1; i <= 20; ++i)
    rest.push_back(bench.append(numbered("m" + std::to_string(i), i)));
  auto repeat = bench.append(numbered("m20", 20));
  gate.open();
  CHECK(head.get().ok());
  for (auto& outcome : rest) CHECK_FALSE(outcome.get().value().repeated);
  CHECK(repeat.get().value().repeated);
  CHECK(bench.store.groups == std::vector<size_t>{1, 20});
  CHECK(bench.row().batches_missing == 0);
}

TEST_CASE(
    "engine: a group that cannot be written is forgotten by the stores, and its batches may come "
    "again") {
  const test::TemporaryDirectory directory;
  Bench bench(directory.path());
  // More day families than can be: the write is refused as a whole.
  class Overfull final : public SignalStore {
   public:
    net::Result<void> recover(const KvReader&) override { return {}; }
    void prepare(std::span<const AcceptedBatch>, KvWriter& writer) override {
      if (!refuse) return;
      for (uint32_t day = 30'000; day < 30'020; ++day) writer.put(Family{day}, "x", "");
    }
    void committed(std::span<const AcceptedBatch>) override {}
    void failed(std::span<const AcceptedBatch> group) override { failed_batches += group.size(); }
    void maintain(uint64_t, KvWriter&) override {}
    void forget_day(Family) override {}
    bool refuse = true;
    size_t failed_batches = 0;
  } overfull;
  bench.engine.reset();
  EngineOptions options;
  options.kv.directory = directory.path();
  options.kv.memory_bytes = 32ULL << 20;
  options.kv.max_days = 8;
  options.clock = [] { return kNow; };
  bench.engine = std::move(open_engine(options, {&bench.store, &overfull})).value();

  auto failed = bench.append(numbered("a", 1)).get();
  REQUIRE_FALSE(failed.ok());
  CHECK(bench.store.failed_batches == 1);
  CHECK(overfull.failed_batches == 1);
  CHECK_FALSE(bench.has("a"));
  overfull.refuse = false;
  CHECK_FALSE(bench.stored(numbered("a", 1)).repeated);
  CHECK(bench.has("a"));
  CHECK(bench.row().batches_stored == 1);
  CHECK(bench.row().batches_received == 2);
  CHECK(bench.engine->counters().batches_failed == 1);
  bench.engine.reset();  // before the store that only this test has
}

TEST_CASE("engine: gaps and what the sender says it dropped stand in the ledger") {
  const test::TemporaryDirectory directory;
  Bench bench(directory.path());
  for (const uint64_t sequence : {1U, 2U, 5U}) {
    IngestUnit unit = numbered("m" + std::to_string(sequence), sequence);
    unit.reported_dropped = {{"spool_full", sequence * 10}};
    bench.stored(std::move(unit));
  }
  const SenderLedger row = bench.row();
  CHECK(row.batches_missing == 2);
  CHECK(row.last_sequence == 5);
  CHECK(row.dropped.at("spool_full") == 50);
  CHECK(row.last_seen_unix_nanos == kNow);
}

TEST_CASE("engine: observers see each stored batch once and before its sender is answered") {
  const test::TemporaryDirectory directory;
  Bench bench(directory.path());
  std::atomic<int> seen{0};
  bench.engine->observe([&](const AcceptedBatch& batch) {
    CHECK(batch.logs != nullptr);
    ++seen;
  });
  bench.stored(numbered("a", 1));
  CHECK(seen == 1);
  bench.stored(numbered("a", 1));
  CHECK(seen == 1);
}

TEST_CASE("engine: writes of others are atomic groups of their own") {
  const test::TemporaryDirectory directory;
  Bench bench(directory.path());
  std::promise<bool> written;
  bench.engine->write(
      [](KvWriter& writer) {
        writer.put(Family::meta(), table_key(Table::silence) + "1", "quiet");
      },
      [&](net::Result<void> result) { written.set_value(result.ok()); });
  CHECK(written.get_future().get());
  CHECK(bench.engine->reader().get(Family::meta(), table_key(Table::silence) + "1").value() ==
        "quiet");
}

TEST_CASE("engine: closing stores what waits; later batches are refused") {
  const test::TemporaryDirectory directory;
  Bench bench(directory.path());
  std::vector<std::future<net::Result<AppendOutcome>>> outcomes;
  for (int i = 0; i < 50; ++i) outcomes.push_back(bench.append(log_unit("m" + std::to_string(i))));
  bench.engine->close();
  for (auto& outcome : outcomes) CHECK(outcome.get().ok());
  CHECK(bench.store.maintained > 0);
  auto late = bench.append(log_unit("late")).get();
  REQUIRE_FALSE(late.ok());
  CHECK(late.error().code == net::Code::unavailable);
}

TEST_CASE("engine: more bytes than may wait are refused at once as overload") {
  const test::TemporaryDirectory directory;
  Bench bench(directory.path());
  IngestUnit large = log_unit("large");
  large.bytes = 300ULL << 20;
  auto outcome = bench.append(std::move(large)).get();
  REQUIRE_FALSE(outcome.ok());
  CHECK(outcome.error().code == net::Code::overloaded);
  CHECK(bench.engine->counters().batches_refused == 1);
  CHECK(bench.stored(log_unit("small")).repeated == false);
  // Few bytes on the way, much in memory: taken alone, or it would be refused for ever.
  IngestUnit wide = log_unit("wide");
  wide.memory_bytes = 300ULL << 20;
  CHECK(bench.stored(std::move(wide)).repeated == false);
}

TEST_CASE(
    "engine: days past the retention are dropped when the data is opened, and senders silent for a "
    "day are forgotten") {
  const test::TemporaryDirectory directory;
  {
    Bench bench(directory.path());
    bench.stored(numbered("old", 1));
    CHECK(bench.has("old"));
  }
  {
    Bench day_30(directory.path(), kNow + 30 * kDayNanos);
    CHECK(day_30.has("old"));
  }
  Bench day_31(directory.path(), kNow + 31 * kDayNanos);
  CHECK_FALSE(day_31.has("old"));
  CHECK(day_31.store.forgotten_days == std::vector<uint32_t>{20'779});
  CHECK(day_31.store.recovered_days.empty());
  day_31.engine->close();  // its last upkeep forgets
  CHECK(day_31.engine->ledger().empty());
}

TEST_CASE("engine: data of another format is refused and named") {
  const test::TemporaryDirectory directory;
  {
    Bench bench(directory.path());
    std::promise<void> written;
    bench.engine->write(
        [](KvWriter& writer) { writer.put(Family::meta(), table_key(Table::schema), "9"); },
        [&](net::Result<void>) { written.set_value(); });
    written.get_future().get();
  }
  EngineOptions options;
  options.kv.directory = directory.path();
  const auto opened = open_engine(options, {});
  REQUIRE_FALSE(opened.ok());
  CHECK(opened.error().code == net::Code::bad_config);
  CHECK(opened.error().detail.find("format 9") != std::string::npos);
}

TEST_CASE("engine: many threads append at once and each batch is stored once") {
  const test::TemporaryDirectory directory;
  Bench bench(directory.path());
  constexpr int kThreads = 4, kBatches = 50;
  std::atomic<int> repeated{0}, stored{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kBatches; ++i) {  // every thread sends the same batches
        auto outcome =
            bench.append(numbered("m" + std::to_string(i), static_cast<uint64_t>(i + 1))).get();
        if (outcome.ok()) ++(outcome.value().repeated ? repeated : stored);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(stored == kBatches);
  CHECK(repeated == kBatches * (kThreads - 1));
  CHECK(bench.store.committed_batches == kBatches);
}

TEST_CASE("engine: what upkeep wrote for a day that is dropped then does not bring it back") {
  const test::TemporaryDirectory directory;
  {
    Bench bench(directory.path());
    bench.stored(log_unit("old"));
  }
  // The day is past the retention only at the upkeep that ends the run.
  Bench bench(directory.path(), kNow + 30 * kDayNanos);
  CHECK(bench.has("old"));
  const size_t before = bench.store.maintained;
  while (bench.store.maintained == before) std::this_thread::yield();
  bench.store.upkeep_day = 20'779;
  bench.clock_value = kNow + 31 * kDayNanos;
  bench.engine->close();
  CHECK(bench.store.forgotten_days == std::vector<uint32_t>{20'779});
  CHECK(bench.engine->reader().days().empty());
}

TEST_CASE("engine: a day is sealed, then retired, and neither is forgotten by a restart") {
  const test::TemporaryDirectory directory;
  const Family day{20'779};
  const auto wait = [](const auto& start) {
    std::promise<net::Result<void>> promise;
    start([&promise](net::Result<void> outcome) { promise.set_value(std::move(outcome)); });
    return promise.get_future().get();
  };
  {
    Bench bench(directory.path());
    bench.stored(log_unit("a"));
    CHECK(wait([&](auto done) { bench.engine->seal_day(day, std::move(done)); }).ok());
    CHECK(bench.store.sealed_days == std::vector<uint32_t>{day.day});
  }
  {
    Bench bench(directory.path());
    CHECK(bench.store.sealed_days == std::vector<uint32_t>{day.day});
    CHECK(bench.engine->lake_days().at(day) == StorageEngine::DayState::sealed);
    CHECK(bench.has("a"));
    bool switched = false;
    const auto retire = [&](auto done) {
      bench.engine->retire_day(
          day,
          [&] {
            switched = true;
            CHECK(bench.has("a"));  // dropped only afterwards
          },
          std::move(done));
    };
    CHECK(wait(retire).ok());
    CHECK(switched);
    CHECK_FALSE(bench.has("a"));
    CHECK(bench.store.forgotten_days == std::vector<uint32_t>{day.day});
    // What a store writes there nevertheless does not bring the family back.
    bench.stored(log_unit("b"));
    CHECK(bench.engine->reader().days().empty());
  }
  Bench bench(directory.path());
  CHECK(bench.engine->lake_days().at(day) == StorageEngine::DayState::in_lake);
}

TEST_CASE("engine: with a lake, days past the retention wait") {
  const test::TemporaryDirectory directory;
  {
    Bench bench(directory.path());
    bench.stored(log_unit("a"));
  }
  RecordingStore store;
  EngineOptions options;
  options.kv.directory = directory.path();
  options.kv.memory_bytes = 32ULL << 20;
  options.clock = [] { return kNow + 100 * kDayNanos; };
  options.keep_old_days = true;
  const auto engine = std::move(open_engine(options, {&store})).value();
  CHECK(engine->reader().days() == std::vector<Family>{Family{20'779}});
}

TEST_CASE("engine: batch identities are a UUID and two numbers within bounds") {
  const std::string uuid = "0190a0b0-0000-7000-8000-00000000000a";
  const auto good = parse_batch_identity(uuid + "/18446744073709551615/4294967295");
  REQUIRE(good.ok());
  CHECK(good->instance == uuid);
  CHECK(good->boot == UINT64_MAX);
  CHECK(good->sequence == 4'294'967'295);
  for (const char* same :
       {"0190A0B0-0000-7000-8000-00000000000A/1/1", "0190a0b000007000800000000000000a/1/1"}) {
    const auto other = parse_batch_identity(same);
    REQUIRE_MESSAGE(other.ok(), same);
    CHECK(other->instance == uuid);
  }
  for (const char* bad :
       {"", "hello/1/1", "/1/1", "0190a0b0-0000-7000-8000-00000000000/1/1",
        "0190a0b0-0000-7000-8000-00000000000g/1/1", "0190a0b0-0000-7000-80000-0000000000a/1/1"}) {
    CHECK_MESSAGE(!parse_batch_identity(bad).ok(), bad);
  }
  for (const char* bad : {"", "/", "/1", "//1", "/1/", "/1/x", "/-1/2", "/1/2/3", "/1/4294967296",
                          "/18446744073709551616/1"}) {
    CHECK_MESSAGE(!parse_batch_identity(uuid + bad).ok(), bad);
  }
}
