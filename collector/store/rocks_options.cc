#include "collector/store/rocks_options.h"

#include <rocksdb/filter_policy.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/table.h>

#include <algorithm>

#include "collector/store/keys.h"

namespace hms::collector {
namespace {

constexpr uint64_t kMaxWalBytes =
    256ULL * 1024 * 1024;  // all families share one log: an idle one must not hold it back

/// The keys of the trace index, a thousand of which come in their order with each chunk: the memory
/// table looks for a key's place from that of the one before, not from its top (0.1 us of CPU time
/// a span). RocksDB keeps one such place for keys and for range deletions that are in the domain,
/// and crashes if it meets both: so only whole keys of that table are, with which no range begins.
class TraceIndexKeys final : public rocksdb::SliceTransform {
 public:
  const char* Name() const override { return "hms.trace_index"; }
  bool InDomain(const rocksdb::Slice& key) const override {
    return is_trace_index_key({key.data(), key.size()});
  }
  rocksdb::Slice Transform(const rocksdb::Slice& key) const override { return {key.data(), 1}; }
};

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
  options.memtable_insert_with_hint_prefix_extractor = std::make_shared<TraceIndexKeys>();
  options.compression = rocksdb::kLZ4Compression;
  options.bottommost_compression = rocksdb::kZSTD;
  options.target_file_size_base = 32 * 1024 * 1024;
  // Each file of level 0 has all tables, so each of these compactions writes all of level 1 anew:
  // at 4 files (RocksDB's default) they were a tenth of the CPU time of ingest at ten million
  // spans. A trace is looked for in each of the files.
  options.level0_file_num_compaction_trigger = 8;
  options.max_bytes_for_level_base = 128 * 1024 * 1024;
  return options;
}

bool is_trace_index_key(std::string_view key) noexcept {
  constexpr size_t kSize = 1 + 8 + 4;
  return key.size() == kSize && key[0] == static_cast<char>(Table::trace_index);
}

}  // namespace hms::collector
