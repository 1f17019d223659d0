// parser_selectors.cc: series selectors with their matchers, and what may follow them: ranges,
// sub-queries, offset, @. See parser_inside.h.
#include <cmath>

#include "collector/query/promql/parser_inside.h"
#include "collector/store/series_regex.h"

namespace hms::collector::promql {
namespace {

// For times in seconds and durations in milliseconds: sums of a few of them, in milliseconds, stay
// far from overflow.
constexpr double kMaxSeconds = 1e13;

}  // namespace

Parser::ExprPtr Parser::selector() {
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

bool Parser::matchers(Expr& expr) {
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

bool Parser::matcher(Expr& expr) {
  const Token& name = peek();
  const bool word = name.kind == TokenKind::identifier && name.value.find(':') == std::string::npos;
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

bool Parser::quoted_metric_name(Expr& expr, const Token& name) {
  if (!expr.text.empty()) {
    fail(name.begin,
         "metric name must not be set twice: " + quoted(expr.text) + " or " + quoted(name.value));
    return false;
  }
  expr.text = name.value;
  expr.matchers.push_back({"__name__", LabelMatcher::Kind::equal, name.value});
  return true;
}

bool Parser::check_selector(const Expr& expr) {
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

Parser::ExprPtr Parser::postfix(ExprPtr expr) {
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

Parser::ExprPtr Parser::range(ExprPtr inner) {
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

Expr* Parser::modifiable(Expr& expr) {
  if (expr.kind == NodeKind::vector_selector || expr.kind == NodeKind::subquery) return &expr;
  if (expr.kind == NodeKind::matrix_selector) return expr.children[0].get();
  return nullptr;
}

Parser::ExprPtr Parser::offset(ExprPtr expr) {
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

Parser::ExprPtr Parser::at_modifier(ExprPtr expr) {
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

double Parser::take_sign() {
  if (peek().kind != TokenKind::minus && peek().kind != TokenKind::plus) return 1;
  return take().kind == TokenKind::minus ? -1 : 1;
}

bool Parser::duration(int64_t& millis, bool may_be_signed) {
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

}  // namespace hms::collector::promql
