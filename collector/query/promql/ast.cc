// ast.cc: names and texts of expressions.
#include "collector/query/promql/ast.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "collector/query/promql/functions.h"

namespace hms::collector::promql {

std::string_view type_name(ValueType type) noexcept {
  switch (type) {
    case ValueType::scalar:
      return "scalar";
    case ValueType::text:
      return "string";
    case ValueType::vector:
      return "instant vector";
    case ValueType::matrix:
      return "range vector";
  }
  return "";
}

std::string_view op_text(BinaryOp op) noexcept {
  static constexpr std::array<std::string_view, 16> kTexts = {
      "+",  "-", "*",  "/", "%",  "^",   "atan2", "==",
      "!=", "<", "<=", ">", ">=", "and", "or",    "unless"};
  return kTexts[static_cast<size_t>(op)];
}

std::string_view aggregate_name(AggregateOp op) noexcept {
  static constexpr std::array<std::string_view, 12> kNames = {
      "sum",    "avg",    "min",  "max",     "count",    "group",
      "stddev", "stdvar", "topk", "bottomk", "quantile", "count_values"};
  return kNames[static_cast<size_t>(op)];
}

Expr::~Expr() {
  while (!children.empty() && children.front() && children.front()->kind == NodeKind::binary) {
    const std::unique_ptr<Expr> link = std::move(children.front());
    if (!link->children.empty()) children.front() = std::move(link->children.front());
  }
}

std::vector<const Expr*> chain_of(const Expr& expr) {
  std::vector<const Expr*> out;
  for (const Expr* at = &expr; at->kind == NodeKind::binary; at = at->children.front().get())
    out.push_back(at);
  std::reverse(out.begin(), out.end());
  return out;
}

void for_each_node(const Expr& expr, const std::function<void(const Expr&)>& visit) {
  std::vector<const Expr*> waiting = {&expr};
  while (!waiting.empty()) {
    const Expr& at = *waiting.back();
    waiting.pop_back();
    visit(at);
    for (size_t i = at.children.size(); i-- > 0;) waiting.push_back(at.children[i].get());
  }
}

const Expr& unwrap(const Expr& expr) noexcept {
  const Expr* at = &expr;
  while (at->kind == NodeKind::paren) at = at->children[0].get();
  return *at;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7F) {
      constexpr std::string_view kHex = "0123456789abcdef";
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
  return out;
}

std::string number_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  // The shortest digits that give the number back; an exponent only for very small and very large
  // ones (prometheus/util/jsonutil).
  const double size = std::fabs(value);
  const auto format = size != 0 && (size < 1e-6 || size >= 1e21) ? std::chars_format::scientific
                                                                 : std::chars_format::fixed;
  std::array<char, 64> buffer;
  const auto [end, error] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format);
  if (error != std::errc()) return "NaN";
  return std::string(buffer.data(), end);
}

std::string duration_text(int64_t millis) {
  if (millis == 0) return "0s";
  std::string out;
  if (millis < 0) {
    out = "-";
    millis = -millis;
  }
  struct Unit {
    const char* name;
    int64_t millis;
  };
  for (const Unit& unit : {Unit{"d", 86'400'000}, Unit{"h", 3'600'000}, Unit{"m", 60'000},
                           Unit{"s", 1000}, Unit{"ms", 1}}) {
    if (millis < unit.millis) continue;
    out += std::to_string(millis / unit.millis) + unit.name;
    millis %= unit.millis;
  }
  return out;
}

namespace {

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) {
    if (!out.empty()) out += ", ";
    out += quoted(name);  // quoting is right for every name, plain or UTF-8
  }
  return out;
}

std::string_view matcher_op(LabelMatcher::Kind kind) {
  switch (kind) {
    case LabelMatcher::Kind::equal:
      return "=";
    case LabelMatcher::Kind::not_equal:
      return "!=";
    case LabelMatcher::Kind::matches:
      return "=~";
    case LabelMatcher::Kind::not_matches:
      return "!~";
  }
  return "";
}

std::string selector_text(const Expr& expr) {
  std::string out = "{";
  for (const LabelMatcher& matcher : expr.matchers) {
    if (out.size() > 1) out += ",";
    out += quoted(matcher.name);
    out += matcher_op(matcher.kind);
    out += quoted(matcher.value);
  }
  return out + "}";
}

std::string modifiers_text(const Expr& expr) {
  std::string out;
  if (expr.at == AtKind::time) {
    out += " @ " + number_text(static_cast<double>(expr.at_millis) / 1000);
  } else if (expr.at == AtKind::start) {
    out += " @ start()";
  } else if (expr.at == AtKind::end) {
    out += " @ end()";
  }
  if (expr.has_offset) out += " offset " + duration_text(expr.offset_millis);
  return out;
}

std::string matching_text(const Matching& matching) {
  std::string out;
  if (matching.given) out += (matching.on ? " on(" : " ignoring(") + joined(matching.labels) + ")";
  if (matching.cardinality == Cardinality::many_to_one)
    out += " group_left(" + joined(matching.include) + ")";
  if (matching.cardinality == Cardinality::one_to_many)
    out += " group_right(" + joined(matching.include) + ")";
  return out;
}

/// Operators write their own parentheses already.
std::string bracketed(const Expr& expr) {
  const bool has = expr.kind == NodeKind::paren || expr.kind == NodeKind::binary ||
                   expr.kind == NodeKind::unary_minus;
  return has ? to_text(expr) : "(" + to_text(expr) + ")";
}

std::string chain_text(const Expr& expr) {
  const std::vector<const Expr*> chain = chain_of(expr);
  std::string out(chain.size(), '(');
  out += to_text(*chain.front()->children[0]);
  for (const Expr* link : chain) {
    out += " " + std::string(op_text(link->op)) + (link->return_bool ? " bool" : "");
    out += matching_text(link->matching) + " " + to_text(*link->children[1]) + ")";
  }
  return out;
}

std::string aggregate_text(const Expr& expr) {
  std::string out(aggregate_name(expr.aggregate));
  if (expr.without || !expr.grouping.empty()) {
    out += (expr.without ? " without(" : " by(") + joined(expr.grouping) + ") ";
  }
  out += "(";
  if (expr.children.size() > 1) out += to_text(*expr.children[1]) + ", ";
  return out + to_text(*expr.children[0]) + ")";
}

}  // namespace

std::string to_text(const Expr& expr) {
  switch (expr.kind) {
    case NodeKind::number:
      return number_text(expr.number);
    case NodeKind::text:
      return quoted(expr.text);
    case NodeKind::vector_selector:
      return selector_text(expr) + modifiers_text(expr);
    case NodeKind::matrix_selector:
      return selector_text(*expr.children[0]) + "[" + duration_text(expr.range_millis) + "]" +
             modifiers_text(*expr.children[0]);
    case NodeKind::subquery:
      return bracketed(*expr.children[0]) + "[" + duration_text(expr.range_millis) + ":" +
             (expr.step_millis > 0 ? duration_text(expr.step_millis) : "") + "]" +
             modifiers_text(expr);
    case NodeKind::unary_minus:
      return "(-" + to_text(*expr.children[0]) + ")";
    case NodeKind::paren:
      return bracketed(*expr.children[0]);
    case NodeKind::binary:
      return chain_text(expr);
    case NodeKind::aggregate:
      return aggregate_text(expr);
    case NodeKind::call: {
      std::string out(expr.function->name);
      out += "(";
      for (size_t i = 0; i < expr.children.size(); ++i) {
        if (i > 0) out += ", ";
        out += to_text(*expr.children[i]);
      }
      return out + ")";
    }
  }
  return "";
}

}  // namespace hms::collector::promql
