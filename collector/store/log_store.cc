// log_store.cc: the writing side: groups into heads, heads into chunks with their index and filter.
#include "collector/store/log_store.h"

#include <algorithm>
#include <map>
#include <set>
#include <span>

#include "collector/store/chunk_days.h"
#include "collector/store/chunk_filter.h"
#include "collector/store/chunk_head.h"
#include "collector/store/chunk_rest.h"
#include "collector/store/log_chunk.h"
#include "collector/store/log_index.h"
#include "collector/store/log_level.h"
#include "collector/store/log_search.h"
#include "collector/store/span_index.h"
#include "net/core/clock.h"

namespace hms::collector {
namespace {

using telemetry::LogBatch;
using telemetry::LogView;

constexpr uint32_t kMaxLimit = 5'000;

using Record = HeadRecord<LogBatch>;
using Head = DayHead<LogBatch>;

/// About what a line takes in memory and in the columns of a chunk.
uint64_t weight_of(const Record& record) {
  const LogView& log = record.batch().logs[record.row];
  uint64_t weight = sizeof(LogView) + log.message.size();
  for (const telemetry::Attribute& a : attributes_in(record.batch(), log.attributes))
    weight += sizeof a + a.key.size() + a.value.text.size();
  return weight;
}

std::string filter_of(const std::vector<LogSource>& logs) {
  FilterBuilder filter;
  const auto add = [&filter](const LogBatch& batch, telemetry::AttributeRange range, bool text) {
    for (const telemetry::Attribute& a : attributes_in(batch, range)) {
      if (text) filter.add_text(a.value.text);
      filter.add_attribute(a.key, attribute_text(a.value));
    }
  };
  std::set<std::pair<const LogBatch*, uint32_t>> resources;
  for (const LogSource& source : logs) {
    const LogView& log = *source.log;
    filter.add_text(log.message);
    filter.add_value('l', level_key(log.level));
    if (!log.severity.empty()) filter.add_value('v', log.severity);
    add(*source.batch, log.attributes, true);
    if (!resources.emplace(source.batch, log.resource).second) continue;
    const telemetry::ResourceView& resource = source.batch->resources[log.resource];
    filter.add_value('s', resource.service_name);
    add(*source.batch, resource.attributes, false);
  }
  return filter.finish();
}

/// Chunks have the last arrived first.
std::vector<Record> in_order_of_arrival(const std::shared_ptr<const LogBatch>& chunk) {
  std::vector<Record> records;
  records.reserve(chunk->logs.size());
  for (auto row = static_cast<uint32_t>(chunk->logs.size()); row-- > 0;)
    records.push_back({&chunk, row});
  return records;
}

class ChunkedLogStore final : public LogStore {
 public:
  ChunkedLogStore(uint64_t max_heads_weight, uint64_t cache_bytes, SignalRetention retention)
      : max_heads_weight_(max_heads_weight),
        cache_(cache_bytes),
        sweep_("logs", std::move(retention), Table::log_chunk,
               static_cast<uint8_t>(Table::series_log)) {}
  net::Result<void> recover(const KvReader& reader) override;
  void prepare(std::span<const AcceptedBatch> group, KvWriter& writer) override;
  void committed(std::span<const AcceptedBatch>) override { heads_.commit(); }
  void failed(std::span<const AcceptedBatch>) override { heads_.roll_back(); }
  void maintain(uint64_t now_unix_nanos, KvWriter& writer) override;
  void seal_day(Family day) override { sealed_days_.insert(day); }
  void forget_day(Family day) override {
    heads_.forget(day);
    next_chunk_.erase(day);
    sweep_.forget(day);
  }
  SweepCounters sweep_counters() const override { return sweep_.counters(); }
  net::Result<LogPage> search(const LogQuery& asked,
                              const std::function<bool()>& cancelled) const override {
    LogQuery query = asked;
    query.limit = std::clamp<uint32_t>(query.limit, 1, kMaxLimit);
    if (query.end_unix_nanos == 0) query.end_unix_nanos = UINT64_MAX;
    auto heads = heads_.view();  // before the snapshot
    return search_logs(*reader_->snapshot(), std::move(heads), cache_, query, cancelled);
  }

 private:
  uint32_t next_chunk(Family day) { return next_chunk_[day]++; }
  net::Result<void> recover_head(Family day);
  void prepare_day(Family day, std::span<const Record> records, uint64_t arrived, KvWriter& writer);
  void write_small_chunk(Family day, Head& head, std::span<const Record> records, uint64_t weight,
                         KvWriter& writer);
  void seal(Family day, const Head& head, std::span<const Record> more, KvWriter& writer);
  void write_full_chunk(Family day, uint32_t number, std::vector<LogSource>& logs,
                        KvWriter& writer);
  void remember_numbers(Family day, uint32_t epoch, KvWriter& writer);
  void write_rest(Family day, KvWriter& writer);
  net::Result<uint64_t> keep_some(Family day, std::string_view key, std::string_view value,
                                  uint32_t limit, uint32_t age, KvWriter& writer);

  const uint64_t max_heads_weight_;
  const KvReader* reader_ = nullptr;
  ChunkHeads<LogBatch> heads_;
  mutable LogChunkCache cache_;
  std::set<Family> sealed_days_;  // the lake's; commit thread only, as what follows
  std::map<Family, uint32_t> next_chunk_;
  RetentionSweep sweep_;
  ChunkRest<LogBatch, LogSource> rest_;  // of the step under way
};

net::Result<void> ChunkedLogStore::recover(const KvReader& reader) {
  reader_ = &reader;
  for (const Family day : reader.days()) {
    if (auto recovered = recover_head(day); !recovered) return recovered;
  }
  return {};
}

net::Result<void> ChunkedLogStore::recover_head(Family day) {
  const auto state = reader_->get(day, table_key(Table::log_head));
  if (!state || state->size() != 8) return {};
  next_chunk_[day] = read_be32(*state);
  Head head;
  head.epoch = read_be32(state->substr(4));
  const std::string begin = table_key(Table::log_head);
  const auto scanned = reader_->scan(
      day, begin, prefix_end(begin), [&](std::string_view key, std::string_view value) {
        if (key.size() == 5 && value.size() == 8)
          head.chunks.push_back({read_be32(key.substr(1)), read_be64(value)});
        return true;
      });
  if (!scanned) return scanned;
  for (const SmallChunk& small : head.chunks) {
    const auto stored = reader_->get(day, log_key(Table::log_chunk, small.newest, small.number));
    if (!stored) return stored.error();
    const auto batch = decode_log_chunk(*stored);
    if (!batch) return batch.error();
    const std::vector<Record> records = in_order_of_arrival(*batch);
    for (const Record& record : records) head.weight += weight_of(record);
    head.rows += records.size();
    for (auto& part : parts_of<LogBatch>(records)) head.parts.push_back(std::move(part));
  }
  if (!head.empty()) heads_.restore(day, std::move(head));
  return {};
}

void ChunkedLogStore::prepare(std::span<const AcceptedBatch> group, KvWriter& writer) {
  heads_.settle();
  const auto sent = group_by_day(
      group, &AcceptedBatch::logs, [](const LogBatch& batch) { return batch.logs.size(); },
      [&](const LogBatch& batch, uint32_t row, uint64_t arrived) {
        return open_family_of_record(batch.logs[row].time_unix_nanos, arrived, sealed_days_);
      });
  for (const auto& [day, records] : sent.days) {
    prepare_day(day, records, sent.arrived_unix_nanos, writer);
    sweep_.note_written(day, sent.arrived_unix_nanos, writer);
  }
  heads_.seal_if_heavier(max_heads_weight_,
                         [&](Family day, const Head& head) { seal(day, head, {}, writer); });
}

/// Lines go into chunks in the order in which they came: that is what keeps a line's place
/// (log_search.cc) while chunks are merged.
void ChunkedLogStore::prepare_day(Family day, std::span<const Record> records, uint64_t arrived,
                                  KvWriter& writer) {
  Head head = heads_.of(day);
  if (head.empty()) head.epoch = next_chunk(day);
  size_t taken = 0;
  for (size_t end = 0; end < records.size();) {
    uint64_t weight = 0;
    const size_t room = kRecordsPerChunk - head.rows;
    while (end < records.size() && end - taken < room && head.weight + weight < kChunkWeight)
      weight += weight_of(records[end++]);
    const auto part = records.subspan(taken, end - taken);
    taken = end;
    if (part.size() < room && head.weight + weight < kChunkWeight) {
      head.weight += weight;
      head.last_arrival_unix_nanos = arrived;
      write_small_chunk(day, head, part, weight, writer);
      break;
    }
    seal(day, head, part, writer);
    head = Head{};
    if (end < records.size()) head.epoch = next_chunk(day);
  }
  remember_numbers(day, head.epoch, writer);
  heads_.stage(day, std::move(head));
}

void ChunkedLogStore::remember_numbers(Family day, uint32_t epoch, KvWriter& writer) {
  std::string state;
  append_be32(state, next_chunk_[day]);
  append_be32(state, epoch);
  writer.put(day, table_key(Table::log_head), state);
}

void ChunkedLogStore::write_small_chunk(Family day, Head& head, std::span<const Record> records,
                                        uint64_t weight, KvWriter& writer) {
  std::vector<LogSource> logs;
  for (const Record& record : records)
    logs.push_back({record.owner->get(), &record.batch().logs[record.row]});
  sort_newest_first(logs);
  const std::string value = encode_log_chunk(logs, Packing::none);
  const SmallChunk small{next_chunk(day), logs.front().log->time_unix_nanos};
  writer.put(day, log_key(Table::log_chunk, small.newest, small.number), value);
  std::string newest;
  append_be64(newest, small.newest);
  writer.put(day, log_head_key(small.number), newest);
  head.chunks.push_back(small);
  head.rows += records.size();
  auto parts = parts_of<LogBatch>(records);
  if (pins_too_much<LogBatch>(records, weight)) {
    if (const auto decoded = decode_log_chunk(value))
      parts = parts_of<LogBatch>(in_order_of_arrival(*decoded));
  }
  for (auto& part : parts) head.parts.push_back(std::move(part));
}

/// Writes the head's lines and `more` as the one full chunk that the head's epoch names.
void ChunkedLogStore::seal(Family day, const Head& head, std::span<const Record> more,
                           KvWriter& writer) {
  std::vector<LogSource> logs;
  logs.reserve(head.rows + more.size());
  for (const auto& part : head.parts) {
    for (const uint32_t row : part->rows)
      logs.push_back({part->batch.get(), &part->batch->logs[row]});
  }
  for (const Record& record : more)
    logs.push_back({record.owner->get(), &record.batch().logs[record.row]});
  write_full_chunk(day, head.epoch, logs, writer);
  for (const SmallChunk& small : head.chunks) {
    writer.remove(day, log_key(Table::log_chunk, small.newest, small.number));
    writer.remove(day, log_head_key(small.number));
  }
}

/// `logs` in the order in which they came.
void ChunkedLogStore::write_full_chunk(Family day, uint32_t number, std::vector<LogSource>& logs,
                                       KvWriter& writer) {
  sort_newest_first(logs);
  const std::string value = encode_log_chunk(logs, Packing::each_block);
  const uint64_t newest = logs.front().log->time_unix_nanos;
  const std::string key = log_key(Table::log_chunk, newest, number);
  writer.put(day, key, value);
  writer.put(day, log_key(Table::log_filter, newest, number), filter_of(logs));
  std::set<telemetry::TraceId> traces;
  for (const LogSource& source : logs) {
    const telemetry::TraceId& id = source.log->trace_id;
    if (id.is_zero() || !traces.insert(id).second) continue;
    writer.put(day, log_index_prefix(id) + key.substr(1), "");
  }
}

void ChunkedLogStore::maintain(uint64_t now_unix_nanos, KvWriter& writer) {
  heads_.seal_quiet(now_unix_nanos, sealed_days_,
                    [&](Family day, const Head& head) { seal(day, head, {}, writer); });
  const SweptStore swept{
      [this](Family day) { return heads_.of(day).empty() && !sealed_days_.contains(day); },
      [this](Family day) { return next_chunk_[day]; },
      [this](Family day, std::string_view key, std::string_view value, uint32_t limit, uint32_t age,
             KvWriter& out) { return keep_some(day, key, value, limit, age, out); },
      [this](Family day, KvWriter& out) { write_rest(day, out); }};
  sweep_.step(*reader_, now_unix_nanos, swept, writer);
}

/// What is left goes under a new number: opened chunks are known by theirs.
net::Result<uint64_t> ChunkedLogStore::keep_some(Family day, std::string_view key,
                                                 std::string_view value, uint32_t limit,
                                                 uint32_t age, KvWriter& writer) {
  if (key.size() != kLogChunkKeyBytes || read_be32(key.substr(9)) >= limit) return 0;
  const auto batch = decode_log_chunk(value);
  if (!batch) return batch.error();
  const auto& all = (*batch)->logs;
  std::vector<LogSource> kept;
  uint64_t weight = 0;
  std::set<telemetry::TraceId> traces;
  const std::vector<Record> records = in_order_of_arrival(*batch);
  for (const Record& record : records) {
    const LogView& log = all[record.row];
    if (!log.trace_id.is_zero()) traces.insert(log.trace_id);
    if (!sweep_.rules().keeps((*batch)->resources[log.resource].service_name, age)) continue;
    kept.push_back({batch->get(), &log});
    weight += weight_of(record);
  }
  if (kept.size() == all.size()) return 0;
  for (const telemetry::TraceId& id : traces)
    writer.remove(day, log_index_prefix(id) + std::string(key.substr(1)));
  writer.remove(day, table_key(Table::log_filter) + std::string(key.substr(1)));
  writer.remove(day, key);
  if (!rest_.has_room(kept.size(), weight)) write_rest(day, writer);
  rest_.add(*batch, kept, weight);
  return all.size() - kept.size();
}

void ChunkedLogStore::write_rest(Family day, KvWriter& writer) {
  if (rest_.records().empty()) return rest_.clear();
  const uint32_t number = next_chunk(day);
  write_full_chunk(day, number, rest_.records(), writer);
  remember_numbers(day, number, writer);
  rest_.clear();
}

}  // namespace

std::unique_ptr<LogStore> make_log_store(uint64_t max_heads_weight, uint64_t cache_bytes,
                                         SignalRetention retention) {
  return std::make_unique<ChunkedLogStore>(max_heads_weight, cache_bytes, std::move(retention));
}

}  // namespace hms::collector
