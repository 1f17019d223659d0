// parser_inside.h: the parser's inside. Users include engine.h (parse()).
//
// Source: prometheus/promql/parser/generated_parser.y (precedences) and parse.go (type checks and
// their sentences). Limits: kMaxExpressionBytes, kMaxExpressionDepth (engine.h), so that no later
// recursion over the tree can exhaust the stack. Each method that gives an ExprPtr or a bool gives
// null or false when it has set `error_`.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collector/query/promql/ast.h"
#include "collector/query/promql/engine.h"
#include "collector/query/promql/lexer.h"

namespace hms::collector::promql {

struct OpInfo {
  BinaryOp op;
  int precedence;
  bool right_associative = false;
};

/// ASCII letters in lower case: keywords may be written either way.
[[nodiscard]] std::string lower(std::string_view text);

class Parser {
 public:
  Parser(std::string_view text, std::vector<Token> tokens)
      : text_(text), tokens_(std::move(tokens)) {}

  net::Result<Expression> run();

 private:
  using ExprPtr = std::unique_ptr<Expr>;

  // ---- expressions: parser.cc
  ExprPtr expression(int minimum);
  ExprPtr binary(ExprPtr left, const OpInfo& info);
  bool binary_modifiers(Expr& expr);
  ExprPtr check_binary(ExprPtr expr, const Token& op);
  ExprPtr unary();
  ExprPtr primary();
  // A duration is a number of seconds where a number is expected (Prometheus 3).
  ExprPtr number();
  ExprPtr paren();
  ExprPtr word();

  // ---- calls: parser_calls.cc
  ExprPtr call();
  bool arguments(Expr& expr, std::string_view where);
  bool check_arguments(const Expr& expr);
  bool expect_type(const Expr& expr, ValueType wanted, const std::string& where);
  ExprPtr aggregation(AggregateOp op);
  bool grouping(Expr& expr);
  ExprPtr check_aggregation(ExprPtr expr);
  bool label_list(std::vector<std::string>& labels);

  // ---- selectors: parser_selectors.cc
  ExprPtr selector();
  bool matchers(Expr& expr);
  bool matcher(Expr& expr);
  // {"http.requests", job="x"}
  bool quoted_metric_name(Expr& expr, const Token& name);
  bool check_selector(const Expr& expr);

  // ---- what may follow: parser_selectors.cc
  ExprPtr postfix(ExprPtr expr);
  ExprPtr range(ExprPtr inner);
  // The node that carries offset and @, or null.
  static Expr* modifiable(Expr& expr);
  ExprPtr offset(ExprPtr expr);
  ExprPtr at_modifier(ExprPtr expr);
  double take_sign();
  // A duration, or a number of seconds.
  bool duration(int64_t& millis, bool may_be_signed);

  // ---- tools: parser.cc
  [[nodiscard]] const Token& peek() const noexcept { return tokens_[at_]; }
  const Token& take() noexcept {
    const Token& token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  [[nodiscard]] bool is_word(std::string_view word) const {
    return peek().kind == TokenKind::identifier && lower(peek().value) == word;
  }
  ExprPtr leaf(NodeKind kind, ValueType type) const;
  ExprPtr finish(ExprPtr expr);
  static std::string too_deep() {
    return "expression is nested deeper than " + std::to_string(kMaxExpressionDepth) + " levels";
  }
  ExprPtr unexpected(std::string_view where);
  ExprPtr fail(uint32_t position, std::string sentence);

  std::string_view text_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0;
  bool all_match_empty_ = true;  // of the selector being read
  SyntaxError error_;
};

}  // namespace hms::collector::promql
