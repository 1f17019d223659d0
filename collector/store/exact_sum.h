// exact_sum.h: a sum of many reals that does not lose the small ones. Thread: a value.
#pragma once

#include <cmath>

namespace hms::collector {

/// Neumaier's compensated sum. Here, because sums run over every point of a question.
struct ExactSum {
  double sum = 0, compensation = 0;
  void add(double value) noexcept {
    const double total = sum + value;
    if (std::isinf(total)) {
      compensation = 0;
    } else if (std::fabs(sum) >= std::fabs(value)) {
      compensation += (sum - total) + value;
    } else {
      compensation += (value - total) + sum;
    }
    sum = total;
  }
  [[nodiscard]] double value() const noexcept { return std::isinf(sum) ? sum : sum + compensation; }
};

}  // namespace hms::collector
