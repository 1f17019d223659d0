#include "proxy/span_queue.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace hms::proxy {

SpanQueue::SpanQueue(const telemetry::ResourceIdentity& resource) : encoder_(resource) {}

uint64_t SpanQueue::add(std::vector<telemetry::RecorderDelta>& deltas) {
  uint64_t spans = 0;
  for (const telemetry::RecorderDelta& delta : deltas) spans += delta.spans.size();
  if (spans == 0) return 0;
  if (seconds_.size() >= kMostSeconds) {
    for (telemetry::RecorderDelta& delta : deltas) delta.spans = {};
    return spans;
  }
  Second& second = seconds_.emplace_back();
  for (telemetry::RecorderDelta& delta : deltas) {
    if (delta.spans.empty()) continue;
    telemetry::RecorderDelta& taken = second.deltas.emplace_back();
    taken.spans = std::exchange(delta.spans, {});
    taken.texts = std::exchange(delta.texts, {});
    taken.names = delta.names;
  }
  return 0;
}

/// Fills the piece when there is enough for one, or when the second is over.
void SpanQueue::encode_some(Second& second) {
  telemetry::RecorderDelta& delta = second.deltas[second.delta];
  if (second.span == 0) encoder_.begin_delta();
  const size_t end = std::min(second.span + kSpansPerStep, delta.spans.size());
  encoder_.add(delta, second.span, end);
  batch_.spans += end - second.span;
  second.span = end;
  if (end == delta.spans.size()) {
    delta = {};  // its memory is needed for the next second's
    second.span = 0;
    ++second.delta;
  }
  if (encoder_.bytes() >= kPieceBytes || second.delta == second.deltas.size()) {
    encoder_.take(piece_);
    piece_packed_ = 0;
    batch_bytes_ += piece_.size();
  }
}

bool SpanQueue::step(Batch& batch) {
  Second& second = seconds_.front();
  if (piece_packed_ == piece_.size()) {
    encode_some(second);
    return false;
  }
  const auto some = std::string_view(piece_).substr(piece_packed_, kPackedPerStep);
  packer_.add(some);
  piece_packed_ += some.size();
  if (piece_packed_ < piece_.size()) return false;
  const bool second_is_over = second.delta == second.deltas.size();
  if (!second_is_over && batch_bytes_ < kBatchBytes) return false;
  batch.packed = packer_.finish();
  batch.spans = std::exchange(batch_.spans, 0);
  batch_bytes_ = 0;
  if (second_is_over) seconds_.pop_front();
  return true;
}

}  // namespace hms::proxy
