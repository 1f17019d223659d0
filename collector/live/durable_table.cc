// durable_table.cc: one write under way, the next one gathering.
#include "collector/live/durable_table.h"

#include <map>
#include <optional>

namespace hms::collector {
namespace {

struct Change {
  std::optional<std::string> value;  // none: remove
  std::vector<DurableTable::Done> done;
};
using Changes = std::map<std::string, Change>;

class EngineTable final : public DurableTable {
 public:
  EngineTable(net::Loop& loop, StorageEngine& engine, Table table)
      : loop_(loop), engine_(engine), prefix_(table_key(table)) {}

  void put(std::string key, std::string value, Done done) override {
    change(std::move(key), std::move(value), std::move(done));
  }
  void remove(std::string key, Done done) override {
    change(std::move(key), std::nullopt, std::move(done));
  }

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
            for (auto& [key, change] : *changes) {
              for (const Done& done : change.done) done(result);
            }
            under_way_ = false;
            if (!waiting_.empty()) write();
          });
        });
  }

  net::Loop& loop_;
  StorageEngine& engine_;
  std::string prefix_;
  Changes waiting_;
  bool under_way_ = false;
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
                                                 Table table) {
  return std::make_unique<EngineTable>(loop, engine, table);
}

std::unique_ptr<DurableTable> make_memory_table(net::Loop& loop) {
  return std::make_unique<MemoryTable>(loop);
}

}  // namespace hms::collector
