// engine_writes.h: what stands between the stores' writes and the disk: a write that is kept until
// the disk takes it, and one that leaves out days that are gone.
//
// Thread: the commit thread's values.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/kv.h"

namespace hms::collector {

/// Keeps what was written, to be written again.
class RecordedWrite final : public KvWriter {
 public:
  void put(Family family, std::string_view key, std::string_view value) override {
    steps_.push_back({Kind::put, family, std::string(key), std::string(value)});
  }
  void remove(Family family, std::string_view key) override {
    steps_.push_back({Kind::remove, family, std::string(key), {}});
  }
  void remove_range(Family family, std::string_view begin, std::string_view end) override {
    steps_.push_back({Kind::remove_range, family, std::string(begin), std::string(end)});
  }
  void replay(KvWriter& writer) const {
    for (const auto& step : steps_) {
      switch (step.kind) {
        case Kind::put:
          writer.put(step.family, step.key, step.value);
          break;
        case Kind::remove:
          writer.remove(step.family, step.key);
          break;
        case Kind::remove_range:
          writer.remove_range(step.family, step.key, step.value);
          break;
      }
    }
  }
  [[nodiscard]] bool empty() const { return steps_.empty(); }
  void clear() { steps_.clear(); }

 private:
  enum class Kind : uint8_t { put, remove, remove_range };
  struct Step {
    Kind kind;
    Family family;
    std::string key, value;  // of a range: its begin and its end
  };
  std::vector<Step> steps_;
};

/// Leaves out what belongs to days that were dropped: what upkeep prepared just before, derived
/// data that came after all (the service map), and points that were read from memory when a day was
/// rolled. A family that was dropped must not come back.
class OpenDaysWriter final : public KvWriter {
 public:
  OpenDaysWriter(KvWriter& out, const std::set<Family>& gone) : out_(out), gone_(gone) {}
  void put(Family family, std::string_view key, std::string_view value) override {
    if (gone_.empty() || !gone_.contains(family)) out_.put(family, key, value);
  }
  void remove(Family family, std::string_view key) override {
    if (gone_.empty() || !gone_.contains(family)) out_.remove(family, key);
  }
  void remove_range(Family family, std::string_view begin, std::string_view end) override {
    if (gone_.empty() || !gone_.contains(family)) out_.remove_range(family, begin, end);
  }

 private:
  KvWriter& out_;
  const std::set<Family>& gone_;
};

}  // namespace hms::collector
