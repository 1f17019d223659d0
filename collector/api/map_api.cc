#include "collector/api/map_api.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "collector/api/query_parameters.h"
#include "collector/api/query_task.h"
#include "net/core/clock.h"

namespace hms::collector {
namespace {

using nlohmann::json;

constexpr uint64_t kDefaultRangeNanos = 60'000'000'000ULL;

void add_totals(json& entry, const EdgeTotals& totals, double seconds) {
  const auto requests = static_cast<double>(totals.requests);
  entry["rps"] = requests / seconds;
  entry["error_rate"] = totals.requests == 0 ? 0.0 : static_cast<double>(totals.errors) / requests;
  for (const auto& [name, q] :
       {std::pair{"p50", 0.5}, std::pair{"p95", 0.95}, std::pair{"p99", 0.99}}) {
    const double value = totals.duration.quantile(q) * 1e3;
    entry[name] = std::isfinite(value) ? value : 0.0;
  }
}

QueryAnswer map(const ServiceEdgeStore& edges, uint64_t start, uint64_t end) {
  const auto totals = edges.totals(start, end);
  if (!totals) return error_answer(totals.error());
  const double seconds = static_cast<double>(end - start) * 1e-9;
  json nodes = json::array(), lines = json::array();
  std::set<std::string> named;
  for (const ServiceEdge& edge : *totals) {
    json entry =
        edge.from.empty() ? json{{"service", edge.to}} : json{{"from", edge.from}, {"to", edge.to}};
    add_totals(entry, edge.totals, seconds);
    if (edge.from.empty()) named.insert(edge.to);
    (edge.from.empty() ? nodes : lines).push_back(std::move(entry));
  }
  // A caller that serves nobody itself (a job, a browser) is a node too, with no calls of its own.
  for (const ServiceEdge& edge : *totals) {
    for (const std::string& service : {edge.from, edge.to}) {
      if (service.empty() || !named.insert(service).second) continue;
      json entry = {{"service", service}};
      add_totals(entry, {}, seconds);
      nodes.push_back(std::move(entry));
    }
  }
  const json body = {{"nodes", std::move(nodes)}, {"edges", std::move(lines)}};
  return {200, body.dump(-1, ' ', false, json::error_handler_t::replace)};
}

}  // namespace

void register_map_api(net::HttpServer& server, net::Loop& loop, Executor& executor,
                      const ServiceEdgeStore& edges) {
  server.route("GET", "/ops/map", [&](net::Request& request, const net::ReplyPtr& reply) {
    QueryParameters parameters(request);
    const uint64_t end = parameters.time_nanos("end", net::unix_nanos());
    const uint64_t start =
        parameters.time_nanos("start", end > kDefaultRangeNanos ? end - kDefaultRangeNanos : 0);
    if (start >= end) parameters.fail("start", "must be before \"end\"");
    if (!parameters.ok()) return net::send_error(*reply, 400, "bad_data", parameters.fault());
    run_query(loop, executor, reply,
              [&edges, start, end](const auto&) { return map(edges, start, end); });
  });
}

}  // namespace hms::collector
