// log_match.h: whether a line is one that was asked for: the same for the hot store, the live tail
// and the lake, each of which shows it its lines.
// Thread: values.
#pragma once

#include <string>
#include <string_view>

#include "collector/store/chunk_filter.h"
#include "collector/store/log_store.h"
#include "telemetry/model.h"

namespace hms::collector {

/// What of a line decides, wherever it is kept. What was not asked for may be left empty.
struct LogLine {
  std::string_view service, level, severity, message;
  telemetry::TraceId trace_id;
};

/// A line's attributes; asked only if everything else fits.
class LogLineAttributes {
 public:
  virtual ~LogLineAttributes() = default;
  /// One of the line or of its resource has this key, and this value as text.
  [[nodiscard]] virtual bool has(std::string_view key, std::string_view text) const = 0;
  /// A text of the line itself contains `folded` (contains_folded).
  [[nodiscard]] virtual bool any_contains(std::string_view folded) const = 0;
};

class LogMatch {
 public:
  explicit LogMatch(const LogQuery& query);
  /// Everything but the time.
  [[nodiscard]] bool fits(const LogLine& line, const LogLineAttributes& attributes) const;
  [[nodiscard]] bool fits(const telemetry::LogBatch& batch, const telemetry::LogView& log) const;
  /// What a chunk must hold, if a line of it fits.
  [[nodiscard]] const FilterQuestion& needs() const noexcept { return needs_; }
  /// The question, with its level as level_key has it and its text folded.
  [[nodiscard]] const LogQuery& folded() const noexcept { return query_; }

 private:
  LogQuery query_;
  FilterQuestion needs_;
};

}  // namespace hms::collector
