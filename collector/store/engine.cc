// engine.cc: one commit thread turns waiting batches into atomic, synced groups.
//
// Gathering: a batch that finds the thread idle is written at once; under load (the last group had
// kBusyGroup batches) a group starts at most every kGather (a sync costs over a millisecond) or as
// soon as kGatherBytes wait. A repeat of a batch in the same group waits for the first one's fate;
// a repeat of a stored one is answered after the group it came with. Between groups: writes of
// others, and once a second the stores' own upkeep and retention. What upkeep wants to write is
// kept until the disk takes it: the stores do it once and do not know that it failed.
// Thread: append, write, ledger, stats from any; everything else on the commit thread.
#include "collector/store/engine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <thread>
#include <tuple>
#include <utility>

#include "collector/store/engine_writes.h"
#include "collector/store/keys.h"
#include "collector/store/ledger.h"
#include "net/core/clock.h"
#include "net/core/log.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;
using SteadyClock = std::chrono::steady_clock;

constexpr size_t kMaxWaitingWrites = 10'000;
constexpr uint64_t kGatherBytes = 4ULL * 1024 * 1024;
constexpr uint64_t kMaxGroupBytes =
    64ULL * 1024 * 1024;  // one write batch stays well below what a memtable takes
constexpr std::chrono::milliseconds kGather{50};
constexpr size_t kBusyGroup =
    8;  // batches; a sender that waits for each answer must not wait for company that never comes
constexpr std::chrono::milliseconds kUpkeepEvery{1000};
constexpr uint64_t kRetentionEveryNanos = 60'000'000'000;
constexpr uint64_t kRoomEveryNanos = 10'000'000'000;
constexpr std::string_view kFormatVersion = "2";

uint64_t records_of(const AcceptedBatch& batch) {
  uint64_t sum = 0;
  if (batch.traces) sum += batch.traces->spans.size();
  if (batch.logs) sum += batch.logs->logs.size();
  if (batch.metrics) sum += batch.metrics->points.size();
  return sum;
}

/// One batch alone may hold more than all together: it is taken when nothing else waits.
uint64_t waiting_memory_of(const IngestUnit& unit, uint64_t most) {
  return std::max(unit.bytes, std::min(unit.memory_bytes, most));
}

class Engine final : public StorageEngine {
 public:
  Engine(const EngineOptions& options, std::vector<SignalStore*> stores)
      : retention_days_(options.retention_days),
        keep_old_days_(options.keep_old_days),
        max_waiting_bytes_(options.max_waiting_bytes),
        min_free_bytes_(options.min_free_bytes),
        clock_(options.clock ? options.clock : net::Clock(net::unix_nanos)),
        on_broken_(options.on_broken),
        stores_(std::move(stores)) {}

  ~Engine() override { close(); }

  Result<void> open(const KvOptions& options) {
    auto opened = open_rocks_kv(options);
    if (!opened.ok()) return std::move(opened).error();
    kv_ = std::move(opened).value();
    if (auto checked = check_format(options.directory); !checked.ok()) return checked;
    if (auto loaded = ledger_.load(*kv_); !loaded.ok()) return loaded;
    // Before the stores read them back.
    if (auto read = read_lake_days(); !read.ok()) return read;
    drop_old_days();
    for (auto* store : stores_) {
      if (auto recovered = store->recover(*kv_); !recovered.ok()) return recovered;
      for (const auto& [day, state] : lake_days_) store->seal_day(day);
    }
    thread_ = std::thread([this] { run(); });
    return {};
  }

  void append(IngestUnit unit, Done done) override {
    const uint64_t bytes = unit.bytes, memory = waiting_memory_of(unit, max_waiting_bytes_);
    {
      const std::lock_guard lock(mutex_);
      if (!closing_ && waiting_memory_ + memory <= max_waiting_bytes_) {
        waiting_bytes_ += bytes;
        waiting_memory_ += memory;
        waiting_.push_back({std::move(unit), std::move(done), 0});
        wake_.notify_one();
        return;
      }
    }
    done(refusal("batches waiting to be stored"));
  }

  void observe(std::function<void(const AcceptedBatch&)> observer) override {
    observers_.push_back(std::move(observer));
  }

  void write(std::function<void(KvWriter&)> fill, std::function<void(Result<void>)> done) override {
    {
      const std::lock_guard lock(mutex_);
      if (!closing_ && writes_.size() < kMaxWaitingWrites) {
        writes_.push_back({std::move(fill), std::move(done)});
        wake_.notify_one();
        return;
      }
    }
    done(refusal("writes waiting"));
  }

  void seal_day(Family day, std::function<void(Result<void>)> done) override {
    add_job([this, day, done = std::move(done)] {
      upkeep();  // what the stores have of it in memory alone is written before it is closed
      auto written = set_lake_day(day, DayState::sealed);
      if (written.ok()) {
        for (auto* store : stores_) store->seal_day(day);
      }
      done(std::move(written));
    });
  }

  void retire_day(Family day, std::function<void()> switch_over,
                  std::function<void(Result<void>)> done) override {
    add_job([this, day, switch_over = std::move(switch_over), done = std::move(done)] {
      auto written = set_lake_day(day, DayState::in_lake);
      if (!written.ok()) return done(std::move(written));
      switch_over();
      drop_day(day, "a day that the lake has was dropped");
      done({});
    });
  }

  std::map<Family, DayState> lake_days() const override {
    const std::lock_guard lock(mutex_);
    return lake_days_;
  }

  Result<BackupReport> backup(const std::string& directory) override {
    return kv_->backup(directory);
  }
  const KvReader& reader() const override { return *kv_; }
  std::vector<SenderLedger> ledger() const override { return ledger_.rows(); }
  KvStats stats() const override { return kv_->stats(); }
  bool failing() const noexcept override { return kv_->failing(); }
  std::vector<Damage> damage() const override { return kv_->damage(); }
  EngineCounters counters() const override {
    const std::lock_guard lock(mutex_);
    return counters_;
  }

  void close() override {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
      wake_.notify_one();
    }
    if (thread_.joinable()) thread_.join();
  }

 private:
  struct Waiting {
    IngestUnit unit;
    Done done;
    uint64_t records = 0;
  };
  struct Write {
    std::function<void(KvWriter&)> fill;
    std::function<void(Result<void>)> done;
  };

  void add_job(std::function<void()> job) {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));  // few: one a step of the roller
    wake_.notify_one();
  }

  Error refusal(const char* what) {
    const std::lock_guard lock(mutex_);
    ++counters_.batches_refused;
    if (closing_) return {Code::unavailable, net::Side::self, true, "the collector is stopping"};
    return {Code::overloaded, net::Side::self, true, std::string("too many ") + what};
  }

  // ---------------------------------------------------------------- the commit thread

  void run() {
    auto next_upkeep = SteadyClock::now() + kUpkeepEvery;
    auto not_before = SteadyClock::now();
    for (;;) {
      std::vector<Waiting> group;
      std::deque<Write> writes;
      std::deque<std::function<void()>> jobs;
      bool closing = false;
      {
        std::unique_lock lock(mutex_);
        wake_.wait_until(lock, next_upkeep, [this] {
          return closing_ || !waiting_.empty() || !writes_.empty() || !jobs_.empty();
        });
        // Wakes early for a full group, for the end, and for others' writes (alert state should not
        // wait for bulk data).
        wake_.wait_until(lock, std::min(not_before, next_upkeep), [this] {
          return closing_ || waiting_bytes_ >= kGatherBytes || !writes_.empty() || waiting_.empty();
        });
        closing = closing_;
        take_group(group);
        writes.swap(writes_);
        jobs.swap(jobs_);
      }
      if (!group.empty())
        not_before = SteadyClock::now() +
                     (group.size() >= kBusyGroup ? kGather : std::chrono::milliseconds{0});
      if (!writes.empty()) run_writes(writes);
      if (!group.empty()) commit_group(std::move(group));
      for (const auto& job : jobs) job();
      const bool last = closing && nothing_waits();
      if (last || SteadyClock::now() >= next_upkeep) {
        upkeep();
        next_upkeep = SteadyClock::now() + kUpkeepEvery;
      }
      if (last) return;
    }
  }

  bool nothing_waits() {
    const std::lock_guard lock(mutex_);
    return waiting_.empty() && writes_.empty() && jobs_.empty();
  }

  void take_group(std::vector<Waiting>& group) {
    uint64_t bytes = 0;
    while (!waiting_.empty() &&
           (group.empty() || bytes + waiting_.front().unit.bytes <= kMaxGroupBytes)) {
      const IngestUnit& unit = waiting_.front().unit;
      bytes += unit.bytes;
      waiting_memory_ -= waiting_memory_of(unit, max_waiting_bytes_);
      group.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    waiting_bytes_ -= bytes;
  }

  void commit_group(std::vector<Waiting> group) {
    const uint64_t now = clock_();
    std::vector<Waiting> fresh, repeats;
    std::set<std::tuple<std::string, uint64_t, uint64_t>> in_group;
    for (auto& item : group) {
      item.records = records_of(item.unit.batch);
      ledger_.received(item.unit, item.records, now);
      const auto& identity = item.unit.identity;
      const bool repeat =
          identity &&
          (ledger_.is_stored(*identity) ||
           !in_group.emplace(identity->instance, identity->boot, identity->sequence).second);
      if (repeat) {
        repeats.push_back(std::move(item));
      } else {
        ledger_.stage(item.unit, item.records);
        fresh.push_back(std::move(item));
      }
    }
    if (fresh.empty()) {
      answer_repeats(repeats);
      return;
    }
    std::vector<AcceptedBatch> batches;
    batches.reserve(fresh.size());
    for (const auto& item : fresh) batches.push_back(item.unit.batch);

    Result<void> stored = write_pending_upkeep();
    bool prepared = false;
    if (stored.ok()) {
      stored = kv_->commit([&](KvWriter& kv_writer) {
        prepared = true;
        OpenDaysWriter writer(kv_writer, gone_days_);
        for (auto* store : stores_) store->prepare(batches, writer);
        ledger_.write(writer);
      });
    }
    if (!stored.ok()) {
      fail_group(stored.error(), prepared, batches, fresh, repeats);
      return;
    }
    ledger_.commit();
    for (auto* store : stores_) store->committed(batches);
    for (const auto& batch : batches) {
      for (const auto& observer : observers_) observer(batch);
    }
    tell_recovered();
    count(fresh, 0);
    for (auto& item : fresh) item.done(AppendOutcome{false});
    answer_repeats(repeats);
  }

  void count(const std::vector<Waiting>& stored, uint64_t failed) {
    const std::lock_guard lock(mutex_);
    counters_.batches_stored += stored.size();
    counters_.batches_failed += failed;
    for (const auto& item : stored) counters_.records_stored += item.records;
  }

  void answer_repeats(std::vector<Waiting>& repeats) {
    {
      const std::lock_guard lock(mutex_);
      counters_.batches_repeated += repeats.size();
    }
    for (auto& item : repeats) {
      ledger_.repeated(item.unit, item.records);
      item.done(AppendOutcome{true});
    }
  }

  void fail_group(const Error& error, bool prepared, const std::vector<AcceptedBatch>& batches,
                  std::vector<Waiting>& fresh, std::vector<Waiting>& repeats) {
    ledger_.roll_back();
    if (prepared) {
      for (auto* store : stores_) store->failed(batches);
    }
    tell_failed(error);
    count({}, fresh.size());
    for (auto& item : fresh) item.done(error);
    // A repeat of a batch that is stored since before this group is still right; one of this
    // group's shares its fate.
    for (auto& item : repeats) {
      if (ledger_.is_stored(*item.unit.identity)) {
        ledger_.repeated(item.unit, item.records);
        item.done(AppendOutcome{true});
      } else {
        item.done(error);
      }
    }
  }

  void run_writes(std::deque<Write>& writes) {
    for (auto& write : writes) {
      Result<void> written = write_pending_upkeep();
      if (written.ok()) written = kv_->commit(write.fill);
      if (written.ok())
        tell_recovered();
      else
        tell_failed(written.error());
      write.done(std::move(written));
    }
  }

  // ---------------------------------------------------------------- once a second

  void upkeep() {
    const uint64_t now = clock_();
    if (pending_upkeep_.empty() && !kv_->failing()) {
      for (auto* store : stores_) store->maintain(now, pending_upkeep_);
      if (last_retention_ == 0 || now - last_retention_ > kRetentionEveryNanos) {
        last_retention_ = now;
        ledger_.forget(now, pending_upkeep_);
        drop_old_days();
      }
      make_room(now);
      if (ledger_.dirty()) {
        ledger_.write(pending_upkeep_);
        ledger_.commit();
      }
    }
    // Also with nothing to write: after a failure this is how the engine finds out that the disk
    // takes writes again.
    if (auto written = write_pending_upkeep(); !written.ok())
      tell_failed(written.error());
    else
      tell_recovered();
  }

  Result<void> write_pending_upkeep() {
    if (pending_upkeep_.empty() && !kv_->failing()) return {};
    auto written = kv_->commit([this](KvWriter& kv_writer) {
      OpenDaysWriter writer(kv_writer, gone_days_);
      pending_upkeep_.replay(writer);
    });
    if (written.ok()) pending_upkeep_.clear();
    return written;
  }

  void drop_old_days() {
    if (keep_old_days_) return;
    const uint32_t today = Family::of_unix_nanos(clock_()).day;
    for (const Family day : kv_->days()) {
      if (day.day + retention_days_ >= today) continue;
      drop_day(day, "a day past the retention was dropped");
      const std::lock_guard lock(mutex_);
      ++counters_.days_dropped_for_age;
    }
  }

  /// One day at a time: what it took is free only after a while.
  void make_room(uint64_t now) {
    if (keep_old_days_ || min_free_bytes_ == 0 || now < room_after_) return;
    room_after_ = now + kRoomEveryNanos;
    const uint64_t free = kv_->stats().free_bytes;
    if (free >= min_free_bytes_) return;
    const auto days = kv_->days();
    if (days.empty() || days.front() >= Family::of_unix_nanos(now)) return;
    net::log_warn(
        "the disk is nearly full: the oldest day is dropped before its time",
        {{"day", days.front().day}, {"free_bytes", free}, {"floor_bytes", min_free_bytes_}});
    drop_day(days.front(), "a day was dropped to make room");
    const std::lock_guard lock(mutex_);
    ++counters_.days_dropped_for_room;
  }

  /// For good: what still comes for it goes to the day it came on.
  void drop_day(Family day, std::string_view sentence) {
    gone_days_.insert(day);
    for (auto* store : stores_) {
      store->seal_day(day);
      store->forget_day(day);
    }
    if (auto dropped = kv_->drop_day(day); dropped.ok()) {
      net::log_info(sentence, {{"day", day.day}});
    } else {
      net::log_warn("a day could not be dropped",
                    {{"day", day.day}, {"error", dropped.error().detail}});
    }
  }

  // ---------------------------------------------------------------- days on their way to the lake

  static std::string lake_day_key(Family day) {
    std::string key = table_key(Table::lake_day);
    append_be32(key, day.day);
    return key;
  }

  Result<void> set_lake_day(Family day, DayState state) {
    {
      const std::lock_guard lock(mutex_);
      const auto known = lake_days_.find(day);
      if (known != lake_days_.end() && known->second >= state) return {};
    }
    auto written = write_pending_upkeep();
    if (written.ok()) {
      written = kv_->commit([&](KvWriter& writer) {
        writer.put(Family::meta(), lake_day_key(day),
                   std::string(1, static_cast<char>(static_cast<uint8_t>(state))));
      });
    }
    if (!written.ok()) {
      tell_failed(written.error());
      return written;
    }
    const std::lock_guard lock(mutex_);
    lake_days_[day] = state;
    if (state == DayState::in_lake) gone_days_.insert(day);
    return {};
  }

  /// Also finishes what a crash cut short: a day that the lake has is dropped.
  Result<void> read_lake_days() {
    auto scanned =
        kv_->scan(Family::meta(), table_key(Table::lake_day),
                  std::string(1, static_cast<char>(static_cast<uint8_t>(Table::lake_day) + 1)),
                  [this](std::string_view key, std::string_view value) {
                    if (key.size() != 5 || value.size() != 1) return true;
                    const Family day{read_be32(key.substr(1))};
                    const auto state = value.front() == 2 ? DayState::in_lake : DayState::sealed;
                    lake_days_[day] = state;
                    if (state == DayState::in_lake) gone_days_.insert(day);
                    return true;
                  });
    if (!scanned.ok()) return scanned;
    for (const Family day : kv_->days()) {
      if (gone_days_.contains(day)) drop_day(day, "a day that the lake has was dropped");
    }
    return {};
  }

  // ---------------------------------------------------------------- start-up and messages

  Result<void> check_format(const std::string& directory) {
    auto version = kv_->get(Family::meta(), table_key(Table::schema));
    if (version.ok()) {
      if (version.value() == kFormatVersion) return {};
      return Error{Code::bad_config, net::Side::self, false,
                   "data directory " + directory + " holds format " + version.value() +
                       ", this program reads format " + std::string(kFormatVersion) +
                       "; run the program that wrote it, or use another --data"};
    }
    if (version.error().code != Code::not_found) return std::move(version).error();
    return kv_->commit([](KvWriter& writer) {
      writer.put(Family::meta(), table_key(Table::schema), kFormatVersion);
    });
  }

  void tell_failed(const Error& error) {
    if (error.code == Code::io && !error.may_retry && on_broken_)
      std::exchange(on_broken_, nullptr)(error);
    if (told_failing_) return;
    told_failing_ = true;
    net::log_error("batches cannot be stored; senders are told to try again",
                   {{"error", error.detail}});
  }
  void tell_recovered() {
    if (!told_failing_) return;
    told_failing_ = false;
    net::log_info("batches are stored again");
  }

  const uint32_t retention_days_;
  const bool keep_old_days_;
  const uint64_t max_waiting_bytes_;
  const uint64_t min_free_bytes_;
  const net::Clock clock_;
  std::function<void(const Error&)> on_broken_;  // the commit thread's
  const std::vector<SignalStore*> stores_;
  std::unique_ptr<Kv> kv_;
  Ledger ledger_;
  std::vector<std::function<void(const AcceptedBatch&)>> observers_;

  mutable std::mutex mutex_;
  EngineCounters counters_;  // mutex_
  std::condition_variable wake_;
  std::deque<Waiting> waiting_;             // mutex_
  std::deque<Write> writes_;                // mutex_
  std::deque<std::function<void()>> jobs_;  // mutex_
  std::map<Family, DayState> lake_days_;    // mutex_; changed by the commit thread only
  uint64_t waiting_memory_ = 0;             // mutex_
  uint64_t waiting_bytes_ = 0;              // mutex_
  bool closing_ = false;                    // mutex_

  RecordedWrite pending_upkeep_;  // the commit thread's, as what follows
  std::set<Family> gone_days_;    // the lake has them, or they were dropped since the start
  uint64_t last_retention_ = 0, room_after_ = 0;
  bool told_failing_ = false;

  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<StorageEngine>> open_engine(const EngineOptions& options,
                                                   std::vector<SignalStore*> stores) {
  auto engine = std::make_unique<Engine>(options, std::move(stores));
  if (auto opened = engine->open(options.kv); !opened.ok()) return std::move(opened).error();
  return std::unique_ptr<StorageEngine>(std::move(engine));
}

}  // namespace hms::collector
