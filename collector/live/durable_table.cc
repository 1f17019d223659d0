// durable_table.cc: one write under way, the next one gathering.
#include "collector/live/durable_table.h"

#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include "net/core/log.h"
#include "net/io/timer_wheel.h"

namespace hms::collector {
namespace {

constexpr net::Millis kRetryEvery{1'000};

struct Change {
  std::optional<std::string> value;  // none: remove
  std::vector<DurableTable::Done> done;
};
using Changes = std::map<std::string, Change>;

/// For people, in the log.
std::string_view table_name(Table table) {
  if (table == Table::alert_state) return "alerts";
  if (table == Table::silence) return "silences";
  if (table == Table::canary) return "canaries";
  return table == Table::canary_record ? "canary decisions" : "small state";
}

class EngineTable final : public DurableTable {
 public:
  EngineTable(net::Loop& loop, StorageEngine& engine, Table table, OnFailure on_failure)
      : loop_(loop),
        engine_(engine),
        prefix_(table_key(table)),
        name_(table_name(table)),
        on_failure_(on_failure),
        retry_(loop, [this] {
          if (!under_way_ && !waiting_.empty()) write();
        }) {}

  void put(std::string key, std::string value, Done done) override {
    change(std::move(key), std::move(value), std::move(done));
  }
  void remove(std::string key, Done done) override {
    change(std::move(key), std::nullopt, std::move(done));
  }

  size_t unstored() const override { return waiting_.size() + writing_; }

  net::Result<Entries> load() const override {
    Entries entries;
    std::string end = prefix_;
    end.back() = static_cast<char>(end.back() + 1);
    auto scanned = engine_.reader().scan(Family::meta(), prefix_, end,
                                         [&](std::string_view key, std::string_view value) {
                                           entries.emplace_back(key.substr(prefix_.size()), value);
                                           return true;
                                         });
    if (!scanned) return scanned.error();
    return entries;
  }

 private:
  void change(std::string key, std::optional<std::string> value, Done done) {
    Change& change = waiting_[std::move(key)];
    change.value = std::move(value);
    if (done) change.done.push_back(std::move(done));
    if (!under_way_) write();
  }

  void write() {
    under_way_ = true;
    auto changes = std::make_shared<Changes>(std::move(waiting_));
    waiting_.clear();
    writing_ = changes->size();
    engine_.write(
        [changes, prefix = prefix_](KvWriter& writer) {
          for (const auto& [key, change] : *changes) {
            if (change.value) {
              writer.put(Family::meta(), prefix + key, *change.value);
            } else {
              writer.remove(Family::meta(), prefix + key);
            }
          }
        },
        [this, changes, &loop = loop_,
         token = std::weak_ptr<bool>(alive_)](net::Result<void> result) {
          loop.post([this, changes, result, token] {
            if (!token.lock()) return;
            written(*changes, result);
          });
        });
  }

  void written(Changes& changes, const net::Result<void>& result) {
    under_way_ = false;
    writing_ = 0;
    const bool more = !waiting_.empty();  // what has not been tried yet does not wait
    std::vector<Done> told;
    for (auto& [key, change] : changes)
      std::move(change.done.begin(), change.done.end(), std::back_inserter(told));
    if (!result && on_failure_ == OnFailure::keep) keep(changes, result.error());
    if (result && failing_) {
      failing_ = false;
      net::log_info("what could not be stored is stored now", {{"table", name_}});
    }
    for (const Done& done : told) done(result);
    if (more && !under_way_) write();
  }

  void keep(Changes& changes, const net::Error& error) {
    for (auto& [key, change] : changes) {
      // A newer value of the same key has taken its place.
      waiting_.try_emplace(key, Change{std::move(change.value), {}});
    }
    retry_.arm(kRetryEvery);
    if (std::exchange(failing_, true)) return;
    net::log_error("a change could not be stored; it holds, and is tried again every second",
                   {{"table", name_}, {"error", net::to_string(error)}});
  }

  net::Loop& loop_;
  StorageEngine& engine_;
  const std::string prefix_;
  const std::string_view name_;
  Changes waiting_;
  const OnFailure on_failure_;
  size_t writing_ = 0;
  bool under_way_ = false;
  bool failing_ = false;
  net::Timer retry_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

class MemoryTable final : public DurableTable {
 public:
  explicit MemoryTable(net::Loop& loop) : loop_(loop) {}

  void put(std::string key, std::string value, Done done) override {
    values_[std::move(key)] = std::move(value);
    later(std::move(done));
  }
  void remove(std::string key, Done done) override {
    values_.erase(key);
    later(std::move(done));
  }
  size_t unstored() const override { return 0; }
  net::Result<Entries> load() const override { return Entries(values_.begin(), values_.end()); }

 private:
  void later(Done done) {
    if (!done) return;
    loop_.post([done = std::move(done), token = std::weak_ptr<bool>(alive_)] {
      if (token.lock()) done({});
    });
  }

  net::Loop& loop_;
  std::map<std::string, std::string> values_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace

std::unique_ptr<DurableTable> make_durable_table(net::Loop& loop, StorageEngine& engine,
                                                 Table table, OnFailure on_failure) {
  return std::make_unique<EngineTable>(loop, engine, table, on_failure);
}

std::unique_ptr<DurableTable> make_memory_table(net::Loop& loop) {
  return std::make_unique<MemoryTable>(loop);
}

}  // namespace hms::collector
