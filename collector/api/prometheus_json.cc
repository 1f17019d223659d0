#include "collector/api/prometheus_json.h"

#include "collector/query/promql/ast.h"
#include "telemetry/text.h"

namespace hms::collector {
namespace {

using promql::FloatHistogram;

// Whole seconds without a fraction, else three digits, as Prometheus.
void append_time(std::string& out, int64_t millis) {
  if (millis < 0) {
    out += '-';
    millis = -millis;
  }
  out += std::to_string(millis / 1000);
  const int64_t part = millis % 1000;
  if (part == 0) return;
  const std::string digits = std::to_string(1000 + part);
  out += '.';
  out.append(digits, 1, 3);
}

void append_value(std::string& out, double value) {
  out += '"';
  out += promql::number_text(value);
  out += '"';
}

void append_sample(std::string& out, int64_t millis, double value) {
  out += '[';
  append_time(out, millis);
  out += ',';
  append_value(out, value);
  out += ']';
}

void append_histogram(std::string& out, int64_t millis, const FloatHistogram& histogram) {
  out += '[';
  append_time(out, millis);
  out += ",{\"count\":";
  append_value(out, histogram.count);
  out += ",\"sum\":";
  append_value(out, histogram.sum);
  const std::vector<FloatHistogram::Shown> buckets = histogram.shown();
  if (!buckets.empty()) {
    out += ",\"buckets\":[";
    for (size_t i = 0; i < buckets.size(); ++i) {
      out += i == 0 ? "[" : ",[";
      out += std::to_string(buckets[i].rule);
      for (const double number : {buckets[i].lower, buckets[i].upper, buckets[i].count}) {
        out += ',';
        append_value(out, number);
      }
      out += ']';
    }
    out += ']';
  }
  out += "}]";
}

template <class Rows, class AppendRow>
void append_rows(std::string& out, const Rows& rows, size_t limit, bool& truncated,
                 const AppendRow& append_row) {
  out += '[';
  size_t written = 0;
  for (const auto& row : rows) {
    if (limit > 0 && written == limit) {
      truncated = true;
      break;
    }
    if (written++ > 0) out += ',';
    out += "{\"metric\":";
    append_labels_json(out, row.labels);
    append_row(row);
    out += '}';
  }
  out += ']';
}

void append_matrix_row(std::string& out, const promql::MatrixSeries& row) {
  if (!row.samples.empty()) {
    out += ",\"values\":[";
    for (size_t i = 0; i < row.samples.size(); ++i) {
      if (i > 0) out += ',';
      append_sample(out, row.samples[i].t_millis, row.samples[i].value);
    }
    out += ']';
  }
  if (row.histograms.empty()) return;
  out += ",\"histograms\":[";
  for (size_t i = 0; i < row.histograms.size(); ++i) {
    if (i > 0) out += ',';
    append_histogram(out, row.histograms[i].t_millis, *row.histograms[i].value);
  }
  out += ']';
}

}  // namespace

void append_labels_json(std::string& out, const LabelSet& labels) {
  out += '{';
  bool first = true;
  for (const auto& [name, value] : labels) {
    if (!first) out += ',';
    first = false;
    telemetry::append_json_text(out, name);
    out += ':';
    telemetry::append_json_text(out, value);
  }
  out += '}';
}

std::string texts_json(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (size_t i = 0; i < texts.size(); ++i) {
    if (i > 0) out += ',';
    telemetry::append_json_text(out, texts[i]);
  }
  return out + "]";
}

std::string query_data_json(const promql::Value& value, size_t limit, bool& truncated) {
  using Kind = promql::Value::Kind;
  std::string out = "{\"resultType\":";
  switch (value.kind) {
    case Kind::scalar:
      out += "\"scalar\",\"result\":";
      append_sample(out, value.t_millis, value.scalar);
      break;
    case Kind::text:
      out += "\"string\",\"result\":[";
      append_time(out, value.t_millis);
      out += ',';
      telemetry::append_json_text(out, value.text);
      out += ']';
      break;
    case Kind::vector:
      out += "\"vector\",\"result\":";
      append_rows(out, value.vector, limit, truncated, [&](const promql::VectorElement& row) {
        out += row.histogram ? ",\"histogram\":" : ",\"value\":";
        if (row.histogram) {
          append_histogram(out, value.t_millis, *row.histogram);
        } else {
          append_sample(out, value.t_millis, row.value);
        }
      });
      break;
    case Kind::matrix:
      out += "\"matrix\",\"result\":";
      append_rows(out, value.matrix, limit, truncated,
                  [&](const promql::MatrixSeries& row) { append_matrix_row(out, row); });
      break;
  }
  return out + "}";
}

std::string success_json(std::string data, const std::vector<std::string>& warnings,
                         const std::vector<std::string>& infos) {
  std::string out = "{\"status\":\"success\",\"data\":" + std::move(data);
  if (!warnings.empty()) out += ",\"warnings\":" + texts_json(warnings);
  if (!infos.empty()) out += ",\"infos\":" + texts_json(infos);
  return out + "}";
}

}  // namespace hms::collector
