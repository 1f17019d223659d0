// parser.cc: tokens to a type-checked tree: precedence climbing over the whole PromQL grammar;
// operators, signs and parentheses. See parser_inside.h.
#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "collector/query/promql/parser_inside.h"

namespace hms::collector::promql {
namespace {

constexpr int kUnaryPrecedence = 5;  // -2^2 is -(2^2), -2*3 is (-2)*3
constexpr const char* kBinaryTypes =
    "binary expression must contain only scalar and instant vector types";

std::optional<OpInfo> operator_of(const Token& token) {
  switch (token.kind) {
    case TokenKind::plus:
      return OpInfo{BinaryOp::add, 4};
    case TokenKind::minus:
      return OpInfo{BinaryOp::subtract, 4};
    case TokenKind::star:
      return OpInfo{BinaryOp::multiply, 5};
    case TokenKind::slash:
      return OpInfo{BinaryOp::divide, 5};
    case TokenKind::percent:
      return OpInfo{BinaryOp::modulo, 5};
    case TokenKind::caret:
      return OpInfo{BinaryOp::power, 6, true};
    case TokenKind::equal_equal:
      return OpInfo{BinaryOp::equal, 3};
    case TokenKind::not_equal:
      return OpInfo{BinaryOp::not_equal, 3};
    case TokenKind::less:
      return OpInfo{BinaryOp::less, 3};
    case TokenKind::less_equal:
      return OpInfo{BinaryOp::less_equal, 3};
    case TokenKind::greater:
      return OpInfo{BinaryOp::greater, 3};
    case TokenKind::greater_equal:
      return OpInfo{BinaryOp::greater_equal, 3};
    case TokenKind::identifier: {
      const std::string word = lower(token.value);
      if (word == "or") return OpInfo{BinaryOp::set_or, 1};
      if (word == "and") return OpInfo{BinaryOp::set_and, 2};
      if (word == "unless") return OpInfo{BinaryOp::set_unless, 2};
      if (word == "atan2") return OpInfo{BinaryOp::atan2, 5};
      return std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

std::optional<AggregateOp> aggregate_of(std::string_view word) {
  static constexpr std::array kAll = {
      AggregateOp::sum,   AggregateOp::avg,     AggregateOp::min,      AggregateOp::max,
      AggregateOp::count, AggregateOp::group,   AggregateOp::stddev,   AggregateOp::stdvar,
      AggregateOp::topk,  AggregateOp::bottomk, AggregateOp::quantile, AggregateOp::count_values};
  for (const AggregateOp op : kAll) {
    if (aggregate_name(op) == word) return op;
  }
  return std::nullopt;
}

}  // namespace

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

net::Result<Expression> Parser::run() {
  if (peek().kind == TokenKind::end) return syntax_error(text_, 0, "no expression found in input");
  ExprPtr expr = expression(0);
  if (expr && peek().kind != TokenKind::end) {
    expr = unexpected("");
  }
  if (!expr) return syntax_error(text_, error_.position, error_.sentence);
  return Expression(std::move(expr));
}

Parser::ExprPtr Parser::expression(int minimum) {
  if (++nesting_ > kMaxExpressionDepth) return fail(peek().begin, too_deep());
  ExprPtr left = unary();
  while (left) {
    const auto info = operator_of(peek());
    if (!info || info->precedence < minimum) break;
    left = binary(std::move(left), *info);
  }
  --nesting_;
  return left;
}

Parser::ExprPtr Parser::binary(ExprPtr left, const OpInfo& info) {
  const Token& op = take();
  auto expr = std::make_unique<Expr>();
  expr->kind = NodeKind::binary;
  expr->op = info.op;
  if (!binary_modifiers(*expr)) return nullptr;
  ExprPtr right = expression(info.right_associative ? info.precedence : info.precedence + 1);
  if (!right) return nullptr;
  expr->begin = left->begin;
  expr->end = right->end;
  expr->children.push_back(std::move(left));
  expr->children.push_back(std::move(right));
  return check_binary(std::move(expr), op);
}

bool Parser::binary_modifiers(Expr& expr) {
  if (is_word("bool")) {
    if (!is_comparison(expr.op)) {
      fail(peek().begin, "bool modifier can only be used on comparison operators");
      return false;
    }
    take();
    expr.return_bool = true;
  }
  Matching& matching = expr.matching;
  if (is_set_op(expr.op)) matching.cardinality = Cardinality::many_to_many;
  if (!is_word("on") && !is_word("ignoring")) return true;
  matching.given = true;
  matching.on = is_word("on");
  take();
  if (!label_list(matching.labels)) return false;
  std::sort(matching.labels.begin(), matching.labels.end());
  if (!is_word("group_left") && !is_word("group_right")) return true;
  const Token& group = peek();
  if (is_set_op(expr.op)) {
    fail(group.begin,
         "no grouping allowed for \"" + std::string(op_text(expr.op)) + "\" operation");
    return false;
  }
  matching.cardinality =
      is_word("group_left") ? Cardinality::many_to_one : Cardinality::one_to_many;
  take();
  if (peek().kind == TokenKind::left_paren && !label_list(matching.include)) return false;
  for (const std::string& label : matching.include) {
    if (matching.on && std::binary_search(matching.labels.begin(), matching.labels.end(), label)) {
      fail(group.begin,
           "label " + quoted(label) + " must not occur in ON and GROUP clause at once");
      return false;
    }
  }
  return true;
}

Parser::ExprPtr Parser::check_binary(ExprPtr expr, const Token& op) {
  const ValueType left = expr->children[0]->type;
  const ValueType right = expr->children[1]->type;
  const auto allowed = [](ValueType type) {
    return type == ValueType::scalar || type == ValueType::vector;
  };
  if (!allowed(left)) return fail(expr->children[0]->begin, kBinaryTypes);
  if (!allowed(right)) return fail(expr->children[1]->begin, kBinaryTypes);
  const bool scalars = left == ValueType::scalar && right == ValueType::scalar;
  if (scalars && is_comparison(expr->op) && !expr->return_bool) {
    return fail(op.begin, "comparisons between scalars must use BOOL modifier");
  }
  const bool any_scalar = left == ValueType::scalar || right == ValueType::scalar;
  if (any_scalar && is_set_op(expr->op)) {
    return fail(op.begin, "set operator \"" + std::string(op_text(expr->op)) +
                              "\" not allowed in binary scalar expression");
  }
  if (any_scalar && expr->matching.given) {
    return fail(op.begin, "vector matching only allowed between instant vectors");
  }
  expr->type = scalars ? ValueType::scalar : ValueType::vector;
  return finish(std::move(expr));
}

Parser::ExprPtr Parser::unary() {
  const Token& sign = peek();
  if (sign.kind != TokenKind::plus && sign.kind != TokenKind::minus) return postfix(primary());
  take();
  if (++nesting_ > kMaxExpressionDepth) return fail(sign.begin, too_deep());
  ExprPtr operand = expression(kUnaryPrecedence + 1);
  --nesting_;
  if (!operand) return nullptr;
  if (operand->type != ValueType::scalar && operand->type != ValueType::vector) {
    return fail(
        operand->begin,
        "unary expression only allowed on expressions of type scalar or instant vector, got \"" +
            std::string(type_name(operand->type)) + "\"");
  }
  if (operand->kind == NodeKind::number) {
    if (sign.kind == TokenKind::minus) operand->number = -operand->number;
    operand->begin = sign.begin;
    return operand;
  }
  if (sign.kind == TokenKind::plus) return operand;
  auto expr = std::make_unique<Expr>();
  expr->kind = NodeKind::unary_minus;
  expr->type = operand->type;
  expr->begin = sign.begin;
  expr->end = operand->end;
  expr->children.push_back(std::move(operand));
  return finish(std::move(expr));
}

Parser::ExprPtr Parser::primary() {
  const Token& token = peek();
  switch (token.kind) {
    case TokenKind::number:
    case TokenKind::duration:
      return number();
    case TokenKind::text: {
      auto expr = leaf(NodeKind::text, ValueType::text);
      expr->text = take().value;
      return expr;
    }
    case TokenKind::left_paren:
      return paren();
    case TokenKind::left_brace:
      return selector();
    case TokenKind::identifier:
      return word();
    default:
      return unexpected("");
  }
}

Parser::ExprPtr Parser::number() {
  auto expr = leaf(NodeKind::number, ValueType::scalar);
  const Token& token = take();
  expr->number = token.kind == TokenKind::duration ? token.number / 1000 : token.number;
  return expr;
}

Parser::ExprPtr Parser::paren() {
  const uint32_t begin = take().begin;
  ExprPtr inner = expression(0);
  if (!inner) return nullptr;
  if (peek().kind != TokenKind::right_paren)
    return unexpected(" in parenthesized expression, expected \")\"");
  auto expr = std::make_unique<Expr>();
  expr->kind = NodeKind::paren;
  expr->type = inner->type;
  expr->begin = begin;
  expr->end = take().end;
  expr->children.push_back(std::move(inner));
  return finish(std::move(expr));
}

Parser::ExprPtr Parser::word() {
  const Token& token = peek();
  const Token& next = tokens_[at_ + 1];
  const std::string name = lower(token.value);
  if (next.kind != TokenKind::left_brace) {
    if (name == "inf" || name == "nan") {
      auto expr = leaf(NodeKind::number, ValueType::scalar);
      take();
      expr->number = name == "inf" ? HUGE_VAL : std::nan("");
      return expr;
    }
    const std::string next_word = next.kind == TokenKind::identifier ? lower(next.value) : "";
    if (const auto op = aggregate_of(name);
        op && (next.kind == TokenKind::left_paren || next_word == "by" || next_word == "without")) {
      return aggregation(*op);
    }
    if (next.kind == TokenKind::left_paren) return call();
  }
  static constexpr std::array<std::string_view, 6> kReserved = {
      "bool", "on", "ignoring", "group_left", "group_right", "atan2"};
  if (std::find(kReserved.begin(), kReserved.end(), name) != kReserved.end()) return unexpected("");
  return selector();
}

// ---- tools

Parser::ExprPtr Parser::leaf(NodeKind kind, ValueType type) const {
  auto expr = std::make_unique<Expr>();
  expr->kind = kind;
  expr->type = type;
  expr->begin = peek().begin;
  expr->end = peek().end;
  return expr;
}

Parser::ExprPtr Parser::finish(ExprPtr expr) {
  for (size_t i = 0; i < expr->children.size(); ++i) {
    const Expr& child = *expr->children[i];
    const bool chained = i == 0 && expr->kind == NodeKind::binary && child.kind == NodeKind::binary;
    expr->depth = std::max(expr->depth, child.depth + (chained ? 0 : 1));
  }
  if (expr->depth > kMaxExpressionDepth) return fail(expr->begin, too_deep());
  return expr;
}

Parser::ExprPtr Parser::unexpected(std::string_view where) {
  return fail(peek().begin, "unexpected " + describe(peek(), text_) + std::string(where));
}

Parser::ExprPtr Parser::fail(uint32_t position, std::string sentence) {
  if (error_.sentence.empty()) error_ = {position, std::move(sentence)};
  return nullptr;
}

net::Result<Expression> parse(std::string_view text) {
  if (text.size() > kMaxExpressionBytes) {
    return syntax_error(text.substr(0, 1), 0,
                        "expression of " + std::to_string(text.size()) +
                            " bytes is over the limit of " + std::to_string(kMaxExpressionBytes));
  }
  auto tokens = tokenize(text);
  if (!tokens) return tokens.error();
  return Parser(text, std::move(*tokens)).run();
}

}  // namespace hms::collector::promql
