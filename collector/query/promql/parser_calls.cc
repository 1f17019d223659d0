// parser_calls.cc: functions and aggregations: their arguments, how many and of what type. See
// parser_inside.h.
#include <algorithm>

#include "collector/query/promql/functions.h"
#include "collector/query/promql/parser_inside.h"

namespace hms::collector::promql {

Parser::ExprPtr Parser::call() {
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

bool Parser::arguments(Expr& expr, std::string_view where) {
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

bool Parser::check_arguments(const Expr& expr) {
  const Function& function = *expr.function;
  const size_t given = expr.children.size();
  const std::string name = "call to " + quoted(function.name);
  if (function.required == function.maximum && given != function.required) {
    fail(expr.begin, "expected " + std::to_string(function.required) + " argument(s) in " + name +
                         ", got " + std::to_string(given));
    return false;
  }
  if (given < function.required) {
    fail(expr.begin, "expected at least " + std::to_string(function.required) + " argument(s) in " +
                         name + ", got " + std::to_string(given));
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

bool Parser::expect_type(const Expr& expr, ValueType wanted, const std::string& where) {
  if (expr.type == wanted) return true;
  fail(expr.begin, "expected type " + std::string(type_name(wanted)) + " in " + where + ", got " +
                       std::string(type_name(expr.type)));
  return false;
}

Parser::ExprPtr Parser::aggregation(AggregateOp op) {
  auto expr = leaf(NodeKind::aggregate, ValueType::vector);
  expr->aggregate = op;
  take();
  const bool grouped_before = is_word("by") || is_word("without");
  if (grouped_before && !grouping(*expr)) return nullptr;
  if (peek().kind != TokenKind::left_paren) return unexpected(" in aggregation, expected \"(\"");
  if (!arguments(*expr, "aggregation")) return nullptr;
  if (!grouped_before && (is_word("by") || is_word("without")) && !grouping(*expr)) return nullptr;
  return check_aggregation(std::move(expr));
}

bool Parser::grouping(Expr& expr) {
  expr.without = is_word("without");
  take();
  if (!label_list(expr.grouping)) return false;
  expr.end = tokens_[at_ - 1].end;
  std::sort(expr.grouping.begin(), expr.grouping.end());
  expr.grouping.erase(std::unique(expr.grouping.begin(), expr.grouping.end()), expr.grouping.end());
  return true;
}

Parser::ExprPtr Parser::check_aggregation(ExprPtr expr) {
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
  if (!expect_type(*expr->children[0], ValueType::vector, "aggregation expression")) return nullptr;
  return finish(std::move(expr));
}

bool Parser::label_list(std::vector<std::string>& labels) {
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

}  // namespace hms::collector::promql
