#include "collector/store/rocks_options.h"

#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include <algorithm>

namespace hms::collector {
namespace {

constexpr uint64_t kMaxWalBytes =
    256ULL * 1024 * 1024;  // all families share one log: an idle one must not hold it back

}  // namespace

Budget make_budget(uint64_t memory_bytes) {
  Budget budget;
  budget.memtable_bytes = std::max<uint64_t>(memory_bytes * 3 / 8, 8ULL * 1024 * 1024);
  budget.cache = rocksdb::NewLRUCache(std::max<uint64_t>(memory_bytes, 16ULL * 1024 * 1024));
  budget.write_buffers =
      std::make_shared<rocksdb::WriteBufferManager>(budget.memtable_bytes, budget.cache);
  return budget;
}

rocksdb::DBOptions database_options(const Budget& budget) {
  rocksdb::DBOptions options;
  options.create_if_missing = true;
  options.write_buffer_manager = budget.write_buffers;
  options.max_total_wal_size = kMaxWalBytes;
  // An incomplete last record is what a crash leaves; any other fault in the log must be told, not
  // skipped over.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  options.track_and_verify_wals_in_manifest = true;
  options.max_open_files = 512;
  options.max_background_jobs = 2;
  options.bytes_per_sync = 1024 * 1024;
  options.keep_log_file_num = 4;
  options.max_log_file_size = 4 * 1024 * 1024;
  options.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  return options;
}

rocksdb::ColumnFamilyOptions family_options(const Budget& budget) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = budget.cache;
  table.block_size = 16 * 1024;
  table.cache_index_and_filter_blocks = true;
  table.cache_index_and_filter_blocks_with_high_priority = true;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.format_version = 5;
  rocksdb::ColumnFamilyOptions options;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.write_buffer_size =
      std::clamp<uint64_t>(budget.memtable_bytes / 4, 2ULL * 1024 * 1024, 32ULL * 1024 * 1024);
  options.max_write_buffer_number = 3;
  options.compression = rocksdb::kLZ4Compression;
  options.bottommost_compression = rocksdb::kZSTD;
  options.target_file_size_base = 32 * 1024 * 1024;
  options.max_bytes_for_level_base = 128 * 1024 * 1024;
  return options;
}

}  // namespace hms::collector
