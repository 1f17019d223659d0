// evaluation.h: asks PromQL for one rule's results at one time. Pure, any thread: what the executor
// runs.
#pragma once

#include <memory>
#include <vector>

#include "collector/alerts/rule_state.h"
#include "collector/alerts/rules.h"
#include "collector/query/promql/engine.h"

namespace hms::collector {

struct EvaluationResult {
  size_t group = 0, rule = 0;
  net::Result<std::vector<RuleResult>> results = std::vector<RuleResult>();
  uint64_t micros = 0;
};

/// Errors: as PromqlEngine::instant; bad_message when the expression gives a text or a range.
[[nodiscard]] net::Result<std::vector<RuleResult>> evaluate_rule(
    const promql::PromqlEngine& engine, const Rule& rule, int64_t t_millis,
    const promql::QueryOptions& options);

}  // namespace hms::collector
