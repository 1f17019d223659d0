// parser.cc: tokens to a type-checked tree: precedence climbing over the whole PromQL grammar.
//
// Source: prometheus/promql/parser/generated_parser.y (precedences) and parse.go (type checks and
// their sentences). Limits: kMaxExpressionBytes, kMaxExpressionDepth (engine.h), so that no later
// recursion over the tree can exhaust the stack.
#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "collector/query/promql/ast.h"
#include "collector/query/promql/engine.h"
#include "collector/query/promql/functions.h"
#include "collector/query/promql/lexer.h"
#include "collector/store/series_regex.h"

namespace hms::collector::promql {
namespace {

using ExprPtr = std::unique_ptr<Expr>;

struct OpInfo {
  BinaryOp op;
  int precedence;
  bool right_associative = false;
};

// For times in seconds and durations in milliseconds: sums of a few of them, in milliseconds, stay
// far from overflow.
constexpr double kMaxSeconds = 1e13;
constexpr int kUnaryPrecedence = 5;  // -2^2 is -(2^2), -2*3 is (-2)*3

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

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

class Parser {
 public:
  Parser(std::string_view text, std::vector<Token> tokens)
      : text_(text), tokens_(std::move(tokens)) {}

  net::Result<Expression> run() {
    if (peek().kind == TokenKind::end)
      return syntax_error(text_, 0, "no expression found in input");
    ExprPtr expr = expression(0);
    if (expr && peek().kind != TokenKind::end) {
      expr = unexpected("");
    }
    if (!expr) return syntax_error(text_, error_.position, error_.sentence);
    return Expression(std::move(expr));
  }

 private:
  // ---- expressions
  // -------------------------------------------------------------------------------------------------

  ExprPtr expression(int minimum) {
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

  ExprPtr binary(ExprPtr left, const OpInfo& info) {
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

  bool binary_modifiers(Expr& expr) {
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
      if (matching.on &&
          std::binary_search(matching.labels.begin(), matching.labels.end(), label)) {
        fail(group.begin,
             "label " + quoted(label) + " must not occur in ON and GROUP clause at once");
        return false;
      }
    }
    return true;
  }

  ExprPtr check_binary(ExprPtr expr, const Token& op) {
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

  ExprPtr unary() {
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

  ExprPtr primary() {
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

  // A duration is a number of seconds where a number is expected (Prometheus 3).
  ExprPtr number() {
    auto expr = leaf(NodeKind::number, ValueType::scalar);
    const Token& token = take();
    expr->number = token.kind == TokenKind::duration ? token.number / 1000 : token.number;
    return expr;
  }

  ExprPtr paren() {
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

  ExprPtr word() {
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
      if (const auto op = aggregate_of(name); op && (next.kind == TokenKind::left_paren ||
                                                     next_word == "by" || next_word == "without")) {
        return aggregation(*op);
      }
      if (next.kind == TokenKind::left_paren) return call();
    }
    static constexpr std::array<std::string_view, 6> kReserved = {
        "bool", "on", "ignoring", "group_left", "group_right", "atan2"};
    if (std::find(kReserved.begin(), kReserved.end(), name) != kReserved.end())
      return unexpected("");
    return selector();
  }

  // ---- calls
  // -------------------------------------------------------------------------------------------------------

  ExprPtr call() {
    auto expr = leaf(NodeKind::call, ValueType::vector);
    const Token& name = take();
    expr->function = find_function(name.value);
    if (expr->function == nullptr)
      return fail(name.begin, "unknown function with name " + quoted(name.value));
    expr->type = expr->function->result;
    if (!arguments(*expr, "function call")) return nullptr;
    if (!check_arguments(*expr)) return nullptr;
    return finish(std::move(expr));
  }

  bool arguments(Expr& expr, std::string_view where) {
    take();  // "("
    while (peek().kind != TokenKind::right_paren) {
      ExprPtr argument = expression(0);
      if (!argument) return false;
      expr.children.push_back(std::move(argument));
      if (peek().kind == TokenKind::comma) {
        take();
        if (peek().kind == TokenKind::right_paren) {
          fail(peek().begin, "trailing commas not allowed in function call args");
          return false;
        }
      } else if (peek().kind != TokenKind::right_paren) {
        unexpected(" in " + std::string(where) + ", expected \",\" or \")\"");
        return false;
      }
    }
    expr.end = take().end;
    return true;
  }

  bool check_arguments(const Expr& expr) {
    const Function& function = *expr.function;
    const size_t given = expr.children.size();
    const std::string name = "call to " + quoted(function.name);
    if (function.required == function.maximum && given != function.required) {
      fail(expr.begin, "expected " + std::to_string(function.required) + " argument(s) in " + name +
                           ", got " + std::to_string(given));
      return false;
    }
    if (given < function.required) {
      fail(expr.begin, "expected at least " + std::to_string(function.required) +
                           " argument(s) in " + name + ", got " + std::to_string(given));
      return false;
    }
    if (function.maximum != kAnyNumber && given > function.maximum) {
      fail(expr.begin, "expected at most " + std::to_string(function.maximum) + " argument(s) in " +
                           name + ", got " + std::to_string(given));
      return false;
    }
    const size_t typed = function.maximum == kAnyNumber ? function.required : function.maximum;
    for (size_t i = 0; i < given; ++i) {
      const ValueType wanted = function.arguments[std::min(i, typed - 1)];
      if (!expect_type(*expr.children[i], wanted, "call to function " + quoted(function.name)))
        return false;
    }
    return true;
  }

  bool expect_type(const Expr& expr, ValueType wanted, const std::string& where) {
    if (expr.type == wanted) return true;
    fail(expr.begin, "expected type " + std::string(type_name(wanted)) + " in " + where + ", got " +
                         std::string(type_name(expr.type)));
    return false;
  }

  ExprPtr aggregation(AggregateOp op) {
    auto expr = leaf(NodeKind::aggregate, ValueType::vector);
    expr->aggregate = op;
    take();
    const bool grouped_before = is_word("by") || is_word("without");
    if (grouped_before && !grouping(*expr)) return nullptr;
    if (peek().kind != TokenKind::left_paren) return unexpected(" in aggregation, expected \"(\"");
    if (!arguments(*expr, "aggregation")) return nullptr;
    if (!grouped_before && (is_word("by") || is_word("without")) && !grouping(*expr))
      return nullptr;
    return check_aggregation(std::move(expr));
  }

  bool grouping(Expr& expr) {
    expr.without = is_word("without");
    take();
    if (!label_list(expr.grouping)) return false;
    expr.end = tokens_[at_ - 1].end;
    std::sort(expr.grouping.begin(), expr.grouping.end());
    expr.grouping.erase(std::unique(expr.grouping.begin(), expr.grouping.end()),
                        expr.grouping.end());
    return true;
  }

  ExprPtr check_aggregation(ExprPtr expr) {
    const size_t wanted = takes_parameter(expr->aggregate) ? 2 : 1;
    if (expr->children.empty())
      return fail(expr->begin, "no arguments for aggregate expression provided");
    if (expr->children.size() != wanted) {
      return fail(expr->begin,
                  "wrong number of arguments for aggregate expression provided, expected " +
                      std::to_string(wanted) + ", got " + std::to_string(expr->children.size()));
    }
    if (wanted == 2) {
      std::swap(expr->children[0], expr->children[1]);
      const bool text = expr->aggregate == AggregateOp::count_values;
      if (!expect_type(*expr->children[1], text ? ValueType::text : ValueType::scalar,
                       "aggregation parameter"))
        return nullptr;
    }
    if (!expect_type(*expr->children[0], ValueType::vector, "aggregation expression"))
      return nullptr;
    return finish(std::move(expr));
  }

  bool label_list(std::vector<std::string>& labels) {
    if (peek().kind != TokenKind::left_paren) {
      unexpected(" in grouping opts, expected \"(\"");
      return false;
    }
    take();
    while (peek().kind != TokenKind::right_paren) {
      const Token& token = peek();
      const bool word =
          token.kind == TokenKind::identifier && token.value.find(':') == std::string::npos;
      if (!word && (token.kind != TokenKind::text || token.value.empty())) {
        unexpected(" in grouping opts, expected label");
        return false;
      }
      labels.push_back(take().value);
      if (peek().kind == TokenKind::comma) {
        take();
      } else if (peek().kind != TokenKind::right_paren) {
        unexpected(" in grouping opts, expected \",\" or \")\"");
        return false;
      }
    }
    take();
    return true;
  }

  // ---- selectors
  // ---------------------------------------------------------------------------------------------------

  ExprPtr selector() {
    all_match_empty_ = true;
    auto expr = leaf(NodeKind::vector_selector, ValueType::vector);
    if (peek().kind == TokenKind::identifier) {
      expr->text = take().value;
      expr->matchers.push_back({"__name__", LabelMatcher::Kind::equal, expr->text});
    }
    if (peek().kind == TokenKind::left_brace && !matchers(*expr)) return nullptr;
    if (!check_selector(*expr)) return nullptr;
    return expr;
  }

  bool matchers(Expr& expr) {
    take();  // "{"
    while (peek().kind != TokenKind::right_brace) {
      if (!matcher(expr)) return false;
      if (peek().kind == TokenKind::comma) {
        take();
      } else if (peek().kind != TokenKind::right_brace) {
        unexpected(" in label matching, expected \",\" or \"}\"");
        return false;
      }
    }
    expr.end = take().end;
    return true;
  }

  bool matcher(Expr& expr) {
    const Token& name = peek();
    const bool word =
        name.kind == TokenKind::identifier && name.value.find(':') == std::string::npos;
    if (!word && name.kind != TokenKind::text) {
      unexpected(" in label matching, expected identifier or \"}\"");
      return false;
    }
    take();
    LabelMatcher out;
    switch (peek().kind) {
      case TokenKind::assign:
        out.kind = LabelMatcher::Kind::equal;
        break;
      case TokenKind::not_equal:
        out.kind = LabelMatcher::Kind::not_equal;
        break;
      case TokenKind::match_regex:
        out.kind = LabelMatcher::Kind::matches;
        break;
      case TokenKind::match_not_regex:
        out.kind = LabelMatcher::Kind::not_matches;
        break;
      default:
        if (name.kind == TokenKind::text) return quoted_metric_name(expr, name);
        unexpected(" in label matching, expected label matching operator");
        return false;
    }
    take();
    const Token& value = peek();
    if (value.kind != TokenKind::text) {
      unexpected(" in label matching, expected string");
      return false;
    }
    out.name = name.value;
    out.value = take().value;
    if (out.name.empty()) {
      fail(name.begin, "label name must not be empty");
      return false;
    }
    const auto compiled = CompiledMatcher::compile(out);
    if (!compiled) {
      fail(value.begin, compiled.error().detail);
      return false;
    }
    all_match_empty_ = all_match_empty_ && compiled->matches("");
    expr.matchers.push_back(std::move(out));
    return true;
  }

  // {"http.requests", job="x"}
  bool quoted_metric_name(Expr& expr, const Token& name) {
    if (!expr.text.empty()) {
      fail(name.begin,
           "metric name must not be set twice: " + quoted(expr.text) + " or " + quoted(name.value));
      return false;
    }
    expr.text = name.value;
    expr.matchers.push_back({"__name__", LabelMatcher::Kind::equal, name.value});
    return true;
  }

  bool check_selector(const Expr& expr) {
    const LabelMatcher* named = nullptr;
    for (const LabelMatcher& matcher : expr.matchers) {
      if (expr.text.empty() || matcher.name != "__name__") continue;
      if (named != nullptr) {
        fail(expr.begin, "metric name must not be set twice: " + quoted(expr.text) + " or " +
                             quoted(named->value == expr.text ? matcher.value : named->value));
        return false;
      }
      named = &matcher;
    }
    if (!expr.text.empty() || !all_match_empty_) return true;
    fail(expr.begin, "vector selector must contain at least one non-empty matcher");
    return false;
  }

  // ---- what may follow
  // ---------------------------------------------------------------------------------------------

  ExprPtr postfix(ExprPtr expr) {
    while (expr) {
      if (peek().kind == TokenKind::left_bracket) {
        expr = range(std::move(expr));
      } else if (is_word("offset")) {
        expr = offset(std::move(expr));
      } else if (peek().kind == TokenKind::at) {
        expr = at_modifier(std::move(expr));
      } else {
        break;
      }
    }
    return expr;
  }

  ExprPtr range(ExprPtr inner) {
    const Token& bracket = take();
    int64_t range_millis = 0;
    if (!duration(range_millis, false)) return nullptr;
    auto expr = std::make_unique<Expr>();
    expr->begin = inner->begin;
    expr->range_millis = range_millis;
    expr->type = ValueType::matrix;
    if (peek().kind == TokenKind::colon) {
      take();
      expr->kind = NodeKind::subquery;
      if (peek().kind != TokenKind::right_bracket && !duration(expr->step_millis, false))
        return nullptr;
      if (inner->type != ValueType::vector) {
        return fail(bracket.begin, "subquery is only allowed on instant vector, got " +
                                       std::string(type_name(inner->type)) + " instead");
      }
    } else {
      expr->kind = NodeKind::matrix_selector;
      if (inner->kind != NodeKind::vector_selector)
        return fail(bracket.begin, "ranges only allowed for vector selectors");
      if (inner->has_offset) return fail(bracket.begin, "no offset modifiers allowed before range");
      if (inner->at != AtKind::none)
        return fail(bracket.begin, "no @ modifiers allowed before range");
    }
    if (peek().kind != TokenKind::right_bracket) return unexpected(" in range, expected \"]\"");
    expr->end = take().end;
    expr->children.push_back(std::move(inner));
    return finish(std::move(expr));
  }

  // The node that carries offset and @, or null.
  static Expr* modifiable(Expr& expr) {
    if (expr.kind == NodeKind::vector_selector || expr.kind == NodeKind::subquery) return &expr;
    if (expr.kind == NodeKind::matrix_selector) return expr.children[0].get();
    return nullptr;
  }

  ExprPtr offset(ExprPtr expr) {
    const Token& token = take();
    int64_t millis = 0;
    if (!duration(millis, true)) return nullptr;
    Expr* node = modifiable(*expr);
    if (node == nullptr) {
      return fail(token.begin,
                  "offset modifier must be preceded by an instant vector selector or range vector "
                  "selector or a subquery");
    }
    if (node->has_offset) return fail(token.begin, "offset may not be set multiple times");
    node->has_offset = true;
    node->offset_millis = millis;
    expr->end = tokens_[at_ - 1].end;
    return expr;
  }

  ExprPtr at_modifier(ExprPtr expr) {
    const Token& token = take();
    Expr* node = modifiable(*expr);
    if (node == nullptr) {
      return fail(token.begin,
                  "@ modifier must be preceded by an instant vector selector or range vector "
                  "selector or a subquery");
    }
    if (node->at != AtKind::none)
      return fail(token.begin, "@ <timestamp> may not be set multiple times");
    if (is_word("start") || is_word("end")) {
      node->at = is_word("start") ? AtKind::start : AtKind::end;
      take();
      if (peek().kind != TokenKind::left_paren || tokens_[at_ + 1].kind != TokenKind::right_paren) {
        return unexpected(" in @, expected \"()\"");
      }
      take();
      take();
    } else {
      const double sign = take_sign();
      const Token& time = peek();
      const bool word = is_word("inf") || is_word("nan");
      if (!word && time.kind != TokenKind::number && time.kind != TokenKind::duration)
        return unexpected(" in @, expected timestamp");
      take();
      const double seconds =
          word ? HUGE_VAL
               : (time.kind == TokenKind::duration ? time.number / 1000 : time.number) * sign;
      if (!(std::fabs(seconds) <= kMaxSeconds))
        return fail(time.begin, "timestamp out of bounds for @ modifier");
      node->at = AtKind::time;
      node->at_millis = static_cast<int64_t>(std::llround(seconds * 1000));
    }
    expr->end = tokens_[at_ - 1].end;
    return expr;
  }

  double take_sign() {
    if (peek().kind != TokenKind::minus && peek().kind != TokenKind::plus) return 1;
    return take().kind == TokenKind::minus ? -1 : 1;
  }

  // A duration, or a number of seconds.
  bool duration(int64_t& millis, bool may_be_signed) {
    const double sign = may_be_signed ? take_sign() : 1;
    const Token& token = peek();
    if (token.kind != TokenKind::duration && token.kind != TokenKind::number) {
      unexpected(", expected duration");
      return false;
    }
    const double value = token.kind == TokenKind::duration ? token.number : token.number * 1000;
    if (!(value <= kMaxSeconds)) {
      fail(token.begin, "duration out of range");
      return false;
    }
    millis = static_cast<int64_t>(value * sign);
    if (!may_be_signed && millis <= 0) {
      fail(token.begin, "duration must be greater than 0");
      return false;
    }
    take();
    return true;
  }

  // ---- tools
  // -------------------------------------------------------------------------------------------------------

  [[nodiscard]] const Token& peek() const noexcept { return tokens_[at_]; }
  const Token& take() noexcept {
    const Token& token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  [[nodiscard]] bool is_word(std::string_view word) const {
    return peek().kind == TokenKind::identifier && lower(peek().value) == word;
  }
  ExprPtr leaf(NodeKind kind, ValueType type) const {
    auto expr = std::make_unique<Expr>();
    expr->kind = kind;
    expr->type = type;
    expr->begin = peek().begin;
    expr->end = peek().end;
    return expr;
  }
  ExprPtr finish(ExprPtr expr) {
    for (const ExprPtr& child : expr->children)
      expr->depth = std::max(expr->depth, child->depth + 1);
    if (expr->depth > kMaxExpressionDepth) return fail(expr->begin, too_deep());
    return expr;
  }
  static std::string too_deep() {
    return "expression is nested deeper than " + std::to_string(kMaxExpressionDepth) + " levels";
  }
  ExprPtr unexpected(std::string_view where) {
    return fail(peek().begin, "unexpected " + describe(peek(), text_) + std::string(where));
  }
  ExprPtr fail(uint32_t position, std::string sentence) {
    if (error_.sentence.empty()) error_ = {position, std::move(sentence)};
    return nullptr;
  }

  static constexpr const char* kBinaryTypes =
      "binary expression must contain only scalar and instant vector types";

  std::string_view text_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0;
  bool all_match_empty_ = true;  // of the selector being read
  SyntaxError error_;
};

}  // namespace

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
