// ast.h: a parsed PromQL expression. Made by parser.cc, immutable afterwards; shared between
// threads as `Expression` (engine.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/series_store.h"

namespace hms::collector::promql {

enum class ValueType : uint8_t { scalar, text, vector, matrix };
/// As people know them: "instant vector", "range vector", ...
[[nodiscard]] std::string_view type_name(ValueType type) noexcept;

enum class NodeKind : uint8_t {
  number,
  text,
  vector_selector,
  matrix_selector,  // child 0: the vector selector
  subquery,         // child 0: the expression
  unary_minus,      // child 0
  binary,           // children 0, 1
  aggregate,        // child 0: the vector; child 1: the parameter, if any
  call,             // the arguments
  paren,            // child 0
};

enum class BinaryOp : uint8_t {
  add,
  subtract,
  multiply,
  divide,
  modulo,
  power,
  atan2,
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  set_and,
  set_or,
  set_unless,
};
[[nodiscard]] std::string_view op_text(BinaryOp op) noexcept;
[[nodiscard]] constexpr bool is_comparison(BinaryOp op) noexcept {
  return op >= BinaryOp::equal && op <= BinaryOp::greater_equal;
}
[[nodiscard]] constexpr bool is_set_op(BinaryOp op) noexcept { return op >= BinaryOp::set_and; }

enum class AggregateOp : uint8_t {
  sum,
  avg,
  min,
  max,
  count,
  group,
  stddev,
  stdvar,
  topk,
  bottomk,
  quantile,
  count_values,
};
[[nodiscard]] std::string_view aggregate_name(AggregateOp op) noexcept;
[[nodiscard]] constexpr bool takes_parameter(AggregateOp op) noexcept {
  return op >= AggregateOp::topk;
}

enum class Cardinality : uint8_t { one_to_one, many_to_one, one_to_many, many_to_many };
struct Matching {
  Cardinality cardinality = Cardinality::one_to_one;
  bool given = false;                // on or ignoring was written
  bool on = false;                   // else ignoring
  std::vector<std::string> labels;   // sorted
  std::vector<std::string> include;  // group_left / group_right (...)
};

enum class AtKind : uint8_t { none, time, start, end };

struct Function;  // functions.h

struct Expr {
  Expr() = default;
  Expr(const Expr&) = delete;
  Expr& operator=(const Expr&) = delete;
  /// Takes a chain of operators apart link by link: it may have thousands.
  ~Expr();

  NodeKind kind = NodeKind::number;
  ValueType type = ValueType::scalar;
  uint32_t begin = 0, end = 0;  // bytes in the text
  /// Of the tree below and with this node. A chain "a + b + c" of operators leans to the left and
  /// counts as one level: what walks the tree does so link by link there (chain_of()).
  int depth = 1;
  std::vector<std::unique_ptr<Expr>> children;

  double number = 0;
  std::string text;  // a text's value; a selector's metric name

  // selectors and sub-queries
  std::vector<LabelMatcher> matchers;  // with __name__
  int64_t offset_millis = 0;
  bool has_offset = false;
  AtKind at = AtKind::none;
  int64_t at_millis = 0;
  int64_t range_millis = 0;
  int64_t step_millis = 0;  // sub-query; 0: the engine's default

  // operators
  BinaryOp op = BinaryOp::add;
  bool return_bool = false;
  Matching matching;
  AggregateOp aggregate = AggregateOp::sum;
  bool without = false;
  std::vector<std::string> grouping;  // sorted

  const Function* function = nullptr;
};

/// The operators of a chain from its first (innermost) to `expr`, each the left child of the next;
/// empty if it is not an operator.
[[nodiscard]] std::vector<const Expr*> chain_of(const Expr& expr);
/// Visits each node of the tree once, what stands further left in the text first.
void for_each_node(const Expr& expr, const std::function<void(const Expr&)>& visit);
/// The expression without parentheses around it.
[[nodiscard]] const Expr& unwrap(const Expr& expr) noexcept;
/// PromQL text of the tree, normalised. Parsing it gives the same tree.
[[nodiscard]] std::string to_text(const Expr& expr);
/// 90000 -> "1m30s".
[[nodiscard]] std::string duration_text(int64_t millis);
/// A double as Prometheus writes it: "1", "0.25", "1e+21", "NaN", "+Inf".
[[nodiscard]] std::string number_text(double value);
/// "abc" with escapes, for labels and messages.
[[nodiscard]] std::string quoted(std::string_view text);

}  // namespace hms::collector::promql
