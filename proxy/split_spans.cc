#include "proxy/split_spans.h"

#include <algorithm>

namespace hms::proxy {

void split_spans(telemetry::RecorderDelta& delta, size_t most,
                 std::vector<telemetry::RecorderDelta>& pieces) {
  for (size_t begin = 0; begin < delta.spans.size(); begin += most) {
    telemetry::RecorderDelta& piece = pieces.emplace_back();
    piece.begin_unix_nanos = delta.begin_unix_nanos;
    piece.end_unix_nanos = delta.end_unix_nanos;
    piece.names = delta.names;
    const size_t end = std::min(begin + most, delta.spans.size());
    piece.spans.assign(delta.spans.begin() + static_cast<std::ptrdiff_t>(begin),
                       delta.spans.begin() + static_cast<std::ptrdiff_t>(end));
    // A text may be shared by spans, so it is copied where it is short and a second span may still
    // need it.
    const auto take = [&delta, &piece](uint32_t& text) {
      if (text == 0) return;
      piece.texts.push_back(delta.texts[text - 1]);
      text = static_cast<uint32_t>(piece.texts.size());
    };
    for (telemetry::SpanRecord& span : piece.spans) {
      take(span.trace_text);
      take(span.target);
    }
  }
  delta.spans.clear();
}

}  // namespace hms::proxy
