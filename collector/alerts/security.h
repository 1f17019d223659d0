// security.h: logs with `severity: security` as alerts: folded when they repeat, bounded when they
// flood. Pure: no clock, no network.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "collector/alerts/alert.h"

namespace hms::collector {

class SecurityAlerts {
 public:
  static constexpr size_t kMaxActive = 1000;
  static constexpr size_t kMaxNewPerMinute = 60;
  static constexpr int64_t kKeepMillis =
      600'000;  // shown, and folded into, for this long after the last such log

  /// The alert if it is a new one, else nullptr (an old one that counts on).
  const Alert* add(std::string_view service, std::string_view message, std::string_view trace,
                   int64_t now_millis);
  void restore(Alert alert, int64_t now_millis);
  /// Those that are over; resolved_at is set.
  [[nodiscard]] std::vector<Alert> expire(int64_t now_millis);
  [[nodiscard]] std::vector<const Alert*> active() const;
  [[nodiscard]] uint64_t logs() const noexcept { return logs_; }
  [[nodiscard]] uint64_t folded() const noexcept { return folded_; }

 private:
  struct Entry {
    Alert alert;
    int64_t last_seen = 0;
  };
  std::map<std::string, Entry> entries_;  // by fingerprint
  int64_t minute_ = 0;
  size_t new_in_minute_ = 0;
  uint64_t logs_ = 0, folded_ = 0;
};

}  // namespace hms::collector
