// map_api.h: GET /ops/map?start=&end=: the service map: nodes and edges with rate, error rate and
// latencies of a time range (default: the last minute). Spans tell the edges; a node's figures come
// from its own `http.server.request.duration` where that counted more than the spans that arrived
// (a busy sidecar drops spans, a service may send none). Wiring: register_map_api(server, loop,
// executor, edges, series, questions) before listening; all but the last must outlive the server.
#pragma once

#include "collector/executor.h"
#include "collector/query/promql/engine.h"
#include "collector/store/span_edges.h"
#include "net/http/server.h"
#include "net/io/loop.h"

namespace hms::collector {

void register_map_api(net::HttpServer& server, net::Loop& loop, Executor& executor,
                      const ServiceEdgeStore& edges, const SeriesSource& series,
                      promql::QueryOptions questions);

}  // namespace hms::collector
