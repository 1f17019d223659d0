// backup.h: backups of a data directory: made beside a running collector, each holding only what
// the ones before it do not, restored into an empty directory, and checked byte by byte.
//
// A backup directory is RocksDB's own form (BackupEngine): files shared by all backups, each named
// with its checksum, and one list of files per backup. The newest kKeptBackups are kept.
// Thread: any; one call at a time per directory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "net/core/result.h"

namespace hms::collector {

inline constexpr uint32_t kKeptBackups = 7;

struct BackupReport {
  uint32_t id = 0;
  uint64_t bytes = 0;  // of all its files, shared ones included
  uint64_t files = 0;
  int64_t made_unix_seconds = 0;
};

/// The backups of a directory, oldest first. Errors: io, corrupt, not_found (none there).
[[nodiscard]] net::Result<std::vector<BackupReport>> list_backups(const std::string& directory);
/// Reads every file of every backup and compares it with its checksum. Errors: corrupt, naming the
/// file; as list_backups.
[[nodiscard]] net::Result<std::vector<BackupReport>> verify_backups(const std::string& directory);
/// The newest backup, checked first, into `data`, which must be empty or missing. Errors:
/// bad_config; as verify_backups.
[[nodiscard]] net::Result<BackupReport> restore_backup(const std::string& directory,
                                                       const std::string& data);

}  // namespace hms::collector
