// silences_api.h: /ops/silences[/{id}]: Alertmanager's v2 silences. Thread: the loop's.
//
// GET lists (or shows one), POST makes one or changes the one whose id it gives and answers it with
// `silenceID` added, DELETE ends it now.
#pragma once

#include "collector/alerts/silences.h"
#include "net/http/server.h"

namespace hms::collector {

void register_silences_api(net::HttpServer& server, Silences& silences);

}  // namespace hms::collector
