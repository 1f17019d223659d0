// memory_source.h: a SeriesSource made of a few lines of text, for the tests of PromQL.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <string>

#include "collector/query/promql/engine.h"
#include "collector/query/promql/eval.h"
#include "collector/store/series_regex.h"

namespace hms::collector::promql {

class MemorySource : public SeriesSource {
 public:
  /// "http_requests_total{job="api"} 0+10x100": 0, 10, 20 ... at 0, step, 2 * step ...; also "1 2 _
  /// 4 stale"; times begin at 1 ms, because ranges are left-open.
  void load(int64_t step_millis, const std::string& line, int64_t start_millis = 0) {
    const size_t brace = line.find('}');
    const size_t space = line.find(' ', brace == std::string::npos ? 0 : brace);
    Series series;
    series.labels = labels_of(line.substr(0, space));
    std::istringstream words(line.substr(space + 1));
    int64_t t = start_millis;
    for (std::string word; words >> word;) {
      if (word == "_") {
        t += step_millis;
      } else if (word == "stale") {
        series.samples.push_back({t, absent_value()});
        t += step_millis;
      } else {
        expand(word, [&](double value) {
          series.samples.push_back({t, value});
          t += step_millis;
        });
      }
    }
    add(std::move(series));
  }

  void add(Series series) {
    for (Series& known : series_) {
      if (known.labels != series.labels) continue;
      known.samples.insert(known.samples.end(), series.samples.begin(), series.samples.end());
      known.histograms.insert(known.histograms.end(), series.histograms.begin(),
                              series.histograms.end());
      return;
    }
    series_.push_back(std::move(series));
    std::sort(series_.begin(), series_.end(),
              [](const Series& a, const Series& b) { return a.labels < b.labels; });
  }

  static LabelSet labels_of(const std::string& text) {
    auto parsed = parse(text);
    LabelSet out;
    if (!parsed) return out;
    for (const LabelMatcher& matcher : (*parsed)->matchers)
      set_label(out, matcher.name, matcher.value);
    return out;
  }

  net::Result<std::vector<Series>> select(const std::vector<LabelMatcher>& matchers, int64_t start,
                                          int64_t end, const SelectLimits& limits) const override {
    auto compiled = compile_matchers(matchers);
    if (!compiled) return compiled.error();
    ++selects;
    std::vector<Series> out;
    for (const Series& series : series_) {
      const bool matches =
          std::all_of(compiled->begin(), compiled->end(), [&](const CompiledMatcher& matcher) {
            return matcher.matches(label_value(series.labels, matcher.name()));
          });
      if (!matches) continue;
      if (limits.cancelled && limits.cancelled())
        return net::Error{net::Code::canceled, net::Side::self, false, "canceled"};
      Series found;
      found.labels = series.labels;
      for (const Sample& sample : series.samples) {
        if (sample.t_millis > start && sample.t_millis <= end) found.samples.push_back(sample);
      }
      for (const HistogramSample& sample : series.histograms) {
        if (sample.t_millis > start && sample.t_millis <= end) found.histograms.push_back(sample);
      }
      if (!found.samples.empty() || !found.histograms.empty()) out.push_back(std::move(found));
    }
    return out;
  }

  net::Result<std::vector<LabelSet>> series(const std::vector<LabelMatcher>& matchers,
                                            int64_t start, int64_t end,
                                            const SelectLimits& limits) const override {
    auto found = select(matchers, start, end, limits);
    if (!found) return found.error();
    std::vector<LabelSet> out;
    for (Series& one : *found) out.push_back(std::move(one.labels));
    return out;
  }
  std::vector<MetricMetadata> metadata() const override {
    return {{"http_requests_total", "counter", "Requests.", ""}};
  }

  mutable int selects = 0;

 private:
  template <class Emit>
  static void expand(const std::string& word, const Emit& emit) {
    const size_t times = word.find('x');
    if (times == std::string::npos) {
      emit(std::strtod(word.c_str(), nullptr));
      return;
    }
    char* end = nullptr;
    const double first = std::strtod(word.c_str(), &end);
    const double step = *end == 'x' ? 0 : std::strtod(end, nullptr);
    const int count = std::atoi(word.c_str() + times + 1);
    for (int i = 0; i <= count; ++i) emit(first + step * i);
  }

  std::vector<Series> series_;
};

/// "{job="api"} 12" lines of an instant answer, or the error's sentence.
inline std::string ask(const SeriesSource& source, const std::string& text, int64_t t_millis,
                       QueryOptions options = {}) {
  auto parsed = parse(text);
  if (!parsed) return parsed.error().detail;
  const PromqlEngine engine(source, options);
  auto value = engine.instant(**parsed, t_millis);
  if (!value) return value.error().detail;
  if (value->kind == Value::Kind::scalar) return number_text(value->scalar);
  if (value->kind == Value::Kind::text) return quoted(value->text);
  std::string out;
  for (const VectorElement& element : value->vector) {
    if (!out.empty()) out += "\n";
    out += labels_text(element.labels) + " ";
    if (element.histogram) {
      out += "count:" + number_text(element.histogram->count) +
             " sum:" + number_text(element.histogram->sum);
    } else {
      out += number_text(element.value);
    }
  }
  for (const MatrixSeries& row : value->matrix) {
    if (!out.empty()) out += "\n";
    out += labels_text(row.labels);
    for (const Sample& sample : row.samples)
      out += " " + number_text(sample.value) + "@" + std::to_string(sample.t_millis);
  }
  return out;
}

/// "{job="api"} 1@0 2@60000" lines of a range answer.
inline std::string ask_range(const SeriesSource& source, const std::string& text, int64_t start,
                             int64_t end, int64_t step) {
  auto parsed = parse(text);
  if (!parsed) return parsed.error().detail;
  const PromqlEngine engine(source);
  auto value = engine.range(**parsed, start, end, step, engine.defaults());
  if (!value) return value.error().detail;
  std::string out;
  for (const MatrixSeries& row : value->matrix) {
    if (!out.empty()) out += "\n";
    out += labels_text(row.labels);
    for (const Sample& sample : row.samples)
      out += " " + number_text(sample.value) + "@" + std::to_string(sample.t_millis);
    for (const HistogramPoint& point : row.histograms)
      out += " h" + number_text(point.value->count) + "@" + std::to_string(point.t_millis);
  }
  return out;
}

}  // namespace hms::collector::promql
