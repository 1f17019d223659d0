#include "collector/query/promql/shared_results.h"

namespace hms::collector::promql {
namespace {

constexpr size_t kMaxKept = 256;

bool is_shareable(const Expr& expr) {
  if (expr.type != ValueType::vector) return false;
  return expr.kind == NodeKind::aggregate ||
         (expr.kind == NodeKind::call && !expr.children.empty() &&
          expr.children.back()->type == ValueType::matrix);
}

}  // namespace

void SharedResults::note(const Expr& expr) {
  for_each_node(expr, [this](const Expr& node) {
    if (is_shareable(node)) ++seen_[to_text(node)];
  });
}

std::string SharedResults::key_of(const Expr& expr, const Grid& grid) const {
  if (grid.size != 1 || grid.start != t_millis_ || !is_shareable(expr)) return {};
  std::string text = to_text(expr);
  const auto found = seen_.find(text);
  return found != seen_.end() && found->second > 1 ? text : std::string();
}

const std::vector<EvalSeries>* SharedResults::find(const std::string& key) const {
  const auto found = kept_.find(key);
  return found == kept_.end() ? nullptr : &found->second;
}

void SharedResults::keep(const std::string& key, const std::vector<EvalSeries>& series) {
  if (kept_.size() < kMaxKept) kept_.emplace(key, series);
}

}  // namespace hms::collector::promql
