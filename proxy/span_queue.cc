#include "proxy/span_queue.h"

#include <utility>

#include "proxy/split_spans.h"

namespace hms::proxy {

uint64_t SpanQueue::add(std::vector<telemetry::RecorderDelta>& deltas) {
  uint64_t spans = 0;
  for (const telemetry::RecorderDelta& delta : deltas) spans += delta.spans.size();
  if (spans == 0) return 0;
  if (seconds_.size() >= kMostSeconds) {
    for (telemetry::RecorderDelta& delta : deltas) delta.spans = {};
    return spans;
  }
  Second& second = seconds_.emplace_back();
  second.batch.spans = spans;
  for (telemetry::RecorderDelta& delta : deltas) split_spans(delta, kSpansPerPiece, second.pieces);
  return 0;
}

/// Requests of protobuf may be concatenated: repeated fields go on.
bool SpanQueue::step(const telemetry::ResourceIdentity& resource, Batch& batch) {
  Second& second = seconds_.front();
  second.batch.body += telemetry::encode_traces(resource, {std::move(second.pieces[second.done])});
  if (++second.done < second.pieces.size()) return false;
  batch = std::move(second.batch);
  seconds_.pop_front();
  return true;
}

}  // namespace hms::proxy
