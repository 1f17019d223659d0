// memory_kv.h: the Kv of unit tests: ordered maps in memory, the same contract as the RocksDB one
// (kv.h), and a switch that makes commits fail.
#pragma once

#include <map>
#include <string>

#include "collector/store/kv.h"

namespace hms::collector {

class MemoryKv final : public Kv {
 public:
  bool fail_commits = false;

  net::Result<std::string> get(Family family, std::string_view key) const override {
    const auto table = families_.find(family);
    if (table != families_.end()) {
      if (const auto it = table->second.find(std::string(key)); it != table->second.end())
        return it->second;
    }
    return net::Error{net::Code::not_found, net::Side::self, false, "no such key"};
  }

  net::Result<void> scan(Family family, std::string_view begin, std::string_view end,
                         const Visitor& visit, bool backwards) const override {
    const auto table = families_.find(family);
    if (table == families_.end()) return {};
    auto first = table->second.lower_bound(std::string(begin));
    auto last = end.empty() ? table->second.end() : table->second.lower_bound(std::string(end));
    if (!backwards) {
      for (; first != last; ++first) {
        if (!visit(first->first, first->second)) break;
      }
      return {};
    }
    while (last != first) {
      --last;
      if (!visit(last->first, last->second)) break;
    }
    return {};
  }

  std::vector<Family> days() const override {
    std::vector<Family> days;
    for (const auto& [family, table] : families_) {
      if (family != Family::meta()) days.push_back(family);
    }
    return days;
  }

  net::Result<void> commit(const std::function<void(KvWriter&)>& fill) override {
    Writer writer;
    fill(writer);
    if (fail_commits)
      return net::Error{net::Code::no_space, net::Side::self, false, "the disk is full"};
    for (auto& [family, key, value, kind] : writer.operations) {
      auto& table = families_[family];
      if (kind == Writer::Kind::put)
        table[key] = value;
      else if (kind == Writer::Kind::remove)
        table.erase(key);
      else
        table.erase(table.lower_bound(key), table.lower_bound(value));
    }
    return {};
  }

  net::Result<void> drop_day(Family day) override {
    families_.erase(day);
    return {};
  }
  KvStats stats() const override { return {}; }
  bool failing() const noexcept override { return fail_commits; }
  [[nodiscard]] size_t keys(Family family) const {
    const auto table = families_.find(family);
    return table == families_.end() ? 0 : table->second.size();
  }
  [[nodiscard]] std::map<std::string, std::string>& table(Family family) {
    return families_[family];
  }

 private:
  struct Writer final : KvWriter {
    enum class Kind { put, remove, remove_range };
    struct Operation {
      Family family;
      std::string key, value;  // of a range: its begin and its end
      Kind kind;
    };
    std::vector<Operation> operations;
    void put(Family family, std::string_view key, std::string_view value) override {
      operations.push_back({family, std::string(key), std::string(value), Kind::put});
    }
    void remove(Family family, std::string_view key) override {
      operations.push_back({family, std::string(key), "", Kind::remove});
    }
    void remove_range(Family family, std::string_view begin, std::string_view end) override {
      operations.push_back({family, std::string(begin), std::string(end), Kind::remove_range});
    }
  };
  std::map<Family, std::map<std::string, std::string>> families_;
};

}  // namespace hms::collector
