// span_room.h: how many spans an answer may hold, and what becomes of a trace that has more.
//
// Spans of an answer are copies (a span with five attributes takes about a kilobyte), and a trace
// may have millions, so each question has room for a number of bytes, all its traces together, and
// each trace for SpanStore::kMaxSpansPerTrace. What does not fit is left out and told with the
// trace. Thread: one question's. docs/api.md, docs/config-collector.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "collector/store/span_store.h"

namespace hms::collector {

/// About what it takes in memory.
[[nodiscard]] uint64_t bytes_of(const StoredSpan& span) noexcept;

class SpanRoom {
 public:
  explicit SpanRoom(uint64_t bytes) noexcept : allowed_(bytes), left_(bytes) {}

  /// From here on spans are of this trace; those that it has already count.
  void begin(const Trace& trace) noexcept;
  /// Appends the span. False, and from then on for every span of the trace: it does not fit. The
  /// first span of an answer always fits.
  bool keep(StoredSpan span, std::vector<StoredSpan>& out);
  /// A span of this trace was left out.
  [[nodiscard]] bool cut() const noexcept { return cut_; }
  /// A span was left out for its bytes, or those that are charged took more than there was: there
  /// is no room for further traces.
  [[nodiscard]] bool full() const noexcept { return full_ || spent_; }
  /// The bytes of these spans count too, which the room did not hand out.
  void charge(const std::vector<StoredSpan>& spans) noexcept;
  /// Puts the trace's spans in order, each (id, kind, service) once, finds its x-trace, and says so
  /// if it was cut.
  void finish(Trace& trace) const;
  /// For the list that ended because the room was full.
  [[nodiscard]] std::string list_cut() const;

 private:
  const uint64_t allowed_;
  uint64_t left_;
  size_t spans_left_ = 0;
  bool empty_ = true, cut_ = false, full_ = false;
  bool spent_ = false;  // by charge()
};

}  // namespace hms::collector
