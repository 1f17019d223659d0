#include "collector/api/map_api.h"

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "collector/api/query_parameters.h"
#include "collector/api/query_task.h"
#include "net/core/clock.h"

namespace hms::collector {
namespace {

using nlohmann::json;

constexpr uint64_t kDefaultRangeNanos = 60'000'000'000ULL;
constexpr uint64_t kNanosPerMilli = 1'000'000ULL;
/// Longer ranges are answered from spans alone: reading every histogram of a month is no map.
constexpr uint64_t kLongestMeasuredNanos = 7ULL * 86'400'000'000'000ULL;
/// Metrics are preferred where they counted more calls than spans did, and by more than what
/// PromQL's extrapolation to the borders of a range may add.
constexpr double kClearlyMore = 1.1;

/// What a node or an edge answered.
struct Figures {
  double requests = 0, errors = 0, p50 = 0, p95 = 0, p99 = 0;  // durations in seconds
};

Figures figures_of(const EdgeTotals& totals) {
  return {static_cast<double>(totals.requests), static_cast<double>(totals.errors),
          totals.duration.quantile(0.5), totals.duration.quantile(0.95),
          totals.duration.quantile(0.99)};
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

/// Calls `each(service, histogram)` for what `selector` measured in the range; nothing on an error
/// (too much data, no time): spans then speak alone.
template <class Each>
void ask(const promql::PromqlEngine& engine, const std::string& selector, uint64_t start,
         uint64_t end, const promql::QueryOptions& options, const Each& each) {
  const auto expression = promql::parse("sum by (service_name) (increase(" + selector + "[" +
                                        std::to_string((end - start) / kNanosPerMilli) + "ms]))");
  if (!expression) return;
  const auto answer =
      engine.instant(**expression, static_cast<int64_t>(end / kNanosPerMilli), options);
  if (!answer) return;
  for (const promql::VectorElement& element : answer->vector) {
    if (element.histogram && !element.labels.empty())
      each(element.labels.front().second, *element.histogram);
  }
}

/// What each service's own metrics say of the calls that it answered.
Nodes measured(const promql::PromqlEngine& engine, uint64_t start, uint64_t end,
               const promql::QueryOptions& options) {
  Nodes nodes;
  if (end - start > kLongestMeasuredNanos || end - start < kNanosPerMilli) return nodes;
  const std::string calls = "http_server_request_duration_seconds";
  ask(engine, calls, start, end, options, [&](const std::string& service, const auto& histogram) {
    nodes[service] = {histogram.count, 0, histogram.quantile(0.5), histogram.quantile(0.95),
                      histogram.quantile(0.99)};
  });
  ask(engine, calls + "{http_response_status_code=~\"5..\"}", start, end, options,
      [&](const std::string& service, const auto& histogram) {
        nodes[service].errors = histogram.count;
      });
  return nodes;
}

QueryAnswer map(const ServiceEdgeStore& edges, const promql::PromqlEngine& engine, uint64_t start,
                uint64_t end, const promql::QueryOptions& options) {
  const auto totals = edges.totals(start, end);
  if (!totals) return error_answer(totals.error());
  const double seconds = static_cast<double>(end - start) / 1e9;
  Nodes named;
  json lines = json::array();
  for (const ServiceEdge& edge : *totals) {
    if (edge.from.empty()) {
      named[edge.to] = figures_of(edge.totals);
      continue;
    }
    json line = {{"from", edge.from}, {"to", edge.to}};
    add_figures(line, figures_of(edge.totals), seconds);
    lines.push_back(std::move(line));
    // A caller that serves nobody itself (a job, a browser) is a node too, with no calls of its
    // own.
    named.try_emplace(edge.from);
    named.try_emplace(edge.to);
  }
  for (const auto& [service, figures] : measured(engine, start, end, options)) {
    Figures& node = named[service];
    if (figures.requests > node.requests * kClearlyMore) node = figures;
  }
  json nodes = json::array();
  for (const auto& [service, figures] : named) {
    json node = {{"service", service}};
    add_figures(node, figures, seconds);
    nodes.push_back(std::move(node));
  }
  const json body = {{"nodes", std::move(nodes)}, {"edges", std::move(lines)}};
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
                    promql::QueryOptions options = questions;
                    options.cancelled = cancelled;
                    return map(edges, promql::PromqlEngine(series), start, end, options);
                  });
      });
}

}  // namespace hms::collector
