// alerts.h: the room's one door: rules in, complete seconds in, batches in; notifications, stream
// events and API answers out.
//
// Rules are evaluated when the live window says that a second is complete (about 0.3 s after its
// end), at the time of that end, in the group's interval, on an executor's thread; states, storage
// and notifications are the loop's. An evaluation that is not done when the next is due makes that
// one missed (counted). A log with `severity: security` makes an alert at once: SecurityLog,
// severity critical, labels service and msg; the same again within ten minutes only counts. Limits:
// 1,000 different security logs at a time and 60 new ones a minute (beyond: folded into one,
// counted). Thread: the loop's.
// Wiring: app.cc. Built after the stores and the engine, destroyed before them and after the
// executor was closed.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "collector/alerts/delivery.h"
#include "collector/alerts/notifier.h"
#include "collector/alerts/rules.h"
#include "collector/alerts/silences.h"
#include "collector/executor.h"
#include "collector/live/hub.h"
#include "collector/live/window.h"
#include "collector/store/engine.h"
#include "collector/store/log_store.h"
#include "collector/store/series_store.h"
#include "net/io/loop.h"

namespace hms::collector {

struct AlertsOptions {
  net::Clock clock;                   // Unix nanoseconds; default the wall clock
  Executor* executor = nullptr;       // nullptr: rules are evaluated on the loop
  std::string external_url;           // of this collector, for links in notifications
  net::Millis hold_restored{15'000};  // how long an alert from before a restart needs no result
};

struct AlertsStats {
  uint64_t groups = 0, rules = 0, evaluations = 0, evaluation_failures = 0, evaluations_missed = 0;
  uint64_t last_evaluation_micros = 0;
  uint64_t pending = 0, firing = 0;
  uint64_t security_logs = 0, security_folded = 0;
  uint64_t live_series = 0;
  uint64_t refused = 0;  // alerts beyond the book's bound
  std::vector<NotifierStats> notifiers;
};

class Alerts {
 public:
  /// `engine` null: nothing outlives the process. `store` null: rules see the live series only.
  /// Both must outlive this.
  Alerts(net::Loop& loop, const LiveWindow& window, LiveHub& hub, StorageEngine* engine,
         const SeriesSource* store, AlertsOptions options = {});
  ~Alerts();
  Alerts(const Alerts&) = delete;
  Alerts& operator=(const Alerts&) = delete;

  /// In force from the next second on. Alerts of rules that stay keep their state; those of rules
  /// that went are resolved.
  void set_rules(RuleSet rules);
  void set_notifiers(std::vector<NotifierConfig> configs);
  void on_batch(const AcceptedBatch& batch);
  /// Once, after the start: security logs of the last ten minutes that were stored but, because of
  /// a kill, not yet made an alert. At most 1,000.
  void recover_security_logs(const LogStore& logs);
  void on_second(int64_t unix_second);
  [[nodiscard]] Silences& silences() noexcept;
  /// `data` of /api/v1/rules; `type` "alert", "record" or empty.
  [[nodiscard]] nlohmann::json rules_json(std::string_view type) const;
  /// `data` of /api/v1/alerts.
  [[nodiscard]] nlohmann::json alerts_json() const;
  [[nodiscard]] AlertsStats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hms::collector
