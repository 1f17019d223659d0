// engine.cc: one question: checks its bounds, evaluates, and turns columns into the answer's form.
#include "collector/query/promql/engine.h"

#include <algorithm>

#include "collector/query/promql/eval.h"

namespace hms::collector::promql {
namespace {

net::Error bad_request(std::string sentence) {
  return {net::Code::bad_message, net::Side::downstream, false, std::move(sentence)};
}

constexpr int64_t kMaxTimeMillis =
    1'000'000'000'000'000;  // the year 33658; sums with offsets and ranges stay far from overflow

bool time_in_bounds(int64_t t) { return t >= -kMaxTimeMillis && t <= kMaxTimeMillis; }

bool by_labels(const EvalSeries& a, const EvalSeries& b) { return a.labels < b.labels; }

Value instant_value(Evaluated answer, int64_t t_millis) {
  Value out;
  out.t_millis = t_millis;
  switch (answer.type) {
    case ValueType::scalar:
      out.kind = Value::Kind::scalar;
      out.scalar = answer.scalars[0];
      return out;
    case ValueType::text:
      out.kind = Value::Kind::text;
      out.text = std::move(answer.text);
      return out;
    case ValueType::vector:
    case ValueType::matrix:
      break;
  }
  out.kind = Value::Kind::vector;
  if (!answer.ordered) std::sort(answer.series.begin(), answer.series.end(), by_labels);
  for (EvalSeries& series : answer.series) {
    if (!series.present(0)) continue;
    out.vector.push_back({std::move(series.labels), series.values[0], series.histogram(0)});
  }
  return out;
}

Value range_value(Evaluated answer, const Grid& grid) {
  Value out;
  out.kind = Value::Kind::matrix;
  out.t_millis = grid.last();
  if (answer.type == ValueType::scalar) {
    EvalSeries series;
    series.values = std::move(answer.scalars);
    answer.series.push_back(std::move(series));
  }
  std::sort(answer.series.begin(), answer.series.end(), by_labels);
  for (EvalSeries& series : answer.series) {
    MatrixSeries row;
    for (size_t i = 0; i < grid.size; ++i) {
      if (!is_absent(series.values[i])) {
        row.samples.push_back({grid.at(i), series.values[i]});
      } else if (series.has_histogram(i)) {
        row.histograms.push_back({grid.at(i), series.histograms[i]});
      }
    }
    if (row.samples.empty() && row.histograms.empty()) continue;
    row.labels = std::move(series.labels);
    out.matrix.push_back(std::move(row));
  }
  return out;
}

// "up[5m]" asked by itself: the points as they are.
Value raw_value(RangeData data, int64_t t_millis) {
  Value out;
  out.kind = Value::Kind::matrix;
  out.t_millis = t_millis;
  for (RangeSeries& series : data.series) {
    MatrixSeries row;
    row.samples = std::move(series.samples);
    for (const WindowHistogram& histogram : series.histograms) {
      row.histograms.push_back(
          {histogram.t_millis, std::make_shared<const FloatHistogram>(to_float(histogram.value))});
    }
    if (row.samples.empty() && row.histograms.empty()) continue;
    row.labels = std::move(series.labels);
    out.matrix.push_back(std::move(row));
  }
  std::sort(out.matrix.begin(), out.matrix.end(),
            [](const MatrixSeries& a, const MatrixSeries& b) { return a.labels < b.labels; });
  return out;
}

void add_notes(const Evaluator& evaluator, Value& value) {
  value.warnings = evaluator.warnings();
  value.infos = evaluator.infos();
  value.samples_read = evaluator.samples_read();
}

}  // namespace

PromqlEngine::PromqlEngine(const SeriesSource& source, QueryOptions defaults)
    : source_(source), defaults_(std::move(defaults)) {}

net::Result<Value> PromqlEngine::instant(std::string_view expression, int64_t t_millis) const {
  auto parsed = parse(expression);
  if (!parsed) return parsed.error();
  return instant(**parsed, t_millis, defaults_);
}

net::Result<Value> PromqlEngine::instant(const Expr& expression, int64_t t_millis) const {
  return instant(expression, t_millis, defaults_);
}

net::Result<Value> PromqlEngine::instant(const Expr& expression, int64_t t_millis,
                                         const QueryOptions& options) const {
  if (!time_in_bounds(t_millis)) return bad_request("time is out of bounds");
  Evaluator evaluator(source_, options, t_millis, t_millis);
  const Grid grid{t_millis, 1, 1};
  Value out;
  if (expression.type == ValueType::matrix) {
    auto data = evaluator.range_data(expression, grid, Need::all);
    if (!data) return data.error();
    out = raw_value(std::move(*data), t_millis);
  } else {
    auto answer = evaluator.eval(expression, grid);
    if (!answer) return answer.error();
    out = instant_value(std::move(*answer), t_millis);
  }
  add_notes(evaluator, out);
  return out;
}

net::Result<Value> PromqlEngine::range(const Expr& expression, int64_t start_millis,
                                       int64_t end_millis, int64_t step_millis,
                                       const QueryOptions& options) const {
  if (!time_in_bounds(start_millis) || !time_in_bounds(end_millis))
    return bad_request("time is out of bounds");
  if (end_millis < start_millis) return bad_request("end timestamp must not be before start time");
  if (step_millis <= 0)
    return bad_request(
        "zero or negative query resolution step widths are not accepted. Try a positive integer");
  if ((end_millis - start_millis) / step_millis > kMaxRangeSteps) {
    return bad_request(
        "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query "
        "resolution (?step=XX)");
  }
  if (expression.type != ValueType::scalar && expression.type != ValueType::vector) {
    return bad_request("invalid expression type \"" + std::string(type_name(expression.type)) +
                       "\" for range query, must be Scalar or instant Vector");
  }
  Grid grid;
  grid.start = start_millis;
  grid.step = step_millis;
  grid.size = static_cast<size_t>((end_millis - start_millis) / step_millis) + 1;
  Evaluator evaluator(source_, options, start_millis, end_millis);
  auto answer = evaluator.eval(expression, grid);
  if (!answer) return answer.error();
  Value out = range_value(std::move(*answer), grid);
  add_notes(evaluator, out);
  return out;
}

}  // namespace hms::collector::promql
