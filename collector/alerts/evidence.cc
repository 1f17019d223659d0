// evidence.cc: from the live window.
#include "collector/alerts/evidence.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace hms::collector {
namespace {

constexpr int64_t kLookBackSeconds = 10;
constexpr int64_t kTraceSeconds = 60;
constexpr size_t kMost = 3;

struct RouteShare {
  uint64_t requests = 0;
  double errors = 0, p99 = 0;
};

std::string line_of(const std::string& route, const RouteShare& share) {
  std::array<char, 128> numbers;
  std::snprintf(numbers.data(), numbers.size(), ": %.3g %% of %llu calls fail, p99 %.0f ms",
                100 * share.errors / static_cast<double>(share.requests),
                static_cast<unsigned long long>(share.requests), share.p99);
  return (route.empty() ? "(no route)" : route) + numbers.data();
}

std::string top_routes(const std::string& service, const LiveWindow& window, int64_t second) {
  std::map<std::string, RouteShare> routes;
  for (int64_t at = second - kLookBackSeconds + 1; at <= second; ++at) {
    for (const LivePoint& point : window.points(at)) {
      if (point.service != service) continue;
      RouteShare& share = routes[point.route];
      share.requests += point.count;
      share.errors += point.error_rate * static_cast<double>(point.count);
      share.p99 = std::max(share.p99, point.p99);
    }
  }
  std::vector<std::pair<std::string, RouteShare>> sorted(routes.begin(), routes.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return a.second.errors != b.second.errors ? a.second.errors > b.second.errors
                                              : a.second.p99 > b.second.p99;
  });
  std::string text;
  for (size_t i = 0; i < std::min(kMost, sorted.size()); ++i)
    text += (i == 0 ? "" : "; ") + line_of(sorted[i].first, sorted[i].second);
  return text;
}

}  // namespace

void add_evidence(Alert& alert, const LiveWindow& window, int64_t second) {
  const std::string service = alert.service();
  if (service.empty()) return;
  if (std::string routes = top_routes(service, window, second); !routes.empty())
    alert.annotations.emplace("top_routes", std::move(routes));
  std::string traces;
  for (const TraceExample& example : window.examples(service, second - kTraceSeconds, kMost))
    traces += (traces.empty() ? "" : ", ") + example.trace;
  if (!traces.empty()) alert.annotations.emplace("example_traces", std::move(traces));
}

}  // namespace hms::collector
