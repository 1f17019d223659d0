// rocks_backup.h: the part of backups that needs the open database. For rocks_*.cc only.
#pragma once

#include <rocksdb/db.h>

#include <string>

#include "collector/store/backup.h"

namespace hms::collector {

/// Adds a backup of what is committed now. Writes go on meanwhile. Errors: no_space, io, corrupt.
[[nodiscard]] net::Result<BackupReport> make_backup(rocksdb::DB& db, const std::string& directory);

}  // namespace hms::collector
