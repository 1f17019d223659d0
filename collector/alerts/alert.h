// alert.h: one alert as a value: what it says, since when, and its identity. Thread: values, any.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "collector/alerts/template.h"

namespace hms::collector {

// inactive ──result──▶ pending ──held for `for`──▶ firing ──no result for `keep_firing_for`──▶
// inactive (resolved_at set)
//                       └──no result──▶ inactive (forgotten)
enum class AlertState : uint8_t { inactive, pending, firing };
[[nodiscard]] std::string_view alert_state_name(AlertState state) noexcept;

struct Alert {
  LabelMap labels;  // with alertname
  LabelMap annotations;
  AlertState state = AlertState::inactive;
  int64_t active_at = 0;    // Unix milliseconds: when the condition began to hold
  int64_t fired_at = 0;     // 0: not yet
  int64_t resolved_at = 0;  // 0: not yet
  int64_t keep_since = 0;   // firing without a result since; 0: has a result
  double value = 0;
  bool security = false;    // from a log with severity "security"
  uint64_t count = 1;       // how often that log came
  std::string group, rule;  // which rule; empty for security

  [[nodiscard]] std::string name() const;
  /// Label service_name, else service, else empty.
  [[nodiscard]] std::string service() const;
};

/// Prometheus' fingerprint of a label set (FNV-1a 64 over sorted names and values, each followed by
/// 0xFF), as 16 hexadecimal digits. The same alert has the same one for ever: it is the
/// deduplication key towards others.
[[nodiscard]] std::string fingerprint(const LabelMap& labels);

/// A value as Prometheus' APIs write it: "1e+00", "5.5e-02".
[[nodiscard]] std::string api_number(double value);

/// The record kept in the store; reading back what cannot be read is an error naming the field.
[[nodiscard]] nlohmann::json to_json(const Alert& alert);
[[nodiscard]] net::Result<Alert> alert_from_json(const nlohmann::json& json);

}  // namespace hms::collector
