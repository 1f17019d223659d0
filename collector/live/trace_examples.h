// trace_examples.h: per service a few traces of the last two minutes worth looking at, for an
// alert's evidence: the newest failed and the slowest ones.
//
// Limits: 16 failed and 8 slow ones a service, 2,000 services. Thread: the window's.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "collector/live/http_points.h"
#include "collector/live/window.h"
#include "telemetry/model.h"

namespace hms::collector {

class TraceExamples {
 public:
  void note(std::string_view service, const telemetry::SpanView& span, const HttpLabels& labels,
            int64_t now_seconds);
  /// Failed ones first, then the slowest.
  [[nodiscard]] std::vector<TraceExample> of(const std::string& service, int64_t since,
                                             size_t limit) const;
  void forget(int64_t now_seconds);

 private:
  struct Examples {
    std::deque<TraceExample> errors;
    std::vector<TraceExample> slow;
    // Of `slow` when it is full: most spans are neither slower than one of these nor find one old.
    double least_seconds = 0;
    int64_t oldest_second = 0;
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>()(text);
    }
  };
  std::unordered_map<std::string, Examples, Hash, std::equal_to<>> by_service_;
};

}  // namespace hms::collector
