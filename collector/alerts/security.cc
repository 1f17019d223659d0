// security.cc: identity is service and message; what floods falls into one alert a service.
#include "collector/alerts/security.h"

#include "telemetry/text.h"

namespace hms::collector {
namespace {

constexpr size_t kMaxLabelBytes = 256;
constexpr size_t kMaxMessageBytes = 4096;
constexpr std::string_view kFurther = "further security logs";

LabelMap labels_of(std::string_view service, std::string_view message) {
  return {{"alertname", "SecurityLog"},
          {"severity", "critical"},
          {"service", std::string(telemetry::cut_utf8(service, kMaxLabelBytes))},
          {"msg", std::string(telemetry::cut_utf8(message, kMaxLabelBytes))}};
}

}  // namespace

const Alert* SecurityAlerts::add(std::string_view service, std::string_view message,
                                 std::string_view trace, int64_t now) {
  ++logs_;
  LabelMap labels = labels_of(service, message);
  std::string key = fingerprint(labels);
  auto at = entries_.find(key);
  if (at == entries_.end()) {
    if (now / 60'000 != minute_) {
      minute_ = now / 60'000;
      new_in_minute_ = 0;
    }
    if (new_in_minute_ >= kMaxNewPerMinute || entries_.size() >= kMaxActive) {
      ++folded_;
      labels = labels_of(entries_.size() >= kMaxActive + 100 ? "other" : service, kFurther);
      message = kFurther;
      key = fingerprint(labels);
      at = entries_.find(key);
    }
  }
  if (at != entries_.end()) {
    Entry& entry = at->second;
    entry.last_seen = now;
    entry.alert.value = static_cast<double>(++entry.alert.count);
    entry.alert.annotations["count"] = std::to_string(entry.alert.count);
    return nullptr;
  }
  ++new_in_minute_;
  Entry entry;
  entry.last_seen = now;
  entry.alert.labels = std::move(labels);
  entry.alert.state = AlertState::firing;
  entry.alert.active_at = now;
  entry.alert.fired_at = now;
  entry.alert.value = 1;
  entry.alert.security = true;
  entry.alert.annotations["summary"] =
      std::string(service) + ": " + std::string(telemetry::cut_utf8(message, 512));
  entry.alert.annotations["msg"] = std::string(telemetry::cut_utf8(message, kMaxMessageBytes));
  entry.alert.annotations["count"] = "1";
  if (!trace.empty())
    entry.alert.annotations["traceId"] = std::string(telemetry::cut_utf8(trace, kMaxLabelBytes));
  return &entries_.emplace(std::move(key), std::move(entry)).first->second.alert;
}

void SecurityAlerts::restore(Alert alert, int64_t now) {
  std::string key = fingerprint(alert.labels);
  entries_[std::move(key)] = Entry{std::move(alert), now};
}

std::vector<Alert> SecurityAlerts::expire(int64_t now) {
  std::vector<Alert> over;
  for (auto it = entries_.begin(); it != entries_.end();) {
    if (now - it->second.last_seen < kKeepMillis) {
      ++it;
      continue;
    }
    it->second.alert.state = AlertState::inactive;
    it->second.alert.resolved_at = now;
    over.push_back(std::move(it->second.alert));
    it = entries_.erase(it);
  }
  return over;
}

std::vector<const Alert*> SecurityAlerts::active() const {
  std::vector<const Alert*> all;
  for (const auto& [key, entry] : entries_) all.push_back(&entry.alert);
  return all;
}

}  // namespace hms::collector
