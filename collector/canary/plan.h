// plan.h: what a rollout shall do, as a person wrote it: read from JSON, checked, and shown again.
// Pure; any thread.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "net/core/result.h"

namespace hms::collector {

struct CanaryLimits {
  double error_rate = 0.05;
  double p99_ms = 2000;
  bool operator==(const CanaryLimits&) const = default;
};

struct CanaryPlan {
  std::string name, service;
  std::string baseline, canary;                   // upstreams
  std::vector<int> steps = {5, 10, 25, 50, 100};  // per cent, rising
  int64_t step_seconds = 30;
  CanaryLimits limits;
  bool operator==(const CanaryPlan&) const = default;
};

/// Letters, digits, '.', '_' and '-', at most 128.
[[nodiscard]] bool is_canary_name(std::string_view name) noexcept;

/// Fields: service, baseline, canary (required), steps, step_seconds, limits {error_rate, p99_ms}.
/// Errors: bad_message, with the field's name, what was found and what is allowed. Unknown fields
/// are refused. Limits: 50 steps of 1 to 100, 1 s to 86,400 s.
[[nodiscard]] net::Result<CanaryPlan> read_plan(std::string_view name, const nlohmann::json& json);
void write_plan(const CanaryPlan& plan, nlohmann::ordered_json& out);

}  // namespace hms::collector
