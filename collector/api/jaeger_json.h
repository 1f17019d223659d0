// jaeger_json.h: stored traces in Jaeger's JSON (version 1): spans with references, tags and logs,
// and the processes they ran in.
//
// Written as text span by span, each span's memory given back on the way: an answer of JSON values
// takes several times the room of its text. Thread: one question's.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "collector/store/span_store.h"

namespace hms::collector {

class JaegerText {
 public:
  /// Spans beyond `limit` bytes of text are left out, and of a trace whose first span is longer
  /// what makes it so; the trace says so.
  explicit JaegerText(size_t limit) : limit_(limit) {}
  void add(Trace trace);
  /// There is no room for further traces.
  [[nodiscard]] bool full() const noexcept { return cut_ || text_.size() > limit_; }
  /// Further traces are left out: the last one says so.
  void leave_out_rest();
  [[nodiscard]] size_t traces() const noexcept { return traces_; }
  /// [{"traceID":...,"spans":[...],"processes":{...},"warnings":[...]|null},...]
  [[nodiscard]] std::string take();

 private:
  void add_spans(std::vector<StoredSpan> spans);
  void end_trace();

  const size_t limit_;
  std::string text_ = "[";
  size_t traces_ = 0;
  bool cut_ = false;                   // a span, or a part of it, had no room
  bool told_ = false;                  // that further traces are left out
  std::vector<std::string> warnings_;  // of the last trace, which is not ended yet
};

}  // namespace hms::collector
