// span_reader.h: answers one question about spans, as of one moment: the full chunks on disk and
// the heads of the days.
//
// Thread: one question's. Limits: SpanRoom; 1,500 traces. A search goes on until it has its traces,
// has seen all summaries of its time, its answer is full, or it is cancelled, which is an error: it
// never ends early without saying so.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "collector/store/chunk_cache.h"
#include "collector/store/chunk_head.h"
#include "collector/store/span_chunk_reader.h"
#include "collector/store/span_room.h"
#include "collector/store/span_store.h"

namespace hms::collector {

using SpanHeads = std::map<Family, DayHead<telemetry::TraceBatch>>;
/// What was looked at lately. A trace that is looked at again costs its look-up in the index alone:
/// chunks are as large as eight thousand spans, and few of them stay opened.
struct SpanCaches {
  using TraceKey = std::tuple<Family, uint32_t, telemetry::TraceId>;
  static constexpr uint64_t kTracesBytes = 4ULL * 1024 * 1024;

  explicit SpanCaches(uint64_t chunk_bytes) : chunks(chunk_bytes) {}
  ChunkCache<SpanChunk> chunks;
  ChunkCache<const std::vector<StoredSpan>, TraceKey> traces{kTracesBytes};  // parts, by chunk
};

class SpanReader {
 public:
  /// `heads` were looked at before the snapshot of `reader` was taken: one whose chunks are merged
  /// in the snapshot is not read twice.
  SpanReader(std::shared_ptr<const KvReader> reader, SpanHeads heads, SpanCaches& caches);

  /// Without spans if `room` was full before.
  [[nodiscard]] net::Result<Trace> trace(const telemetry::TraceId& id, SpanRoom& room) const;
  [[nodiscard]] net::Result<std::vector<Trace>> search(
      const TraceQuery& query, SpanRoom& room, const std::function<bool()>& cancelled) const;

 private:
  using Chunk = std::shared_ptr<SpanChunk>;
  using UseChunk = std::function<net::Result<void>(SpanChunk&, const SpanChunk::ReadIds&)>;
  /// Calls `use` with the opened chunk and the way to its ids.
  [[nodiscard]] net::Result<void> with_chunk(Family day, uint32_t number,
                                             const UseChunk& use) const;
  [[nodiscard]] net::Result<Chunk> open(const ChunkKey& key) const;
  [[nodiscard]] net::Result<void> read_chunk(Family day, uint32_t number, SpanRoom& room,
                                             Trace& trace) const;
  [[nodiscard]] net::Result<void> read_day(Family day, SpanRoom& room, Trace& trace) const;
  friend class SpanSearch;

  std::shared_ptr<const KvReader> reader_;
  SpanHeads heads_;
  SpanCaches& caches_;
};

}  // namespace hms::collector
