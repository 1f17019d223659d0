// evaluation.cc: a PromQL value as rule results.
#include "collector/alerts/evaluation.h"

namespace hms::collector {

net::Result<std::vector<RuleResult>> evaluate_rule(const promql::PromqlEngine& engine,
                                                   const Rule& rule, int64_t t_millis,
                                                   const promql::QueryOptions& options) {
  auto value = engine.instant(*rule.expression, t_millis, options);
  if (!value) return value.error();
  std::vector<RuleResult> results;
  switch (value->kind) {
    case promql::Value::Kind::scalar:
      results.push_back({{}, value->scalar});
      return results;
    case promql::Value::Kind::vector:
      break;
    case promql::Value::Kind::text:
    case promql::Value::Kind::matrix:
      return net::Error{net::Code::bad_message, net::Side::self, false,
                        "the expression gives neither an instant vector nor a scalar"};
  }
  results.reserve(value->vector.size());
  for (const promql::VectorElement& element : value->vector) {
    RuleResult result;
    for (const auto& [name, text] : element.labels) {
      if (name != "__name__" && !text.empty()) result.labels[name] = text;
    }
    result.value = element.histogram ? element.histogram->count : element.value;
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace hms::collector
