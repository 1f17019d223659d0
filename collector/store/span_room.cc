#include "collector/store/span_room.h"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>

namespace hms::collector {
namespace {

uint64_t bytes_of_all(const std::vector<StoredAttribute>& attributes) noexcept {
  uint64_t bytes = 0;
  for (const StoredAttribute& a : attributes) bytes += sizeof a + a.key.size() + a.text.size();
  return bytes;
}

std::string mebibytes(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

/// A sender without batch identities that tries again sends a span twice; the first one stays.
void drop_repeated(std::vector<StoredSpan>& spans) {
  std::vector<uint32_t> order(spans.size());
  std::iota(order.begin(), order.end(), 0U);
  const auto name = [&spans](uint32_t i) {
    return std::tie(spans[i].span_id, spans[i].kind, spans[i].service);
  };
  std::stable_sort(order.begin(), order.end(),
                   [&name](uint32_t a, uint32_t b) { return name(a) < name(b); });
  std::vector<char> repeated(spans.size());
  for (size_t i = 1; i < order.size(); ++i)
    repeated[order[i]] = name(order[i - 1]) == name(order[i]) ? 1 : 0;
  size_t kept = 0;
  for (size_t i = 0; i < spans.size(); ++i) {
    if (repeated[i] != 0) continue;
    if (kept != i) spans[kept] = std::move(spans[i]);
    ++kept;
  }
  spans.resize(kept);
}

}  // namespace

uint64_t bytes_of(const StoredSpan& span) noexcept {
  uint64_t bytes = sizeof span + span.service.size() + span.instance.size() + span.name.size() +
                   span.status_message.size() + span.scope.size() + span.trace_text.size() +
                   span.links.size() * sizeof(span.links.front()) + bytes_of_all(span.attributes) +
                   bytes_of_all(span.resource_attributes);
  for (const StoredEvent& event : span.events)
    bytes += sizeof event + event.name.size() + bytes_of_all(event.attributes);
  return bytes;
}

void SpanRoom::begin(const Trace& trace) noexcept {
  spans_left_ =
      SpanStore::kMaxSpansPerTrace - std::min(SpanStore::kMaxSpansPerTrace, trace.spans.size());
  cut_ = trace.cut;
}

bool SpanRoom::keep(StoredSpan span, std::vector<StoredSpan>& out) {
  if (cut_) return false;
  const uint64_t bytes = bytes_of(span);
  full_ = bytes > left_ && !empty_;
  cut_ = full_ || spans_left_ == 0;
  if (cut_) return false;
  empty_ = false;
  left_ -= std::min(left_, bytes);
  --spans_left_;
  out.push_back(std::move(span));
  return true;
}

void SpanRoom::charge(const std::vector<StoredSpan>& spans) noexcept {
  for (const StoredSpan& span : spans) {
    const uint64_t bytes = bytes_of(span);
    spent_ = spent_ || bytes > left_;
    left_ -= std::min(left_, bytes);
  }
  empty_ = empty_ && spans.empty();
}

void SpanRoom::finish(Trace& trace) const {
  drop_repeated(trace.spans);
  std::stable_sort(trace.spans.begin(), trace.spans.end(),
                   [](const StoredSpan& a, const StoredSpan& b) {
                     return a.start_unix_nanos < b.start_unix_nanos;
                   });
  const auto named = std::find_if(trace.spans.begin(), trace.spans.end(),
                                  [](const StoredSpan& s) { return !s.trace_text.empty(); });
  if (trace.x_trace.empty() && named != trace.spans.end()) trace.x_trace = named->trace_text;
  if (!cut_ || trace.cut) return;
  trace.cut = true;
  trace.warnings.insert(
      trace.warnings.begin(),
      "only the first " + std::to_string(trace.spans.size()) + " spans are shown: an answer has " +
          (full_ ? "room for " + mebibytes(allowed_) + " of spans (a sixteenth of --memory)"
                 : "at most " + std::to_string(SpanStore::kMaxSpansPerTrace) + " of a trace"));
}

std::string SpanRoom::list_cut() const {
  return "further traces are left out: an answer has room for " + mebibytes(allowed_) +
         " of spans (a sixteenth of --memory); ask for a shorter time";
}

}  // namespace hms::collector
