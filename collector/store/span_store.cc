// span_store.cc: the writing side: groups into heads, heads into chunks with their index.
#include "collector/store/span_store.h"

#include <algorithm>
#include <map>
#include <set>

#include "collector/store/chunk_days.h"
#include "collector/store/chunk_head.h"
#include "collector/store/chunk_ids.h"
#include "collector/store/chunk_rest.h"
#include "collector/store/span_catalogue.h"
#include "collector/store/span_chunk.h"
#include "collector/store/span_chunk_reader.h"
#include "collector/store/span_index.h"
#include "collector/store/span_reader.h"
#include "collector/store/span_room.h"

namespace hms::collector {
namespace {

using telemetry::SpanView;
using telemetry::TraceBatch;
using telemetry::TraceId;

constexpr uint32_t kCatalogueDays = 30;
constexpr uint32_t kMaxLimit = 1'500;

using Record = HeadRecord<TraceBatch>;
using Head = DayHead<TraceBatch>;

/// About what a span takes in memory and in the columns of a chunk.
uint64_t weight_of(const TraceBatch& batch, const SpanView& span) {
  uint64_t weight = sizeof(SpanView) + span.name.size() + span.status_message.size();
  const auto add = [&](telemetry::AttributeRange range) {
    for (uint32_t i = range.begin; i < range.end; ++i) {
      const telemetry::Attribute& a = batch.attributes[i];
      weight += sizeof a + a.key.size() + a.value.text.size();
    }
  };
  add(span.attributes);
  for (uint32_t i = span.events_begin; i < span.events_end; ++i) {
    weight += sizeof(telemetry::SpanEventView) + batch.events[i].name.size();
    add(batch.events[i].attributes);
  }
  return weight;
}

class ColumnarSpanStore final : public SpanStore {
 public:
  ColumnarSpanStore(uint64_t max_heads_weight, uint64_t cache_bytes, SignalRetention retention,
                    uint64_t answer_bytes)
      : max_heads_weight_(max_heads_weight),
        answer_bytes_(answer_bytes),
        caches_(cache_bytes),
        sweep_("traces", std::move(retention), Table::span_chunk,
               static_cast<uint8_t>(Table::log_chunk)) {}
  net::Result<void> recover(const KvReader& reader) override;
  void prepare(std::span<const AcceptedBatch> group, KvWriter& writer) override;
  void committed(std::span<const AcceptedBatch>) override { heads_.commit(); }
  void failed(std::span<const AcceptedBatch>) override { heads_.roll_back(); }
  void maintain(uint64_t now_unix_nanos, KvWriter& writer) override;
  void seal_day(Family day) override { sealed_days_.insert(day); }
  void forget_day(Family day) override {
    next_chunk_.erase(day);
    heads_.forget(day);
    sweep_.forget(day);
  }
  SweepCounters sweep_counters() const override { return sweep_.counters(); }

  uint64_t answer_bytes() const noexcept override { return answer_bytes_; }
  net::Result<Trace> trace(const TraceId& id) const override {
    SpanRoom room(answer_bytes_);
    return reader().trace(id, room);
  }
  net::Result<std::vector<Trace>> search(const TraceQuery& asked,
                                         const std::function<bool()>& cancelled) const override {
    TraceQuery query = asked;
    query.limit = std::clamp<uint32_t>(query.limit, 1, kMaxLimit);
    SpanRoom room(answer_bytes_);
    return reader().search(query, room, cancelled);
  }
  std::vector<std::string> services() const override { return catalogue_.services(); }
  std::vector<std::pair<std::string, std::string>> operations(
      const std::string& service) const override {
    return catalogue_.operations(service);
  }

 private:
  SpanReader reader() const {
    auto heads = heads_.view();  // before the snapshot: see SpanReader
    return {reader_->snapshot(), std::move(heads), caches_};
  }
  /// A number is used once even when its group fails: gaps in the numbering mean nothing.
  uint32_t next_chunk(Family day) { return next_chunk_[day]++; }
  net::Result<void> recover_head(Family day);
  void prepare_day(Family day, const std::vector<Record>& records, uint64_t arrived,
                   KvWriter& writer);
  void add_to_head(Family day, Head head, std::span<const Record> records, uint64_t weight,
                   KvWriter& writer);
  void seal(Family day, const Head& head, std::span<const Record> more, uint64_t total,
            KvWriter& writer);
  void write_full_chunk(Family day, const std::vector<SpanSource>& spans, KvWriter& writer);
  net::Result<uint64_t> keep_some(Family day, std::string_view key, std::string_view value,
                                  uint32_t limit, uint32_t age, KvWriter& writer);
  void write_rest(Family day, KvWriter& writer);
  void remove_full_chunk(Family day, uint32_t chunk, const TraceBatch& spans, KvWriter& writer);

  const uint64_t max_heads_weight_;
  const uint64_t answer_bytes_;
  const KvReader* reader_ = nullptr;
  SpanCatalogue catalogue_;
  ChunkHeads<TraceBatch> heads_;
  mutable SpanCaches caches_;
  std::set<Family> sealed_days_;  // the lake's; commit thread only, as what follows
  std::map<Family, uint32_t> next_chunk_;
  uint32_t last_cleaned_day_ = 0;
  RetentionSweep sweep_;
  ChunkRest<TraceBatch, SpanSource> rest_;  // of the step under way
};

net::Result<void> ColumnarSpanStore::recover(const KvReader& reader) {
  reader_ = &reader;
  for (const Family day : reader.days()) {
    const std::string begin = table_key(Table::span_chunk);
    uint32_t next = 0;
    const auto scanned = reader.scan(
        day, begin, prefix_end(begin),
        [&next](std::string_view key, std::string_view) {
          next = read_be32(key.substr(1)) + 1;
          return false;
        },
        true);
    if (!scanned) return scanned.error();
    next_chunk_[day] = next;
    if (auto recovered = recover_head(day); !recovered) return recovered;
  }
  return catalogue_.recover(reader);
}

net::Result<void> ColumnarSpanStore::recover_head(Family day) {
  Head head;
  const std::string begin = table_key(Table::span_head);
  const auto scanned =
      reader_->scan(day, begin, prefix_end(begin), [&](std::string_view key, std::string_view) {
        if (key.size() == 5) head.chunks.push_back({read_be32(key.substr(1)), 0});
        return true;
      });
  if (!scanned) return scanned;
  for (const SmallChunk& small : head.chunks) {
    const auto stored = reader_->get(day, chunk_number_key(Table::span_chunk, small.number));
    if (!stored) return stored.error();
    const auto batch = decode_span_chunk(*stored);
    if (!batch) return batch.error();
    std::vector<Record> records;
    for (uint32_t row = 0; row < (*batch)->spans.size(); ++row) {
      head.weight += weight_of(**batch, (*batch)->spans[row]);
      records.push_back({&*batch, row});
    }
    head.rows += records.size();
    for (auto& part : parts_of<TraceBatch>(records)) head.parts.push_back(std::move(part));
  }
  if (!head.empty()) heads_.restore(day, std::move(head));
  return {};
}

void ColumnarSpanStore::prepare(std::span<const AcceptedBatch> group, KvWriter& writer) {
  heads_.settle();
  catalogue_.begin_group();
  const auto sent = group_by_day(
      group, &AcceptedBatch::traces, [](const TraceBatch& batch) { return batch.spans.size(); },
      [&](const TraceBatch& batch, uint32_t row, uint64_t arrived) {
        const SpanView& span = batch.spans[row];
        const Family day = open_family_of_record(span.start_unix_nanos, arrived, sealed_days_);
        catalogue_.add(batch.resources[span.resource].service_name, span.name, span.kind, day.day,
                       writer);
        return day;
      });
  for (const auto& [day, records] : sent.days) {
    prepare_day(day, records, sent.arrived_unix_nanos, writer);
    sweep_.note_written(day, sent.arrived_unix_nanos, writer);
  }
  heads_.seal_if_heavier(max_heads_weight_, [&](Family day, const Head& head) {
    seal(day, head, {}, head.weight, writer);
  });
}

void ColumnarSpanStore::prepare_day(Family day, const std::vector<Record>& records,
                                    uint64_t arrived, KvWriter& writer) {
  Head head = heads_.of(day);
  uint64_t weight = 0;
  for (const Record& record : records)
    weight += weight_of(record.batch(), record.batch().spans[record.row]);
  if (head.rows + records.size() >= kRecordsPerChunk || head.weight + weight >= kChunkWeight) {
    seal(day, head, records, head.weight + weight, writer);
    heads_.stage(day, {});
    return;
  }
  head.last_arrival_unix_nanos = arrived;
  add_to_head(day, std::move(head), records, weight, writer);
}

void ColumnarSpanStore::add_to_head(Family day, Head head, std::span<const Record> records,
                                    uint64_t weight, KvWriter& writer) {
  std::vector<SpanSource> spans;
  for (const Record& record : records)
    spans.push_back({record.owner->get(), &record.batch().spans[record.row]});
  const uint32_t number = next_chunk(day);
  const std::string value = encode_span_chunk(spans);
  writer.put(day, chunk_number_key(Table::span_chunk, number), value);
  writer.put(day, chunk_number_key(Table::span_head, number), "");
  head.chunks.push_back({number, 0});
  head.rows += records.size();
  head.weight += weight;
  auto parts = parts_of<TraceBatch>(records);
  if (pins_too_much<TraceBatch>(records, weight)) {
    if (const auto decoded = decode_span_chunk(value)) {
      std::vector<Record> compact;
      for (uint32_t row = 0; row < (*decoded)->spans.size(); ++row)
        compact.push_back({&*decoded, row});
      parts = parts_of<TraceBatch>(compact);
    }
  }
  for (auto& part : parts) head.parts.push_back(std::move(part));
  heads_.stage(day, std::move(head));
}

/// Writes the head's spans and `more` as full chunks, a trace in one chunk wherever it can.
/// `total`: their weight.
void ColumnarSpanStore::seal(Family day, const Head& head, std::span<const Record> more,
                             uint64_t total, KvWriter& writer) {
  std::vector<SpanSource> spans;
  spans.reserve(head.rows + more.size());
  for (const auto& part : head.parts) {
    for (const uint32_t row : part->rows)
      spans.push_back({part->batch.get(), &part->batch->spans[row]});
  }
  for (const Record& record : more)
    spans.push_back({record.owner->get(), &record.batch().spans[record.row]});
  sort_by_trace(spans);
  // Of equal size: a small rest would cost as much index as a full chunk.
  const size_t chunks =
      std::max<size_t>(1, (spans.size() + kRecordsPerChunk / 2) / kRecordsPerChunk);
  const size_t per_chunk = (spans.size() + chunks - 1) / chunks;
  std::vector<SpanSource> part;
  uint64_t weight = 0;
  for (const SpanSource& source : spans) {
    if (part.size() >= per_chunk || weight >= kChunkWeight) {
      write_full_chunk(day, part, writer);
      part.clear();
      weight = 0;
    }
    part.push_back(source);
    if (total >= kChunkWeight) weight += weight_of(*source.batch, *source.span);
  }
  if (!part.empty()) write_full_chunk(day, part, writer);
  for (const SmallChunk& small : head.chunks) {
    writer.remove(day, chunk_number_key(Table::span_chunk, small.number));
    writer.remove(day, chunk_number_key(Table::span_head, small.number));
  }
}

void ColumnarSpanStore::write_full_chunk(Family day, const std::vector<SpanSource>& spans,
                                         KvWriter& writer) {
  const uint32_t chunk = next_chunk(day);
  const FullSpanChunk parts = encode_full_span_chunk(spans);
  writer.put(day, chunk_number_key(Table::span_chunk, chunk), parts.fields);
  writer.put(day, chunk_number_key(Table::span_ids, chunk), parts.ids);
  std::vector<uint64_t> traces;
  const TraceId* last = nullptr;
  for (const SpanSource& source : spans) {
    if (last != nullptr && same_id(*last, source.span->trace_id)) continue;
    last = &source.span->trace_id;
    traces.push_back(trace_number(*last));
  }
  // The memory table finds the place of a key sooner from the one of its neighbour.
  std::sort(traces.begin(), traces.end());
  for (const uint64_t trace : traces) writer.put(day, trace_index_key(trace, chunk), "");
  for (const auto& [service, summary] : parts.summaries)
    writer.put(day, trace_summary_key(service, summary.newest_start, chunk), summary.value);
  writer.put(day, chunk_number_key(Table::span_filter, chunk), parts.filter);
}

void ColumnarSpanStore::maintain(uint64_t now_unix_nanos, KvWriter& writer) {
  heads_.seal_quiet(now_unix_nanos, sealed_days_, [&](Family day, const Head& head) {
    seal(day, head, {}, head.weight, writer);
  });
  const SweptStore swept{
      [this](Family day) { return heads_.of(day).empty() && !sealed_days_.contains(day); },
      [this](Family day) { return next_chunk_[day]; },
      [this](Family day, std::string_view key, std::string_view value, uint32_t limit, uint32_t age,
             KvWriter& out) { return keep_some(day, key, value, limit, age, out); },
      [this](Family day, KvWriter& out) { write_rest(day, out); }};
  sweep_.step(*reader_, now_unix_nanos, swept, writer);
  const uint32_t today = Family::of_unix_nanos(now_unix_nanos).day;
  if (today == last_cleaned_day_) return;
  last_cleaned_day_ = today;
  if (today > kCatalogueDays) catalogue_.forget_before(today - kCatalogueDays, writer);
}

/// What is left goes under a new number: opened chunks are known by theirs.
net::Result<uint64_t> ColumnarSpanStore::keep_some(Family day, std::string_view key,
                                                   std::string_view value, uint32_t limit,
                                                   uint32_t age, KvWriter& writer) {
  const uint32_t chunk = key.size() == 5 ? read_be32(key.substr(1)) : limit;
  if (chunk >= limit) return 0;
  const auto batch = decode_span_chunk(
      value, [&] { return reader_->get(day, chunk_number_key(Table::span_ids, chunk)); });
  if (!batch) return batch.error();
  const auto& all = (*batch)->spans;
  std::vector<SpanSource> kept;
  uint64_t weight = 0;
  for (const SpanView& span : all) {
    if (!sweep_.rules().keeps((*batch)->resources[span.resource].service_name, age)) continue;
    kept.push_back({batch->get(), &span});
    weight += weight_of(**batch, span);
  }
  if (kept.size() == all.size()) return 0;
  const uint64_t gone = all.size() - kept.size();
  remove_full_chunk(day, chunk, **batch, writer);
  if (!rest_.has_room(kept.size(), weight)) write_rest(day, writer);
  rest_.add(*batch, kept, weight);
  return gone;
}

void ColumnarSpanStore::write_rest(Family day, KvWriter& writer) {
  if (rest_.records().empty()) return rest_.clear();
  sort_by_trace(rest_.records());
  write_full_chunk(day, rest_.records(), writer);
  rest_.clear();
}

/// With its index.
void ColumnarSpanStore::remove_full_chunk(Family day, uint32_t chunk, const TraceBatch& batch,
                                          KvWriter& writer) {
  std::set<std::string, std::less<>> services;
  const TraceId* last = nullptr;
  for (const SpanView& span : batch.spans) {
    const std::string_view service = batch.resources[span.resource].service_name;
    if (!services.contains(service)) services.emplace(service.substr(0, service.find('\0')));
    if (last != nullptr && *last == span.trace_id) continue;
    last = &span.trace_id;
    writer.remove(day, trace_index_key(trace_number(*last), chunk));
  }
  // Looked up, for what the time in these keys is has changed between versions.
  for (const std::string& service : services) {
    const std::string begin = trace_summary_prefix(service);
    static_cast<void>(reader_->scan(day, begin, prefix_end(begin),
                                    [&](std::string_view key, std::string_view /*value*/) {
                                      SummaryKeyParts parts;
                                      if (parse_summary_key(key, parts) && parts.chunk == chunk)
                                        writer.remove(day, key);
                                      return true;
                                    }));
  }
  for (const Table table : {Table::span_chunk, Table::span_ids, Table::span_filter})
    writer.remove(day, chunk_number_key(table, chunk));
}

}  // namespace

std::unique_ptr<SpanStore> make_span_store(uint64_t max_heads_weight, uint64_t cache_bytes,
                                           SignalRetention retention, uint64_t answer_bytes) {
  return std::make_unique<ColumnarSpanStore>(max_heads_weight, cache_bytes, std::move(retention),
                                             answer_bytes);
}

}  // namespace hms::collector
