// rocks_open.h: opens the database, also one with damaged files. Thread: start-up.
#pragma once

#include <rocksdb/db.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "collector/store/kv.h"
#include "collector/store/rocks_damage.h"
#include "collector/store/rocks_options.h"
#include "net/core/result.h"

namespace hms::collector {

/// A family's handle; freed when the last reader lets go of it, also after the family was dropped.
using RocksHandle = std::shared_ptr<rocksdb::ColumnFamilyHandle>;
/// Holds the database, too.
[[nodiscard]] RocksHandle own_handle(const std::shared_ptr<rocksdb::DB>& db,
                                     rocksdb::ColumnFamilyHandle* handle);

struct OpenRocks {
  std::shared_ptr<rocksdb::DB> db;
  std::map<Family, RocksHandle> families;
};

/// Damaged tables are set aside one by one, a damaged log is read past its damage. Errors:
/// bad_config (another process holds the lock), corrupt (what cannot be set aside: the list of
/// files, a family of another program), no_space, io.
[[nodiscard]] net::Result<OpenRocks> open_rocks(const std::string& directory, const Budget& budget,
                                                const std::shared_ptr<DamageListener>& listener,
                                                RocksDamage& damage);

}  // namespace hms::collector
