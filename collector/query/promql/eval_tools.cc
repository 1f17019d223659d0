// eval_tools.cc: labels, numbers and histogram references shared by the evaluator's files.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "collector/query/promql/eval.h"

namespace hms::collector::promql {
namespace {

constexpr std::string_view kName = "__name__";

}  // namespace

void drop_name(LabelSet& labels) { set_label(labels, std::string(kName), ""); }

void set_label(LabelSet& labels, const std::string& name, std::string value) {
  const auto at =
      std::lower_bound(labels.begin(), labels.end(), name,
                       [](const auto& label, const std::string& key) { return label.first < key; });
  const bool found = at != labels.end() && at->first == name;
  if (value.empty()) {
    if (found) labels.erase(at);
  } else if (found) {
    at->second = std::move(value);
  } else {
    labels.insert(at, {name, std::move(value)});
  }
}

LabelSet keep_labels(const LabelSet& labels, const std::vector<std::string>& sorted_names) {
  LabelSet out;
  for (const auto& label : labels) {
    if (std::binary_search(sorted_names.begin(), sorted_names.end(), label.first))
      out.push_back(label);
  }
  return out;
}

LabelSet without_labels(const LabelSet& labels, const std::vector<std::string>& sorted_names) {
  LabelSet out;
  for (const auto& label : labels) {
    if (label.first != kName &&
        !std::binary_search(sorted_names.begin(), sorted_names.end(), label.first))
      out.push_back(label);
  }
  return out;
}

std::string label_key(const LabelSet& labels) {
  std::string out;
  for (const auto& [name, value] : labels) {
    // Lengths first, so that no choice of bytes can make two sets look alike.
    const auto append_sized = [&out](const std::string& text) {
      const auto size = static_cast<uint32_t>(text.size());
      for (int shift = 0; shift < 32; shift += 8)
        out.push_back(static_cast<char>((size >> shift) & 0xFF));
      out += text;
    };
    append_sized(name);
    append_sized(value);
  }
  return out;
}

std::string labels_text(const LabelSet& labels) {
  std::string out = "{";
  for (const auto& [name, value] : labels) {
    if (out.size() > 1) out += ", ";
    out += name + "=" + quoted(value);
  }
  return out + "}";
}

LabelSet absent_labels(const Expr& argument) {
  const Expr* selector = &unwrap(argument);
  if (selector->kind == NodeKind::matrix_selector) selector = selector->children[0].get();
  LabelSet out;
  if (selector->kind != NodeKind::vector_selector) return out;
  // Prometheus goes by the order: a second matcher of a label takes it away, an equality behind
  // another kind gives it.
  std::vector<std::string> given;
  for (const LabelMatcher& matcher : selector->matchers) {
    if (matcher.name == kName) continue;
    const bool seen = std::find(given.begin(), given.end(), matcher.name) != given.end();
    if (matcher.kind == LabelMatcher::Kind::equal && !seen) {
      set_label(out, matcher.name, matcher.value);
      given.push_back(matcher.name);
    } else {
      set_label(out, matcher.name, "");
    }
  }
  return out;
}

double quantile_of(double q, std::vector<double>& values) {
  if (values.empty() || std::isnan(q)) return std::nan("");
  if (q < 0) return -std::numeric_limits<double>::infinity();
  if (q > 1) return std::numeric_limits<double>::infinity();
  const double n = static_cast<double>(values.size());
  const double rank = q * (n - 1);
  const auto lower = static_cast<size_t>(std::max(0.0, std::floor(rank)));
  const size_t upper = std::min(values.size() - 1, lower + 1);
  const double weight = rank - std::floor(rank);
  // Only two of them have to be in their places: a window of 43,200 points costs a fifth of
  // sorting.
  const auto before = [](double a, double b) { return std::isnan(a) ? !std::isnan(b) : a < b; };
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(lower);
  std::nth_element(values.begin(), middle, values.end(), before);
  if (upper != lower)
    std::iter_swap(middle + 1, std::min_element(middle + 1, values.end(), before));
  return values[lower] * (1 - weight) + values[upper] * weight;
}

double apply(BinaryOp op, double left, double right, bool& keep) noexcept {
  keep = true;
  switch (op) {
    case BinaryOp::add:
      return left + right;
    case BinaryOp::subtract:
      return left - right;
    case BinaryOp::multiply:
      return left * right;
    case BinaryOp::divide:
      return left / right;
    case BinaryOp::modulo:
      return std::fmod(left, right);
    case BinaryOp::power:
      return std::pow(left, right);
    case BinaryOp::atan2:
      return std::atan2(left, right);
    case BinaryOp::equal:
      keep = left == right;
      return left;
    case BinaryOp::not_equal:
      keep = left != right;
      return left;
    case BinaryOp::less:
      keep = left < right;
      return left;
    case BinaryOp::less_equal:
      keep = left <= right;
      return left;
    case BinaryOp::greater:
      keep = left > right;
      return left;
    case BinaryOp::greater_equal:
      keep = left >= right;
      return left;
    case BinaryOp::set_and:
    case BinaryOp::set_or:
    case BinaryOp::set_unless:
      break;
  }
  return left;
}

FloatHistogram to_float(const HistogramRef& value) {
  return value.stored != nullptr ? FloatHistogram(*value.stored) : *value.computed;
}

FloatHistogram difference(const HistogramRef& later, const HistogramRef& earlier) {
  if (later.stored != nullptr && earlier.stored != nullptr)
    return difference(*later.stored, *earlier.stored);
  FloatHistogram out = to_float(later);
  out.add(to_float(earlier), -1);
  return out;
}

bool was_reset(const HistogramRef& later, const HistogramRef& earlier) {
  if (later.stored != nullptr && earlier.stored != nullptr)
    return was_reset(*later.stored, *earlier.stored);
  const FloatHistogram step = difference(later, earlier);
  if (step.count < 0 || step.zero_count < 0) return true;
  const auto fell = [](const FloatHistogram::Bucket& bucket) { return bucket.count < 0; };
  return std::any_of(step.positive.begin(), step.positive.end(), fell) ||
         std::any_of(step.negative.begin(), step.negative.end(), fell);
}

double count_of(const HistogramRef& value) noexcept {
  return value.stored != nullptr ? static_cast<double>(value.stored->count) : value.computed->count;
}

net::Error execution_error(std::string sentence) {
  return {net::Code::unsupported, net::Side::downstream, false, std::move(sentence)};
}

}  // namespace hms::collector::promql
