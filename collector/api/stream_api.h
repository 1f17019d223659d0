// stream_api.h: GET /ops/stream: live points, alerts and canary decisions as Server-Sent Events.
//
// `?service=` and `?route=` filter; `Last-Event-ID` (or `?lastEventId=`) resumes. 503 when the hub
// has no room. Thread: the loop's.
#pragma once

#include "collector/live/hub.h"
#include "net/http/server.h"

namespace hms::collector {

void register_stream_api(net::HttpServer& server, LiveHub& hub);

}  // namespace hms::collector
