// eval_functions.cc: functions of instant vectors: mathematics, dates, labels, kinds, order.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>

#include "collector/query/promql/eval.h"
#include "collector/query/promql/functions.h"
#include "collector/store/series_regex.h"

namespace hms::collector::promql {
namespace {

constexpr size_t kMaxLabelBytes = 64 * 1024;

double sign_of(double value) { return value < 0 ? -1 : value > 0 ? 1 : value; }

double round_to(double value, double nearest) {
  // Multiplying by the inverse keeps 0.1 and the like exact, as Prometheus does.
  const double inverse = 1 / nearest;
  return std::floor(value * inverse + 0.5) / inverse;
}

double mapped(FunctionId id, double value, double first, double second) {
  switch (id) {
    case FunctionId::abs:
      return std::fabs(value);
    case FunctionId::ceil:
      return std::ceil(value);
    case FunctionId::floor:
      return std::floor(value);
    case FunctionId::exp:
      return std::exp(value);
    case FunctionId::ln:
      return std::log(value);
    case FunctionId::log2:
      return std::log2(value);
    case FunctionId::log10:
      return std::log10(value);
    case FunctionId::sqrt:
      return std::sqrt(value);
    case FunctionId::sgn:
      return sign_of(value);
    case FunctionId::round:
      return round_to(value, first);
    case FunctionId::clamp:
      return std::isnan(first) || std::isnan(second) || std::isnan(value)
                 ? std::nan("")
                 : std::max(first, std::min(second, value));
    case FunctionId::clamp_min:
      return std::isnan(first) || std::isnan(value) ? std::nan("") : std::max(first, value);
    case FunctionId::clamp_max:
      return std::isnan(first) || std::isnan(value) ? std::nan("") : std::min(first, value);
    case FunctionId::sin:
      return std::sin(value);
    case FunctionId::cos:
      return std::cos(value);
    case FunctionId::tan:
      return std::tan(value);
    case FunctionId::asin:
      return std::asin(value);
    case FunctionId::acos:
      return std::acos(value);
    case FunctionId::atan:
      return std::atan(value);
    case FunctionId::sinh:
      return std::sinh(value);
    case FunctionId::cosh:
      return std::cosh(value);
    case FunctionId::tanh:
      return std::tanh(value);
    case FunctionId::asinh:
      return std::asinh(value);
    case FunctionId::acosh:
      return std::acosh(value);
    case FunctionId::atanh:
      return std::atanh(value);
    case FunctionId::deg:
      return value * 180 / std::numbers::pi;
    case FunctionId::rad:
      return value * std::numbers::pi / 180;
    default:
      return value;
  }
}

double date_part(FunctionId id, double unix_seconds) {
  // Beyond about 290 million years chrono's days overflow; Prometheus converts through int64
  // seconds and gives nonsense there.
  if (!(std::fabs(unix_seconds) < 9e15)) return std::nan("");
  using namespace std::chrono;
  const auto whole = static_cast<int64_t>(unix_seconds);  // toward zero, as Prometheus does
  const int64_t day_number = whole >= 0 ? whole / 86400 : -((-whole + 86399) / 86400);
  const int64_t second_of_day = whole - day_number * 86400;
  if (id == FunctionId::minute) return static_cast<double>(second_of_day / 60 % 60);
  const int64_t hour = second_of_day / 3600;
  if (id == FunctionId::hour) return static_cast<double>(hour);
  // chrono's years are 16 bits: the calendar repeats every 400 years (146,097 days), so go into
  // range and back.
  const int64_t cycles = (day_number >= 0 ? day_number : day_number - 146096) / 146097;
  const sys_days day{days{day_number - cycles * 146097}};
  const year_month_day date{day};
  switch (id) {
    case FunctionId::day_of_week:
      return weekday{day}.c_encoding();
    case FunctionId::day_of_month:
      return static_cast<unsigned>(date.day());
    case FunctionId::day_of_year:
      return static_cast<double>((day - sys_days{date.year() / January / 1}).count() + 1);
    case FunctionId::days_in_month:
      return static_cast<unsigned>(
          year_month_day_last{date.year(), month_day_last{date.month()}}.day());
    case FunctionId::month:
      return static_cast<unsigned>(date.month());
    case FunctionId::year:
      return static_cast<double>(static_cast<int>(date.year()) + cycles * 400);
    default:
      return std::nan("");
  }
}

bool is_date(FunctionId id) { return id >= FunctionId::minute && id <= FunctionId::year; }

void drop_histograms(EvalSeries& series) { series.histograms.clear(); }

const std::string& text_argument(const Expr& expr, size_t i) {
  return unwrap(*expr.children[i]).text;
}

std::string value_of(const LabelSet& labels, const std::string& name) {
  return std::string(label_value(labels, name));
}

// "disk10" after "disk9": runs of digits compare as numbers (facette/natsort, which Prometheus
// uses).
bool natural_less(std::string_view a, std::string_view b) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  size_t i = 0;
  size_t j = 0;
  while (i < a.size() && j < b.size()) {
    if (digit(a[i]) && digit(b[j])) {
      const size_t a_begin = i;
      const size_t b_begin = j;
      while (i < a.size() && digit(a[i])) ++i;
      while (j < b.size() && digit(b[j])) ++j;
      std::string_view left = a.substr(a_begin, i - a_begin);
      std::string_view right = b.substr(b_begin, j - b_begin);
      left.remove_prefix(std::min(left.find_first_not_of('0'), left.size()));
      right.remove_prefix(std::min(right.find_first_not_of('0'), right.size()));
      if (left.size() != right.size()) return left.size() < right.size();
      if (left != right) return left < right;
    } else {
      if (a[i] != b[j]) return a[i] < b[j];
      ++i;
      ++j;
    }
  }
  return a.size() - i < b.size() - j;
}

}  // namespace

net::Result<Evaluated> Evaluator::call(const Expr& expr, const Grid& grid) {
  const FunctionId id = expr.function->id;
  if (id <= FunctionId::mad_over_time) return range_function(expr, grid);
  if (id <= FunctionId::rad) return map_function(expr, grid);
  if (id >= FunctionId::histogram_quantile) return histogram_function(expr, grid);
  switch (id) {
    case FunctionId::scalar:
      return to_scalar(expr, grid);
    case FunctionId::vector:
      return to_vector(expr, grid);
    case FunctionId::pi:
      return number(std::numbers::pi, grid);
    case FunctionId::absent:
      return absent(expr, grid);
    case FunctionId::label_replace:
      return label_replace(expr, grid);
    case FunctionId::label_join:
      return label_join(expr, grid);
    case FunctionId::sort:
    case FunctionId::sort_desc:
    case FunctionId::sort_by_label:
    case FunctionId::sort_by_label_desc:
      return sort(expr, grid);
    default:
      return time_function(expr, grid);
  }
}

net::Result<Evaluated> Evaluator::map_function(const Expr& expr, const Grid& grid) {
  const FunctionId id = expr.function->id;
  Answer input = eval(*expr.children[0], grid);
  if (!input) return input;
  std::vector<double> first(grid.size, 1);
  std::vector<double> second(grid.size, 0);
  for (size_t argument = 1; argument < expr.children.size(); ++argument) {
    auto values = scalar_argument(*expr.children[argument], grid);
    if (!values) return values.error();
    (argument == 1 ? first : second) = std::move(*values);
  }
  Stint stint(*this);
  for (EvalSeries& series : input->series) {
    drop_name(series.labels);
    drop_histograms(series);
    for (size_t i = 0; i < grid.size; ++i) {
      if (!stint.goes_on(1)) return std::move(stint).outcome().error();
      double& value = series.values[i];
      if (is_absent(value)) continue;
      // An empty clamp range lets nothing through.
      value = id == FunctionId::clamp && second[i] < first[i]
                  ? absent_value()
                  : mapped(id, value, first[i], second[i]);
    }
  }
  if (auto joined = join_equal(input->series); !joined) return joined.error();
  return input;
}

net::Result<Evaluated> Evaluator::time_function(const Expr& expr, const Grid& grid) {
  const FunctionId id = expr.function->id;
  if (id == FunctionId::time) {
    Answer out = number(0, grid);
    if (!out) return out;
    for (size_t i = 0; i < grid.size; ++i) out->scalars[i] = static_cast<double>(grid.at(i)) / 1000;
    return out;
  }
  if (expr.children.empty()) {
    Evaluated out;
    EvalSeries series;
    for (size_t i = 0; i < grid.size; ++i)
      series.values.push_back(date_part(id, static_cast<double>(grid.at(i)) / 1000));
    out.series.push_back(std::move(series));
    return out;
  }
  const Expr& argument = unwrap(*expr.children[0]);
  const bool of_samples = id == FunctionId::timestamp && argument.kind == NodeKind::vector_selector;
  Answer input = of_samples ? selector(argument, grid, true) : eval(argument, grid);
  if (!input) return input;
  Stint stint(*this);
  for (EvalSeries& series : input->series) {
    drop_name(series.labels);
    for (size_t i = 0; i < grid.size; ++i) {
      if (!stint.goes_on(1)) return std::move(stint).outcome().error();
      double& value = series.values[i];
      if (is_date(id)) {
        if (!is_absent(value)) value = date_part(id, value);
      } else if (!of_samples && series.present(i)) {
        value = static_cast<double>(grid.at(i)) / 1000;
      }
    }
    drop_histograms(series);
  }
  if (auto joined = join_equal(input->series); !joined) return joined.error();
  return input;
}

net::Result<Evaluated> Evaluator::to_scalar(const Expr& expr, const Grid& grid) {
  Answer input = eval(*expr.children[0], grid);
  if (!input) return input;
  Answer out = number(std::nan(""), grid);
  if (!out) return out;
  std::vector<uint32_t> seen(grid.size);
  for (const EvalSeries& series : input->series) {
    if (auto wanted = still_wanted(); !wanted) return wanted.error();
    for (size_t i = 0; i < grid.size; ++i) {
      if (is_absent(series.values[i])) continue;
      out->scalars[i] = ++seen[i] == 1 ? series.values[i] : std::nan("");
    }
  }
  return out;
}

net::Result<Evaluated> Evaluator::to_vector(const Expr& expr, const Grid& grid) {
  Answer input = eval(*expr.children[0], grid);
  if (!input) return input;
  Evaluated out;
  EvalSeries series;
  series.values = std::move(input->scalars);
  out.series.push_back(std::move(series));
  out.charge = std::move(input->charge);
  return out;
}

net::Result<Evaluated> Evaluator::absent(const Expr& expr, const Grid& grid) {
  Answer input = eval(*expr.children[0], grid);
  if (!input) return input;
  EvalSeries column;
  column.labels = absent_labels(*expr.children[0]);
  column.values.assign(grid.size, 1);
  for (const EvalSeries& series : input->series) {
    if (auto wanted = still_wanted(); !wanted) return wanted.error();
    for (size_t i = 0; i < grid.size; ++i) {
      if (series.present(i)) column.values[i] = absent_value();
    }
  }
  Evaluated out;
  const bool any = std::any_of(column.values.begin(), column.values.end(),
                               [](double value) { return !is_absent(value); });
  if (any) out.series.push_back(std::move(column));
  return out;
}

net::Result<Evaluated> Evaluator::label_replace(const Expr& expr, const Grid& grid) {
  const std::string& target = text_argument(expr, 1);
  const std::string& replacement = text_argument(expr, 2);
  const std::string& source = text_argument(expr, 3);
  if (target.empty())
    return execution_error("invalid destination label name in label_replace(): \"\"");
  auto regex = Regex::compile(text_argument(expr, 4));
  if (!regex)
    return execution_error("invalid regular expression in label_replace(): " +
                           regex.error().detail);
  Answer input = eval(*expr.children[0], grid);
  if (!input) return input;
  for (EvalSeries& series : input->series) {
    if (auto wanted = still_wanted(); !wanted) return wanted.error();
    std::string value;
    if (!regex->replace(value_of(series.labels, source), replacement, value)) continue;
    if (value.size() > kMaxLabelBytes)
      return execution_error("label_replace() makes a label of more than 65536 bytes");
    set_label(series.labels, target, std::move(value));
  }
  if (auto joined = join_equal(input->series); !joined) return joined.error();
  return input;
}

net::Result<Evaluated> Evaluator::label_join(const Expr& expr, const Grid& grid) {
  const std::string& target = text_argument(expr, 1);
  const std::string& separator = text_argument(expr, 2);
  if (target.empty())
    return execution_error("invalid destination label name in label_join(): \"\"");
  Answer input = eval(*expr.children[0], grid);
  if (!input) return input;
  for (EvalSeries& series : input->series) {
    if (auto wanted = still_wanted(); !wanted) return wanted.error();
    std::string value;
    for (size_t i = 3; i < expr.children.size(); ++i) {
      if (i > 3) value += separator;
      value += value_of(series.labels, text_argument(expr, i));
      if (value.size() > kMaxLabelBytes)
        return execution_error("label_join() makes a label of more than 65536 bytes");
    }
    set_label(series.labels, target, std::move(value));
  }
  if (auto joined = join_equal(input->series); !joined) return joined.error();
  return input;
}

// Only an instant answer has an order; over a range the series come by their labels.
net::Result<Evaluated> Evaluator::sort(const Expr& expr, const Grid& grid) {
  Answer input = eval(*expr.children[0], grid);
  if (!input || grid.size != 1) return input;
  const FunctionId id = expr.function->id;
  const bool by_value = id == FunctionId::sort || id == FunctionId::sort_desc;
  const bool descending = id == FunctionId::sort_desc || id == FunctionId::sort_by_label_desc;
  input->ordered = true;
  if (by_value) {
    std::erase_if(input->series,
                  [](const EvalSeries& series) { return is_absent(series.values[0]); });
    std::stable_sort(input->series.begin(), input->series.end(),
                     [descending](const EvalSeries& a, const EvalSeries& b) {
                       const double left = a.values[0];
                       const double right = b.values[0];
                       if (std::isnan(left) || std::isnan(right))
                         return !std::isnan(left) && std::isnan(right);  // NaN last, both ways
                       return descending ? left > right : left < right;
                     });
    return input;
  }
  std::stable_sort(input->series.begin(), input->series.end(),
                   [&](const EvalSeries& a, const EvalSeries& b) {
                     for (size_t i = 1; i < expr.children.size(); ++i) {
                       const std::string left = value_of(a.labels, text_argument(expr, i));
                       const std::string right = value_of(b.labels, text_argument(expr, i));
                       if (left != right)
                         return descending ? natural_less(right, left) : natural_less(left, right);
                     }
                     return descending ? b.labels < a.labels : a.labels < b.labels;
                   });
  return input;
}

}  // namespace hms::collector::promql
