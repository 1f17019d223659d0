// stream_api.h: GET /ops/stream: live points, alerts and canary decisions as Server-Sent Events.
//
// `?service=` and `?route=` filter; `Last-Event-ID` (or `?lastEventId=`) resumes. 503 when the hub
// has no room. Thread: the loop's.
#pragma once

#include "collector/live/hub.h"
#include "collector/live/window.h"
#include "net/http/server.h"
#include "telemetry/prom_text.h"

namespace hms::collector {

void register_stream_api(net::HttpServer& server, LiveHub& hub);
/// hms_collector_stream_* and hms_collector_window_*.
void write_stream_metrics(telemetry::PromWriter& writer, const LiveHub& hub,
                          const LiveWindow& window);

}  // namespace hms::collector
