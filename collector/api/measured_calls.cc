#include "collector/api/measured_calls.h"

#include <algorithm>

namespace hms::collector {
namespace {

using telemetry::Histogram;

constexpr std::string_view kCalls = "http_server_request_duration_seconds";
/// How far before and behind the range a neighbour of its first and last point is looked for.
constexpr int64_t kMarginMillis = 60'000;
/// From this length on the points within are thinned: only the ends and resets matter then.
constexpr int64_t kThinFromMillis = 1'200'000;

std::string_view label_of(const LabelSet& labels, std::string_view name) {
  const auto it = std::find_if(labels.begin(), labels.end(),
                               [name](const auto& label) { return label.first == name; });
  return it == labels.end() ? std::string_view() : std::string_view(it->second);
}

/// The part of a rise between two points that is within [start, end], 0 to 1.
double part_within(int64_t from, int64_t to, int64_t start, int64_t end) noexcept {
  const int64_t overlap = std::min(to, end) - std::max(from, start);
  return overlap <= 0 || to <= from ? 0
                                    : static_cast<double>(overlap) / static_cast<double>(to - from);
}

/// Adds up how one series rose.
class Rise {
 public:
  Rise(MeasuredCalls& into, bool failed) : into_(into), failed_(failed) {}

  void over(const std::vector<HistogramSample>& points, int64_t start, int64_t end) {
    const Histogram *first = nullptr, *last = nullptr;  // of what lies within the range as a whole
    for (size_t i = 1; i < points.size(); ++i) {
      const Histogram &from = *points[i - 1].value, &to = *points[i].value;
      const double part = part_within(points[i - 1].t_millis, points[i].t_millis, start, end);
      if (part == 0) continue;
      if (to.count < from.count) {
        add(to, nullptr, part);  // it began again at 0 in between
      } else if (part < 1) {
        add(to, &from, part);
      } else if (last == &from) {
        last = &to;
        continue;
      }
      if (last != nullptr) add(*last, first, 1);
      const bool whole = part == 1 && to.count >= from.count;
      first = whole ? &from : nullptr;
      last = whole ? &to : nullptr;
    }
    if (last != nullptr) add(*last, first, 1);
  }

 private:
  void add(const Histogram& to, const Histogram* from, double part) {
    Histogram rise = to;
    if (from != nullptr && !rise.subtract(*from)) rise = to;  // a reset that the count did not show
    const double count = static_cast<double>(rise.count) * part;
    into_.requests += count;
    if (failed_) into_.errors += count;
    into_.durations.merge(rise);
  }

  MeasuredCalls& into_;
  const bool failed_;
};

}  // namespace

net::Result<std::map<std::string, MeasuredCalls>> measured_calls(const SeriesSource& series,
                                                                 uint64_t start_unix_nanos,
                                                                 uint64_t end_unix_nanos,
                                                                 SelectLimits limits) {
  const auto start = static_cast<int64_t>(start_unix_nanos / 1'000'000);
  const auto end = static_cast<int64_t>(end_unix_nanos / 1'000'000);
  if (end - start >= kThinFromMillis) limits.interval_millis = (end - start) / 4;
  const auto found = series.select({{"__name__", LabelMatcher::Kind::equal, std::string(kCalls)}},
                                   start - kMarginMillis, end + kMarginMillis, limits);
  if (!found) return found.error();
  std::map<std::string, MeasuredCalls> calls;
  for (const Series& one : *found) {
    const std::string_view service = label_of(one.labels, "service_name");
    if (service.empty()) continue;
    const bool failed =
        label_of(one.labels, "http_response_status_code").substr(0, 1) == std::string_view("5");
    MeasuredCalls rise;
    Rise(rise, failed).over(one.histograms, start, end);
    if (rise.requests == 0) continue;
    MeasuredCalls& of = calls[std::string(service)];
    of.requests += rise.requests;
    of.errors += rise.errors;
    of.durations.merge(rise.durations);
  }
  return calls;
}

}  // namespace hms::collector
