// rocks_directory.h: the data directory: made and checked before RocksDB sees it, and what is wrong
// with it in one sentence. Thread: start-up.
#pragma once

#include <rocksdb/status.h>

#include <string>

#include "net/core/result.h"

namespace hms::collector {

/// There, a directory, and writable; made if only its last part is missing. Errors: bad_config.
[[nodiscard]] net::Result<void> prepare_directory(const std::string& path);
/// Why it could not be opened: bad_config (another process holds the lock), corrupt, no_space, io.
[[nodiscard]] net::Error open_error(const rocksdb::Status& status, const std::string& directory);

}  // namespace hms::collector
