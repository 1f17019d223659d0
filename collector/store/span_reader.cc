#include "collector/store/span_reader.h"

#include <cstddef>
#include <string>

#include "collector/store/span_index.h"
#include "collector/store/span_search.h"

namespace hms::collector {

using telemetry::SpanView;
using telemetry::TraceId;

namespace {

constexpr std::ptrdiff_t kMaxKeptSpans = 2'000;  // of a trace in one chunk

/// About what they take.
uint64_t bytes_of(const std::vector<StoredSpan>& spans) {
  uint64_t bytes = 256;
  for (const StoredSpan& span : spans) bytes += collector::bytes_of(span);
  return bytes;
}

}  // namespace

SpanReader::SpanReader(std::shared_ptr<const KvReader> reader, SpanHeads heads, SpanCaches& caches)
    : reader_(std::move(reader)), heads_(std::move(heads)), caches_(caches) {
  std::erase_if(heads_, [this](const auto& entry) {
    const auto& [day, head] = entry;
    return !reader_->get(day, chunk_number_key(Table::span_head, head.chunks.front().number)).ok();
  });
}

net::Result<SpanReader::Chunk> SpanReader::open(const ChunkKey& key) const {
  if (auto cached = caches_.chunks.find(key)) return cached;
  auto stored = reader_->get(key.first, chunk_number_key(Table::span_chunk, key.second.second));
  if (!stored) return std::move(stored).error();
  return SpanChunk::open(std::move(stored).value());
}

net::Result<void> SpanReader::with_chunk(Family day, uint32_t number, const UseChunk& use) const {
  const ChunkKey key{day, {0, number}};
  const auto chunk = open(key);
  if (!chunk) return chunk.error();
  auto used =
      use(**chunk, [&] { return reader_->get(day, chunk_number_key(Table::span_ids, number)); });
  caches_.chunks.put(key, *chunk, (*chunk)->bytes());
  return used;
}

net::Result<void> SpanReader::read_chunk(Family day, uint32_t number, SpanRoom& room,
                                         Trace& trace) const {
  const SpanCaches::TraceKey key{day, number, trace.id};
  if (const auto known = caches_.traces.find(key)) {
    for (const StoredSpan& span : *known) {
      if (!room.keep(span, trace.spans)) break;
    }
    return {};
  }
  const auto before = static_cast<std::ptrdiff_t>(trace.spans.size());
  const auto read = with_chunk(day, number, [&](SpanChunk& chunk, const auto& ids) {
    return chunk.trace(trace.id, ids, room, trace.spans);
  });
  if (!read) return read;
  const auto found = trace.spans.begin() + before;
  if (!room.cut() && trace.spans.end() - found <= kMaxKeptSpans) {
    const auto kept = std::make_shared<const std::vector<StoredSpan>>(found, trace.spans.end());
    caches_.traces.put(key, kept, bytes_of(*kept));
  }
  return {};
}

net::Result<void> SpanReader::read_day(Family day, SpanRoom& room, Trace& trace) const {
  std::vector<uint32_t> chunks;
  const std::string prefix = trace_index_prefix(trace.id);
  const auto scanned =
      reader_->scan(day, prefix, prefix_end(prefix), [&](std::string_view key, std::string_view) {
        if (key.size() == prefix.size() + 4) chunks.push_back(read_be32(key.substr(prefix.size())));
        return true;
      });
  if (!scanned) return scanned;
  for (const uint32_t number : chunks) {
    const auto read = read_chunk(day, number, room, trace);
    if (!read || room.cut()) return read;
  }
  const auto head = heads_.find(day);
  if (head == heads_.end()) return {};
  for (const auto& part : head->second.parts) {
    for (const uint32_t row : part->rows) {
      const SpanView& span = part->batch->spans[row];
      if (span.trace_id != trace.id) continue;
      if (!room.keep(stored_span(*part->batch, span), trace.spans)) return {};
    }
  }
  return {};
}

net::Result<Trace> SpanReader::trace(const TraceId& id, SpanRoom& room) const {
  Trace trace;
  trace.id = id;
  room.begin(trace);
  auto days = reader_->days();
  for (auto day = days.rbegin(); day != days.rend() && !room.cut(); ++day) {
    if (const auto read = read_day(*day, room, trace); !read) return read.error();
  }
  if (trace.spans.empty() && !room.cut()) {
    return net::Error{net::Code::not_found, net::Side::self, false,
                      "no span of trace " + telemetry::to_hex(id) + " is stored"};
  }
  room.finish(trace);
  return trace;
}

net::Result<std::vector<Trace>> SpanReader::search(const TraceQuery& query, SpanRoom& room,
                                                   const std::function<bool()>& cancelled) const {
  return SpanSearch(*this, query, cancelled).run(room);
}

}  // namespace hms::collector
