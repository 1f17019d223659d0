// logs_api.h: GET /ops/logs: logs by time range, service, level, severity, trace and text, newest
// first, with a cursor. Wiring: register_logs_api(server, loop, executor, logs) before listening;
// all must outlive the server.
#pragma once

#include "collector/executor.h"
#include "collector/store/log_store.h"
#include "net/http/server.h"
#include "net/io/loop.h"

namespace hms::collector {

void register_logs_api(net::HttpServer& server, net::Loop& loop, Executor& executor,
                       const LogStore& logs);

}  // namespace hms::collector
