// jaeger_api.h: the Jaeger query API, version 1: what Jaeger's own page and Grafana's Jaeger data
// source call.
//
//   GET /api/services, /api/services/{s}/operations, /api/operations?service=, /api/traces?...,
//   /api/traces/{id}, /api/dependencies
// Times in microseconds, durations as Go writes them ("1.2s"); {id} is a trace id of up to 32
// hexadecimal digits, or the text of an x-trace (trace_names.h). Wiring:
// register_jaeger_api(server, loop, executor, spans, edges) before listening; all must outlive the
// server.
#pragma once

#include "collector/audit/audit_log.h"
#include "collector/executor.h"
#include "collector/store/span_edges.h"
#include "collector/store/span_store.h"
#include "net/http/server.h"
#include "net/io/loop.h"

namespace hms::collector {

void register_jaeger_api(net::HttpServer& server, net::Loop& loop, Executor& executor,
                         const SpanStore& spans, const ServiceEdgeStore& edges,
                         AuditLog* audit = nullptr);

}  // namespace hms::collector
