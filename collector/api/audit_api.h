// audit_api.h: GET /ops/audit: who asked for traces and logs of marked services, newest first;
// which is itself recorded.
#pragma once

#include "collector/audit/audit_log.h"
#include "collector/executor.h"
#include "net/http/server.h"
#include "net/io/loop.h"

namespace hms::collector {

/// All arguments must outlive the server.
void register_audit_api(net::HttpServer& server, net::Loop& loop, Executor& executor,
                        const KvReader& reader, AuditLog& log);

}  // namespace hms::collector
