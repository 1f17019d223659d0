// rocks_options.h: how RocksDB is set up: one budget of memory for caches and memtables, one log,
// small files, LZ4 above ZSTD. Thread: start-up.
#pragma once

#include <rocksdb/cache.h>
#include <rocksdb/options.h>
#include <rocksdb/write_buffer_manager.h>

#include <cstdint>
#include <memory>
#include <string_view>

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
/// A whole key of the trace index, with which no range of keys to be removed may begin: RocksDB
/// crashes at it (family_options).
[[nodiscard]] bool is_trace_index_key(std::string_view key) noexcept;

}  // namespace hms::collector
