// shared_results.h: parts that several expressions have in common, evaluated once.
//
// Rules of one moment ask much the same: "sum by (service_name) (increase(x[4s]))" five times over.
// Whoever evaluates several expressions at one time notes them all first; the calls and
// aggregations that occur at least twice are then kept after their first evaluation and copied for
// the others. For instant questions at one time, with one source; warnings are told by the first
// only. Limits: 256 results. Thread: one evaluation after the other.
#pragma once

#include <map>
#include <string>

#include "collector/query/promql/eval.h"

namespace hms::collector::promql {

class SharedResults {
 public:
  explicit SharedResults(int64_t t_millis) : t_millis_(t_millis) {}
  /// Counts the parts of an expression that will be asked for.
  void note(const Expr& expr);
  /// "" when the part is not worth keeping, or is of another time.
  [[nodiscard]] std::string key_of(const Expr& expr, const Grid& grid) const;
  /// Null: not evaluated yet.
  [[nodiscard]] const std::vector<EvalSeries>* find(const std::string& key) const;
  void keep(const std::string& key, const std::vector<EvalSeries>& series);

 private:
  const int64_t t_millis_;
  std::map<std::string, int> seen_;
  std::map<std::string, std::vector<EvalSeries>> kept_;
};

}  // namespace hms::collector::promql
