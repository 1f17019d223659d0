// canary_api.h: /ops/canaries[/{name}] and POST
// /ops/canaries/{name}/{promote|rollback|pause|resume}. Thread: the loop's.
//
// GET gives a list, or one canary with state, weight and record; PUT answers 201 when it is new,
// else 200; DELETE 200; an action answers the canary. All of them when it is stored: 503 while the
// disk refuses it, although it holds. 409 for an action that the state does not allow, and for an
// upstream that another canary uses.
#pragma once

#include "collector/canary/controller.h"
#include "net/http/server.h"
#include "telemetry/prom_text.h"

namespace hms::collector {

void register_canary_api(net::HttpServer& server, CanaryController& canaries);
/// hms_collector_canar*.
void write_canary_metrics(telemetry::PromWriter& writer, const CanaryController& canaries);

}  // namespace hms::collector
