#include "collector/api/map_api.h"

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "collector/api/measured_calls.h"
#include "collector/api/query_parameters.h"
#include "collector/api/query_task.h"
#include "net/core/clock.h"
#include "net/core/time_units.h"

namespace hms::collector {
namespace {

using nlohmann::json;

constexpr uint64_t kDefaultRangeNanos = 60'000'000'000ULL;
/// Longer ranges are answered from spans alone: reading every histogram of a month is no map.
constexpr uint64_t kLongestMeasuredNanos = 7 * net::kNanosPerDay;

/// What a node or an edge answered.
struct Figures {
  double requests = 0, errors = 0, p50 = 0, p95 = 0, p99 = 0;  // durations in seconds
};

Figures figures_of(double requests, double errors, const telemetry::Histogram& duration) {
  return {requests, errors, duration.quantile(0.5), duration.quantile(0.95),
          duration.quantile(0.99)};
}

void add_figures(json& entry, const Figures& figures, double seconds) {
  entry["rps"] = figures.requests / seconds;
  entry["error_rate"] = figures.requests > 0 ? figures.errors / figures.requests : 0.0;
  const auto put = [&](const char* name, double value) {
    entry[name] = std::isfinite(value) ? value * 1e3 : 0.0;
  };
  put("p50", figures.p50);
  put("p95", figures.p95);
  put("p99", figures.p99);
}

using Nodes = std::map<std::string, Figures>;

/// What each service's own metrics counted; nothing on an error (too much data, no time): spans
/// then speak alone.
Nodes measured(const SeriesSource& series, uint64_t start, uint64_t end,
               const SelectLimits& limits) {
  Nodes nodes;
  if (end - start > kLongestMeasuredNanos) return nodes;
  const auto calls = measured_calls(series, start, end, limits);
  if (!calls) return nodes;
  for (const auto& [service, of] : *calls)
    nodes[service] = figures_of(of.requests, of.errors, of.durations);
  return nodes;
}

/// The present second holds no call that is still to come: it counts whole.
uint64_t with_present_second(uint64_t end) {
  const uint64_t present = net::unix_nanos() / net::kNanosPerSecond;
  return end / net::kNanosPerSecond >= present
             ? (end / net::kNanosPerSecond + 1) * net::kNanosPerSecond
             : end;
}

QueryAnswer map(const ServiceEdgeStore& edges, const SeriesSource& series, uint64_t start,
                uint64_t end, const SelectLimits& limits) {
  const auto totals = edges.totals(start, with_present_second(end), limits.cancelled);
  if (!totals) return error_answer(totals.error());
  const double seconds = static_cast<double>(end - start) / 1e9;
  Nodes named;
  json lines = json::array();
  for (const ServiceEdge& edge : totals->edges) {
    if (edge.from.empty()) {
      named[edge.to] = figures_of(edge.requests, edge.errors, edge.duration);
      continue;
    }
    json line = {{"from", edge.from}, {"to", edge.to}};
    add_figures(line, figures_of(edge.requests, edge.errors, edge.duration), seconds);
    lines.push_back(std::move(line));
    // A caller that serves nobody itself (a job, a browser) is a node too, with no calls of its
    // own.
    named.try_emplace(edge.from);
    named.try_emplace(edge.to);
  }
  for (const auto& [service, figures] : measured(series, start, end, limits)) {
    Figures& node = named[service];
    if (figures.requests > node.requests) node = figures;
  }
  json nodes = json::array();
  for (const auto& [service, figures] : named) {
    json node = {{"service", service}};
    add_figures(node, figures, seconds);
    nodes.push_back(std::move(node));
  }
  json body = {{"nodes", std::move(nodes)}, {"edges", std::move(lines)}};
  if (!totals->warnings.empty()) body["warnings"] = totals->warnings;
  return {200, body.dump(-1, ' ', false, json::error_handler_t::replace)};
}

}  // namespace

void register_map_api(net::HttpServer& server, net::Loop& loop, Executor& executor,
                      const ServiceEdgeStore& edges, const SeriesSource& series,
                      promql::QueryOptions questions) {
  server.route(
      "GET", "/ops/map", [&, questions](net::Request& request, const net::ReplyPtr& reply) {
        QueryParameters parameters(request);
        const uint64_t end = parameters.time_nanos("end", net::unix_nanos());
        const uint64_t start =
            parameters.time_nanos("start", end > kDefaultRangeNanos ? end - kDefaultRangeNanos : 0);
        if (start >= end) parameters.fail("start", "must be before \"end\"");
        if (!parameters.ok()) return net::send_error(*reply, 400, "bad_data", parameters.fault());
        run_query(loop, executor, reply,
                  [&edges, &series, questions, start, end](const auto& cancelled) {
                    SelectLimits limits;
                    limits.max_samples = questions.max_samples;
                    limits.parallel = questions.parallel;
                    limits.cancelled = cancelled;
                    return map(edges, series, start, end, limits);
                  });
      });
}

}  // namespace hms::collector
