#include "collector/store/span_reader.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <tuple>

#include "collector/store/span_index.h"
#include "collector/store/span_search.h"

namespace hms::collector {

using telemetry::SpanView;
using telemetry::TraceId;

namespace {

constexpr size_t kMaxKeptSpans = 2'000;  // of a trace in one chunk

/// About what they take.
uint64_t bytes_of(const std::vector<StoredSpan>& spans) {
  uint64_t bytes = 256;
  const auto add = [&bytes](const std::vector<StoredAttribute>& attributes) {
    for (const StoredAttribute& a : attributes) bytes += sizeof a + a.key.size() + a.text.size();
  };
  for (const StoredSpan& span : spans) {
    bytes += sizeof span + span.name.size() + span.status_message.size() +
             span.links.size() * sizeof span.links.front();
    add(span.attributes);
    add(span.resource_attributes);
    for (const StoredEvent& event : span.events) {
      bytes += sizeof event + event.name.size();
      add(event.attributes);
    }
  }
  return bytes;
}

/// Sorts by time, drops what came twice (a sender without batch identities that tried again).
void finish_trace(Trace& trace) {
  std::set<std::tuple<telemetry::SpanId, telemetry::SpanKind, std::string>> seen;
  std::erase_if(trace.spans, [&seen](const StoredSpan& s) {
    return !seen.emplace(s.span_id, s.kind, s.service).second;
  });
  std::stable_sort(trace.spans.begin(), trace.spans.end(),
                   [](const StoredSpan& a, const StoredSpan& b) {
                     return a.start_unix_nanos < b.start_unix_nanos;
                   });
  const auto named = std::find_if(trace.spans.begin(), trace.spans.end(),
                                  [](const StoredSpan& s) { return !s.trace_text.empty(); });
  if (named != trace.spans.end()) trace.x_trace = named->trace_text;
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

net::Result<void> SpanReader::read_chunk(Family day, uint32_t number, const TraceId& id,
                                         size_t room, std::vector<StoredSpan>& out) const {
  const SpanCaches::TraceKey key{day, number, id};
  if (const auto known = caches_.traces.find(key); known && known->size() <= room) {
    out.insert(out.end(), known->begin(), known->end());
    return {};
  }
  std::vector<StoredSpan> found;
  const auto read = with_chunk(day, number, [&](SpanChunk& chunk, const auto& ids) {
    return chunk.trace(id, ids, room, found);
  });
  if (!read) return read;
  if (found.size() < room && found.size() <= kMaxKeptSpans) {
    const auto kept = std::make_shared<const std::vector<StoredSpan>>(found);
    caches_.traces.put(key, kept, bytes_of(*kept));
  }
  std::move(found.begin(), found.end(), std::back_inserter(out));
  return {};
}

net::Result<void> SpanReader::read_day(Family day, const TraceId& id, Trace& trace) const {
  // One more than there is room for, to know whether the trace was cut.
  const auto room = [&] { return SpanStore::kMaxSpansPerTrace + 1 - trace.spans.size(); };
  std::vector<uint32_t> chunks;
  const std::string prefix = trace_index_prefix(id);
  const auto scanned =
      reader_->scan(day, prefix, prefix_end(prefix), [&](std::string_view key, std::string_view) {
        if (key.size() == prefix.size() + 4) chunks.push_back(read_be32(key.substr(prefix.size())));
        return true;
      });
  if (!scanned) return scanned;
  for (const uint32_t number : chunks) {
    const auto read = read_chunk(day, number, id, room(), trace.spans);
    if (!read) return read;
    if (room() == 0) break;
  }
  if (const auto head = heads_.find(day); head != heads_.end()) {
    for (const auto& part : head->second.parts) {
      for (const uint32_t row : part->rows) {
        const SpanView& span = part->batch->spans[row];
        if (span.trace_id == id && room() > 0)
          trace.spans.push_back(stored_span(*part->batch, span));
      }
    }
  }
  if (room() > 0) return {};
  trace.cut = true;
  trace.spans.pop_back();
  return {};
}

net::Result<Trace> SpanReader::trace(const TraceId& id) const {
  Trace trace;
  trace.id = id;
  auto days = reader_->days();
  for (auto day = days.rbegin(); day != days.rend() && !trace.cut; ++day) {
    if (const auto read = read_day(*day, id, trace); !read) return read.error();
  }
  if (trace.spans.empty()) {
    return net::Error{net::Code::not_found, net::Side::self, false,
                      "no span of trace " + telemetry::to_hex(id) + " is stored"};
  }
  finish_trace(trace);
  return trace;
}

net::Result<std::vector<Trace>> SpanReader::search(const TraceQuery& query,
                                                   const std::function<bool()>& cancelled) const {
  return SpanSearch(*this, query, cancelled).run();
}

}  // namespace hms::collector
