// backup_api.h: POST /ops/backup: a backup of the running collector into the directory of its
// configuration. Never into one that a caller names. One at a time (409). Thread: the loop's.
#pragma once

#include <string>

#include "collector/executor.h"
#include "collector/store/engine.h"
#include "net/http/server.h"
#include "net/io/loop.h"

namespace hms::collector {

/// `directory` empty: 404 says how to switch it on. All must outlive the server.
void register_backup_api(net::HttpServer& server, net::Loop& loop, Executor& executor,
                         StorageEngine& engine, const std::string& directory);

}  // namespace hms::collector
