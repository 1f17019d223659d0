// record.h: one decision about a canary, with the numbers it was made on; as JSON for the API and
// the store. Pure; any thread.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "collector/canary/verdict.h"

namespace hms::collector {

struct CanaryDecision {
  int64_t ts_millis = 0;
  int weight = 0;  // from this decision on
  Verdict::Kind verdict = Verdict::Kind::hold;
  std::string reason;
  VersionCounts baseline, canary;
};

/// {"ts","weight","verdict","reason","baseline":{"requests","errors","p99_ms"},"canary":{...}}
[[nodiscard]] nlohmann::ordered_json decision_json(const CanaryDecision& decision);
/// Errors: corrupt.
[[nodiscard]] net::Result<CanaryDecision> decision_from_json(const nlohmann::json& json);

}  // namespace hms::collector
