// map_api.h: GET /ops/map?start=&end=: the service map: nodes and edges with rate, error rate and
// latencies of a time range (default: the last minute). Wiring: register_map_api(server, loop,
// executor, edges) before listening; all must outlive the server.
#pragma once

#include "collector/executor.h"
#include "collector/store/span_edges.h"
#include "net/http/server.h"
#include "net/io/loop.h"

namespace hms::collector {

void register_map_api(net::HttpServer& server, net::Loop& loop, Executor& executor,
                      const ServiceEdgeStore& edges);

}  // namespace hms::collector
