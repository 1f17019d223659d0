// series_sealing.cc: from memory to chunks, in small steps on the commit thread; days that go and
// series that go with them. See series_store_impl.h.
#include <algorithm>

#include "collector/store/keys.h"
#include "collector/store/series_definition.h"
#include "collector/store/series_store_impl.h"
#include "net/core/log.h"
#include "net/core/time_units.h"

namespace hms::collector {
namespace {

constexpr size_t kSealSeriesAtOnce = 4000;  // a call of maintain() stays in the milliseconds
constexpr uint64_t kSealBytesAtOnce = 8ULL * 1024 * 1024;

}  // namespace

uint64_t SeriesStoreImpl::head_bytes() const {
  uint64_t sum = 0;
  for (const auto& [id, series] : series_)
    sum += series->head.bytes();  // only the commit thread changes heads
  return sum;
}

// The engine calls this only when everything that earlier calls wrote is on disk.
void SeriesStoreImpl::maintain(uint64_t now_unix_nanos, KvWriter& writer) {
  now_millis_.store(static_cast<int64_t>(now_unix_nanos / 1'000'000), std::memory_order_relaxed);
  finish_written(writer);
  remove_dead(writer);
  if (!marks_pending_.empty()) {
    const std::unique_lock lock(mutex_);
    compacted_.insert(marks_pending_.begin(), marks_pending_.end());
    marks_pending_.clear();
  }
  const uint64_t bytes = head_bytes();
  head_bytes_.store(bytes, std::memory_order_relaxed);
  const uint64_t now_seconds = now_unix_nanos / 1'000'000'000;
  const bool due = epoch_ != 0 && now_seconds >= epoch_ + uint64_t{options_.seal_seconds};
  if (to_seal_.empty() && written_.empty() && sealing_log_keys_.empty() && !log_keys_.empty() &&
      (due || bytes > options_.seal_bytes)) {
    begin_sealing(now_unix_nanos);
  }
  drop_expired(now_seconds, writer);
  seal_some(now_seconds, writer);
  compact_some(now_unix_nanos, writer);
}

void SeriesStoreImpl::begin_sealing(uint64_t now_unix_nanos) {
  for (const auto& [id, series] : series_) {
    if (!series->head.has_unsealed()) continue;
    const std::lock_guard lock(stripe(id));
    series->head.begin_sealing();
    to_seal_.push_back(series);
  }
  head_samples_.store(0, std::memory_order_relaxed);
  sealing_log_keys_ = std::move(log_keys_);
  log_keys_.clear();
  sealing_epoch_ = epoch_;
  epoch_ = std::max(epoch_ + 1, static_cast<uint32_t>(now_unix_nanos / 1'000'000'000));
  log_sequence_ = 0;
}

void SeriesStoreImpl::seal_some(uint64_t now_seconds, KvWriter& writer) {
  uint64_t bytes = 0;
  while (!to_seal_.empty() && written_.size() < kSealSeriesAtOnce && bytes < kSealBytesAtOnce) {
    SeriesPtr series = std::move(to_seal_.back());
    to_seal_.pop_back();
    std::map<uint32_t, std::vector<BlockPtr>> by_day;
    for (const BlockPtr& block : series->head.sealing())
      by_day[static_cast<uint32_t>(block->first_millis / net::kMillisPerDay)].push_back(block);
    for (const auto& [day, blocks] : by_day) {
      const std::string stored = seal_blocks(blocks);
      bytes += stored.size();
      for (const BlockPtr& block : blocks) {
        sealed_until_millis_ = std::max(sealed_until_millis_, block->last_millis);
      }
      writer.put(Family{day}, series_chunk_key(series->id, sealing_epoch_), stored);
      note_sealed(day, now_seconds, writer);
    }
    written_.push_back(std::move(series));
  }
  if (written_.empty()) return;
  std::string until;
  append_be64(until, static_cast<uint64_t>(sealed_until_millis_));
  writer.put(Family::meta(), table_key(Table::series_chunk), until);
}

void SeriesStoreImpl::finish_written(KvWriter& writer) {
  for (const SeriesPtr& series : written_) {
    const std::lock_guard lock(stripe(series->id));
    for (const BlockPtr& block : series->head.sealing()) {
      series->sealed_until_millis = std::max(series->sealed_until_millis, block->last_millis);
    }
    series->head.drop_sealing();
  }
  written_.clear();
  if (!to_seal_.empty()) return;
  for (const auto& [family, key] : sealing_log_keys_) writer.remove(family, key);
  sealing_log_keys_.clear();
}

void SeriesStoreImpl::forget_day(Family day) {
  const std::unique_lock lock(mutex_);
  days_.erase(day.day);
  compacted_.erase(day.day);
  unsummed_.erase(day.day);
  sealed_into_.erase(day.day);
  for (const auto& [id, series] : series_) {
    const bool lives = !series->head.empty() || series->staged ||
                       std::any_of(days_.begin(), days_.end(),
                                   [id = id](const auto& one) { return one.second.contains(id); });
    if (!lives) dead_.push_back(id);
  }
}

// Days past the metrics' own retention, whose other signals are kept longer. What came for such a
// day before midnight is in chunks two seal intervals later.
void SeriesStoreImpl::drop_expired(uint64_t now_seconds, KvWriter& writer) {
  if (!options_.drop_expired ||
      now_seconds % net::kSecondsPerDay < 2 * uint64_t{options_.seal_seconds})
    return;
  std::vector<uint32_t> past;
  for (const auto& [day, series] : days_) {
    if (uint64_t{day} + options_.retention_days >= now_seconds / net::kSecondsPerDay) break;
    if (!series.empty() && !sealed_days_.contains(day)) past.push_back(day);
  }
  for (const uint32_t day : past) {
    for (const Table table : {Table::series_definition, Table::series_chunk, Table::series_exemplar,
                              Table::series_rollup, Table::series_sums, Table::series_compacted}) {
      writer.remove_range(Family{day}, table_key(table),
                          std::string(1, static_cast<char>(static_cast<uint8_t>(table) + 1)));
    }
    forget_day(Family{day});
    expired_days_.fetch_add(1, std::memory_order_relaxed);
    net::log_info("a day's records of a signal past its retention were dropped",
                  {{"signal", "metrics"}, {"day", day}});
  }
}

// Series whose last day is gone.
void SeriesStoreImpl::remove_dead(KvWriter& writer) {
  if (dead_.empty()) return;
  const std::unique_lock lock(mutex_);
  by_raw_key_.clear();
  for (const uint32_t id : dead_) {
    const auto found = series_.find(id);
    if (found == series_.end() || !found->second->head.empty()) continue;
    writer.remove(Family::meta(), series_definition_key(id));
    series_bytes_.fetch_sub(series_memory(found->second->labels), std::memory_order_relaxed);
    index_.remove(id, found->second->labels);
    series_.erase(found);
  }
  dead_.clear();
  by_labels_.clear();
  for (const auto& [id, series] : series_)
    by_labels_.insert(label_hash(series->labels), series.get());
}

}  // namespace hms::collector
