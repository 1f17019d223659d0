// log_match.h: whether a line is one that was asked for: shared by the search and the live tail.
// Thread: values.
#pragma once

#include <string>

#include "collector/store/chunk_filter.h"
#include "collector/store/log_store.h"
#include "telemetry/model.h"

namespace hms::collector {

class LogMatch {
 public:
  explicit LogMatch(const LogQuery& query);
  /// Everything but the time.
  [[nodiscard]] bool fits(const telemetry::LogBatch& batch, const telemetry::LogView& log) const;
  /// What a chunk must hold, if a line of it fits.
  [[nodiscard]] const FilterQuestion& needs() const noexcept { return needs_; }

 private:
  [[nodiscard]] bool text_fits(const telemetry::LogBatch& batch,
                               const telemetry::LogView& log) const;
  LogQuery query_;  // the text folded
  FilterQuestion needs_;
};

}  // namespace hms::collector
