// ledger_api.h: GET /ops/ledger: per sender, what came, what is stored, what came again, what is
// missing, and what it says it dropped.
//
// {"senders":[{"instance","service","boot","batches":{"received","stored","repeated","missing"},"records":{"received","stored","repeated"},
//   "dropped":{reason:n},"last_sequence","last_seen"}],"totals":{"batches":{…},"records":{…},"dropped":{…}}};
//   `last_seen` in Unix milliseconds.
// A batch without `x-hms-batch` is counted under its service, with an empty instance. Thread: the
// loop's.
#pragma once

#include "collector/store/engine.h"
#include "net/http/server.h"

namespace hms::collector {

/// `engine` must outlive the server.
void register_ledger_api(net::HttpServer& server, const StorageEngine& engine);

}  // namespace hms::collector
