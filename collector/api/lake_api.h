// lake_api.h: GET /ops/lake (where it is, which days it has, what is being rolled), POST
// /ops/lake/roll?day=YYYY-MM-DD (202: the roller has it on its list), and the roller's metrics.
#pragma once

#include "collector/executor.h"
#include "collector/lake/lake.h"
#include "collector/lake/roller.h"
#include "net/http/server.h"
#include "net/io/loop.h"
#include "telemetry/prom_text.h"

namespace hms::collector {

/// All must outlive the server; the executor must be closed before the lake goes.
void register_lake_api(net::HttpServer& server, net::Loop& loop, Executor& executor,
                       const Lake& lake, Roller& roller);
/// Without a lake the same paths say how to have one (404).
void register_no_lake_api(net::HttpServer& server);
void write_lake_metrics(telemetry::PromWriter& writer, const Lake& lake, const Roller& roller);

}  // namespace hms::collector
