// logs_api.h: GET /ops/logs: logs by time range, service, level, severity, trace, attribute
// (`attr=key:value`) and text, newest first, with a cursor. GET /ops/logs/tail: the same filters on
// what comes in (log_tail.h). All must outlive the server. Thread: the loop's.
#pragma once

#include "collector/api/log_tail.h"
#include "collector/audit/audit_log.h"
#include "collector/executor.h"
#include "collector/store/log_store.h"
#include "net/http/server.h"
#include "net/io/loop.h"

namespace hms::collector {

void register_logs_api(net::HttpServer& server, net::Loop& loop, Executor& executor,
                       const LogStore& logs, LogTail& tail, AuditLog* audit = nullptr);

}  // namespace hms::collector
