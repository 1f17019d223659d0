// rule_state.h: the state machine of one alerting rule: results of an evaluation in, changes out.
// Pure: no clock, no store, no network.
//
// As prometheus/rules/alerting.go: a result makes an alert pending, held for `for` it fires,
// without a result it keeps firing for `keep_firing_for` and is then resolved. An alert read back
// after a restart keeps firing without a result until `hold_restored_until`: the first seconds have
// no data. Limit: 10,000 alerts a rule. Thread: one at a time.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "collector/alerts/alert.h"
#include "collector/alerts/rules.h"

namespace hms::collector {

struct RuleResult {
  LabelMap labels;  // without __name__
  double value = 0;
};

struct AlertChange {
  enum class Kind : uint8_t { pending, firing, resolved, dropped };  // dropped: was pending
  Kind kind = Kind::pending;
  Alert alert;
};

class RuleState {
 public:
  static constexpr size_t kMaxAlerts = 10'000;

  /// Errors: bad_message ("two results have the same labels ..."), too_large (limit). On an error
  /// all alerts stay as they were.
  [[nodiscard]] net::Result<std::vector<AlertChange>> update(const RuleGroup& group,
                                                             const Rule& rule,
                                                             const std::vector<RuleResult>& results,
                                                             int64_t t_millis);
  /// What was stored before a restart.
  void restore(Alert alert, int64_t hold_restored_until);
  /// The rule is gone: everything that fires is resolved.
  [[nodiscard]] std::vector<AlertChange> clear(int64_t t_millis);
  /// By fingerprint.
  [[nodiscard]] const std::map<std::string, Alert>& active() const noexcept { return active_; }
  [[nodiscard]] AlertState worst() const noexcept;

 private:
  std::map<std::string, Alert> active_;
  int64_t hold_restored_until_ = 0;
};

}  // namespace hms::collector
