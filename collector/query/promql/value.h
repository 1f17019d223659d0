// value.h: what a PromQL expression comes to. Thread: values, any.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "collector/query/promql/float_histogram.h"
#include "collector/store/series_store.h"

namespace hms::collector::promql {

struct VectorElement {
  LabelSet labels;              // sorted; with `__name__` when the expression keeps it
  double value = 0;             // meaningless when `histogram` is set
  FloatHistogramPtr histogram;  // null: a plain number
};

struct HistogramPoint {
  int64_t t_millis = 0;
  FloatHistogramPtr value;
};
struct MatrixSeries {
  LabelSet labels;
  std::vector<Sample> samples;             // rising in time
  std::vector<HistogramPoint> histograms;  // rising in time
};

struct Value {
  enum class Kind : uint8_t { scalar, text, vector, matrix };
  Kind kind = Kind::vector;
  int64_t t_millis = 0;  // when it was evaluated; a range: the last step
  double scalar = 0;
  std::string text;
  std::vector<VectorElement>
      vector;                        // sorted by labels unless the expression sorts (topk, sort...)
  std::vector<MatrixSeries> matrix;  // sorted by labels
  std::vector<std::string> warnings;  // the answer may be wrong
  std::vector<std::string> infos;     // the question may be meant otherwise
  uint64_t samples_read = 0;
};

}  // namespace hms::collector::promql
