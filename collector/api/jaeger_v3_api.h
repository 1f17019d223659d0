// jaeger_v3_api.h: the Jaeger query API, version 3: answers are OTLP JSON in a "result".
//
//   GET /api/v3/services, /api/v3/operations?service=&span_kind=, /api/v3/traces/{id},
//   /api/v3/traces?query.service_name=&query.operation_name=&query.attributes={json}&
//   query.start_time_min=&query.start_time_max=&query.duration_min=&query.duration_max=&
//   query.search_depth=
// Each parameter also in camel case (query.serviceName), as later clients write them; times are
// RFC 3339, durations Go's. Source: jaegertracing/jaeger-idl, api_v3/query_service.proto.
// All must outlive the server. Thread: the loop's.
#pragma once

#include "collector/audit/audit_log.h"
#include "collector/executor.h"
#include "collector/store/span_store.h"
#include "net/http/server.h"
#include "net/io/loop.h"

namespace hms::collector {

void register_jaeger_v3_api(net::HttpServer& server, net::Loop& loop, Executor& executor,
                            const SpanStore& spans, AuditLog* audit = nullptr);

}  // namespace hms::collector
