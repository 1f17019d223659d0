// rocks_options.h: how RocksDB is set up: one budget of memory for caches and memtables, one log,
// small files, LZ4 above ZSTD. Thread: start-up.
#pragma once

#include <rocksdb/cache.h>
#include <rocksdb/options.h>
#include <rocksdb/write_buffer_manager.h>

#include <cstdint>
#include <memory>

namespace hms::collector {

struct Budget {
  std::shared_ptr<rocksdb::Cache> cache;
  std::shared_ptr<rocksdb::WriteBufferManager> write_buffers;
  uint64_t memtable_bytes = 0;
};

/// Memtables are charged to the block cache.
[[nodiscard]] Budget make_budget(uint64_t memory_bytes);
[[nodiscard]] rocksdb::DBOptions database_options(const Budget& budget);
[[nodiscard]] rocksdb::ColumnFamilyOptions family_options(const Budget& budget);

}  // namespace hms::collector
