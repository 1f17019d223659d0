// rule_state.cc: one step of the machine.
#include "collector/alerts/rule_state.h"

#include <algorithm>
#include <set>

namespace hms::collector {
namespace {

net::Error fault(net::Code code, std::string detail) {
  return {code, net::Side::self, false, std::move(detail)};
}

Alert made(const RuleGroup& group, const Rule& rule, const RuleResult& result) {
  Alert alert;
  alert.labels = result.labels;
  for (const auto& [name, text] : rule.labels) {
    std::string value = text.expand(result.labels, result.value);
    if (value.empty()) {
      alert.labels.erase(name);  // an empty label is no label
    } else {
      alert.labels[name] = std::move(value);
    }
  }
  alert.labels["alertname"] = rule.name;
  for (const auto& [name, text] : rule.annotations)
    alert.annotations[name] = text.expand(result.labels, result.value);
  alert.value = result.value;
  alert.group = group.name;
  alert.rule = rule.name;
  return alert;
}

}  // namespace

net::Result<std::vector<AlertChange>> RuleState::update(const RuleGroup& group, const Rule& rule,
                                                        const std::vector<RuleResult>& results,
                                                        int64_t t) {
  const size_t most = group.limit == 0 ? kMaxAlerts : std::min<size_t>(kMaxAlerts, group.limit);
  if (results.size() > most) {
    return fault(net::Code::too_large, "the rule gave " + std::to_string(results.size()) +
                                           " alerts, at most " + std::to_string(most) +
                                           " are allowed");
  }
  std::map<std::string, Alert> found;
  for (const RuleResult& result : results) {
    Alert alert = made(group, rule, result);
    std::string key = fingerprint(alert.labels);
    if (!found.emplace(std::move(key), std::move(alert)).second) {
      return fault(net::Code::bad_message,
                   "two results have the same labels once the rule's labels are added");
    }
  }
  std::vector<AlertChange> changes;
  for (auto& [key, fresh] : found) {
    const auto at = active_.find(key);
    if (at != active_.end()) {
      at->second.value = fresh.value;
      at->second.annotations = std::move(fresh.annotations);
      at->second.keep_since = 0;
      continue;
    }
    fresh.state = AlertState::pending;
    fresh.active_at = t;
    if (rule.hold.count() > 0) changes.push_back({AlertChange::Kind::pending, fresh});
    active_.emplace(key, std::move(fresh));
  }
  for (auto it = active_.begin(); it != active_.end();) {
    Alert& alert = it->second;
    if (found.contains(it->first)) {
      if (alert.state == AlertState::pending && t - alert.active_at >= rule.hold.count()) {
        alert.state = AlertState::firing;
        alert.fired_at = t;
        changes.push_back({AlertChange::Kind::firing, alert});
      }
      ++it;
      continue;
    }
    if (alert.state == AlertState::pending) {
      changes.push_back({AlertChange::Kind::dropped, alert});
      it = active_.erase(it);
      continue;
    }
    if (alert.keep_since == 0) alert.keep_since = t;
    if ((rule.keep_firing.count() > 0 && t - alert.keep_since < rule.keep_firing.count()) ||
        t < hold_restored_until_) {
      ++it;
      continue;
    }
    alert.state = AlertState::inactive;
    alert.resolved_at = t;
    changes.push_back({AlertChange::Kind::resolved, alert});
    it = active_.erase(it);
  }
  return changes;
}

void RuleState::restore(Alert alert, int64_t hold_restored_until) {
  hold_restored_until_ = std::max(hold_restored_until_, hold_restored_until);
  std::string key = fingerprint(alert.labels);
  active_.insert_or_assign(std::move(key), std::move(alert));
}

std::vector<AlertChange> RuleState::clear(int64_t t) {
  std::vector<AlertChange> changes;
  for (auto& [key, alert] : active_) {
    const bool fired = alert.state == AlertState::firing;
    alert.state = AlertState::inactive;
    alert.resolved_at = t;
    changes.push_back(
        {fired ? AlertChange::Kind::resolved : AlertChange::Kind::dropped, std::move(alert)});
  }
  active_.clear();
  return changes;
}

AlertState RuleState::worst() const noexcept {
  AlertState state = AlertState::inactive;
  for (const auto& [key, alert] : active_) state = std::max(state, alert.state);
  return state;
}

}  // namespace hms::collector
