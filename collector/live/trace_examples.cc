#include "collector/live/trace_examples.h"

#include <algorithm>

namespace hms::collector {
namespace {

constexpr size_t kMaxServices = 2'000;
constexpr size_t kErrorExamples = 16;
constexpr size_t kSlowExamples = 8;
constexpr int64_t kExampleSeconds = 120;
constexpr int64_t kFutureSeconds = 60;  // a clock further ahead than this is not believed

}  // namespace

void TraceExamples::note(std::string_view service, const telemetry::SpanView& span,
                         const HttpLabels& labels, int64_t now) {
  const auto second = static_cast<int64_t>(span.end_unix_nanos / 1'000'000'000ULL);
  if (second < now - kExampleSeconds || second > now + kFutureSeconds || span.trace_id.is_zero())
    return;
  auto at = by_service_.find(service);
  if (at == by_service_.end()) {
    if (by_service_.size() >= kMaxServices) return;
    at = by_service_.emplace(std::string(service), Examples{}).first;
  }
  Examples& examples = at->second;
  const uint64_t nanos =
      span.end_unix_nanos > span.start_unix_nanos ? span.end_unix_nanos - span.start_unix_nanos : 0;
  const double seconds = static_cast<double>(nanos) / 1e9;
  const auto make = [&] {
    return TraceExample{std::string(service),
                        telemetry::to_hex(span.trace_id),
                        std::string(labels.route),
                        labels.error,
                        seconds,
                        second};
  };
  if (labels.error) {
    examples.errors.push_back(make());
    if (examples.errors.size() > kErrorExamples) examples.errors.pop_front();
    return;
  }
  auto& slow = examples.slow;
  if (slow.size() < kSlowExamples) {
    slow.push_back(make());
  } else {
    if (seconds <= examples.least_seconds && examples.oldest_second >= now - kExampleSeconds)
      return;
    const auto is_old = [now](const TraceExample& example) {
      return example.unix_second < now - kExampleSeconds;
    };
    auto least = std::min_element(slow.begin(), slow.end(), [&](const auto& a, const auto& b) {
      return is_old(a) != is_old(b) ? is_old(a) : a.seconds < b.seconds;
    });
    if (least->seconds >= seconds && !is_old(*least)) return;
    *least = make();
  }
  examples.least_seconds = slow.front().seconds;
  examples.oldest_second = slow.front().unix_second;
  for (const TraceExample& example : slow) {
    examples.least_seconds = std::min(examples.least_seconds, example.seconds);
    examples.oldest_second = std::min(examples.oldest_second, example.unix_second);
  }
}

std::vector<TraceExample> TraceExamples::of(const std::string& service, int64_t since,
                                            size_t limit) const {
  std::vector<TraceExample> found;
  const auto at = by_service_.find(service);
  if (at == by_service_.end()) return found;
  for (auto it = at->second.errors.rbegin(); it != at->second.errors.rend() && found.size() < limit;
       ++it) {
    if (it->unix_second >= since) found.push_back(*it);
  }
  std::vector<TraceExample> slow = at->second.slow;
  std::sort(slow.begin(), slow.end(),
            [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  for (const TraceExample& example : slow) {
    if (found.size() >= limit) break;
    const bool known = std::any_of(found.begin(), found.end(),
                                   [&](const auto& other) { return other.trace == example.trace; });
    if (example.unix_second >= since && !known) found.push_back(example);
  }
  return found;
}

void TraceExamples::forget(int64_t now) {
  std::erase_if(by_service_, [&](const auto& entry) {
    const auto old = [&](const TraceExample& example) {
      return example.unix_second < now - kExampleSeconds;
    };
    return std::all_of(entry.second.errors.begin(), entry.second.errors.end(), old) &&
           std::all_of(entry.second.slow.begin(), entry.second.slow.end(), old);
  });
}

}  // namespace hms::collector
