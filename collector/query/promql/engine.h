// engine.h: asks a PromQL question of a SeriesSource: at one time, or over a range of steps.
//
// Errors, by Code:  bad_message  the expression is wrong ("1:23: parse error: ..."; API: 400
// bad_data)
//                   unsupported  it cannot be evaluated on this data (many-to-many match; API: 422
//                   execution) too_large    a limit below (API: 422)      timeout, canceled (API:
//                   503)
// Thread: any, many at once; an Expression is immutable and may be shared. Limits: QueryOptions,
// and kMax... below.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "collector/parallel.h"
#include "collector/query/promql/value.h"
#include "collector/store/series_store.h"
#include "net/core/clock.h"
#include "net/core/result.h"

namespace hms::collector::promql {

struct Expr;  // ast.h
/// A parsed and type-checked expression.
using Expression = std::shared_ptr<const Expr>;

inline constexpr size_t kMaxExpressionBytes = 64 * 1024;
inline constexpr int kMaxExpressionDepth = 256;
inline constexpr int64_t kMaxRangeSteps = 11'000;

/// Errors: bad_message, "line:column: parse error: ...".
[[nodiscard]] net::Result<Expression> parse(std::string_view text);

struct QueryOptions {
  uint64_t max_samples =
      50'000'000;  // held in memory at once, counted as Prometheus counts: one a point
  uint64_t max_series = 500'000;  // a selector
  /// Samples that all questions which share it may hold together, besides each one's maximum.
  std::shared_ptr<std::atomic<int64_t>> shared_samples;
  net::Millis timeout{120'000};
  /// What other questions of the same moment have in common with this one; null: nothing.
  std::shared_ptr<class SharedResults> shared_results;
  int64_t lookback_millis = 300'000;  // how old the newest sample of an instant selector may be
  /// Asked now and then, from every thread that evaluates.
  std::function<bool()> cancelled;
  ParallelFor parallel;  // shares the work on many series with other threads; empty: it does not
};

class PromqlEngine {
 public:
  /// `source` must outlive the engine.
  explicit PromqlEngine(const SeriesSource& source, QueryOptions defaults = {});

  [[nodiscard]] net::Result<Value> instant(std::string_view expression, int64_t t_millis) const;
  [[nodiscard]] net::Result<Value> instant(const Expr& expression, int64_t t_millis) const;
  [[nodiscard]] net::Result<Value> instant(const Expr& expression, int64_t t_millis,
                                           const QueryOptions& options) const;
  /// Steps start, start + step, ... <= end. Errors also: bad_message (step <= 0, end < start, over
  /// kMaxRangeSteps, a type that is neither scalar nor vector).
  [[nodiscard]] net::Result<Value> range(const Expr& expression, int64_t start_millis,
                                         int64_t end_millis, int64_t step_millis,
                                         const QueryOptions& options) const;
  [[nodiscard]] const QueryOptions& defaults() const noexcept { return defaults_; }

 private:
  const SeriesSource& source_;
  QueryOptions defaults_;
};

}  // namespace hms::collector::promql
