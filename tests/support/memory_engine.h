// memory_engine.h: the engine of unit tests for what only keeps small state: writes go into a
// MemoryKv at once, on the caller's thread, and can be made to fail.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "collector/store/engine.h"
#include "tests/support/memory_kv.h"

namespace hms::test {

class MemoryEngine final : public collector::StorageEngine {
 public:
  bool fail = false;
  std::atomic<bool> hold{false};      // batches are not answered until release()
  std::atomic<size_t> held_count{0};  // any thread

  void append(collector::IngestUnit, Done done) override {
    if (!hold) return done(collector::AppendOutcome{});
    const std::lock_guard lock(mutex_);
    held_.push_back(std::move(done));
    ++held_count;
  }
  void release() {
    const std::lock_guard lock(mutex_);
    hold = false;
    for (const Done& done : held_) done(collector::AppendOutcome{});
    held_.clear();
  }
  void observe(std::function<void(const collector::AcceptedBatch&)>) override {}
  void write(std::function<void(collector::KvWriter&)> fill,
             std::function<void(net::Result<void>)> done) override {
    kv_.fail_commits = fail;
    done(kv_.commit(fill));
  }
  void seal_day(collector::Family, std::function<void(net::Result<void>)> done) override {
    done({});
  }
  void retire_day(collector::Family, std::function<void()>,
                  std::function<void(net::Result<void>)> done) override {
    done({});
  }
  std::map<collector::Family, DayState> lake_days() const override { return {}; }
  const collector::KvReader& reader() const override { return kv_; }
  std::vector<collector::SenderLedger> ledger() const override { return {}; }
  collector::KvStats stats() const override { return {}; }
  bool failing() const noexcept override { return fail; }
  collector::EngineCounters counters() const override { return {}; }
  net::Result<collector::BackupReport> backup(const std::string&) override {
    return net::Error{net::Code::not_found, net::Side::self, false, "nothing here is kept"};
  }
  void close() override {}

 private:
  collector::MemoryKv kv_;
  std::mutex mutex_;
  std::vector<Done> held_;  // mutex_
};

}  // namespace hms::test
