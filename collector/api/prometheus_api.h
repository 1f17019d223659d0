// prometheus_api.h: the Prometheus HTTP API: /api/v1/query, query_range, series, labels,
// label/{name}/values, metadata, query_exemplars. GET, and POST with a form body where Prometheus
// takes it. /status is in prometheus_status.h.
//
// Questions run on the executor, answers leave on the loop; a caller that leaves cancels its
// question. Errors: 400 bad_data, 422 execution, 503 timeout, canceled, unavailable. Limits: 11,000
// steps, what `defaults` says of samples and time (`timeout` lowers it). /rules and /alerts
// are in alerts_api. Thread: the loop's. Source: prometheus/docs/querying/api.md.
#pragma once

#include "collector/executor.h"
#include "collector/query/promql/engine.h"
#include "net/core/clock.h"
#include "net/http/server.h"
#include "net/io/loop.h"
#include "telemetry/prom_text.h"

namespace hms::collector {

/// hms_collector_series_* of the store's own figures.
void write_series_metrics(telemetry::PromWriter& writer, const SeriesStore& store);

/// All must outlive the server; the executor must be closed before `source` goes.
void register_prometheus_api(net::HttpServer& server, net::Loop& loop, Executor& executor,
                             const SeriesSource& source, promql::QueryOptions defaults,
                             net::Clock clock = net::Clock());

}  // namespace hms::collector
