// silences.h: who shall not be told of which alerts until when, in Alertmanager's v2 form, kept
// across restarts.
//
// A silence whose matchers all match an alert's labels holds its notifications back between
// startsAt and endsAt; the alert itself goes on being shown. What is not stored has no effect: a
// silence, its change or its end that the disk refused leaves things as they were. Ended silences
// stay listed for a day.
// Limits: 1,000 silences, 64 matchers each, 4 KiB a text. Thread: the loop's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "collector/alerts/alert.h"
#include "collector/live/durable_table.h"
#include "collector/store/series_regex.h"
#include "net/core/clock.h"

namespace hms::collector {

/// Unix milliseconds.
struct SilenceTimes {
  int64_t starts_at = 0, ends_at = 0, updated_at = 0;
};

class Silences {
 public:
  /// Reads what is stored; an entry that cannot be read is left out and logged.
  Silences(std::unique_ptr<DurableTable> table, net::Clock clock = {});
  ~Silences();

  /// Makes one, or changes the one whose `id` is given. The answer is its id, after it is durable.
  /// Errors: bad_message (names the field), not_found, too_large.
  void put(const nlohmann::json& json, std::function<void(net::Result<std::string> id)> done);
  /// Ends it now. Errors: not_found.
  void expire(const std::string& id, std::function<void(net::Result<void>)> done);
  /// Newest first. Errors: not_found.
  [[nodiscard]] nlohmann::json list() const;
  [[nodiscard]] net::Result<nlohmann::json> get(const std::string& id) const;
  /// Ids of the silences that hold these labels back now.
  [[nodiscard]] std::vector<std::string> silencing(const LabelMap& labels) const;

 private:
  struct Silence;
  [[nodiscard]] int64_t now() const;
  [[nodiscard]] nlohmann::json shown(const Silence& silence, const SilenceTimes& times) const;
  void store(const Silence& silence, const SilenceTimes& times, DurableTable::Done done);
  void forget_old();
  std::unique_ptr<DurableTable> table_;
  net::Clock clock_;
  std::map<std::string, std::shared_ptr<Silence>> silences_;
  size_t being_made_ = 0;  // new ones that are being stored
};

}  // namespace hms::collector
