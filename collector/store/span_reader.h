// span_reader.h: answers one question about spans, as of one moment: the full chunks on disk and
// the heads of the days.
//
// Thread: one question's. Limits: SpanStore::kMaxSpansPerTrace; 1,500 traces; 200,000 chunk
// summaries a search.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <unordered_set>
#include <utility>
#include <vector>

#include "collector/store/chunk_cache.h"
#include "collector/store/chunk_head.h"
#include "collector/store/span_chunk_reader.h"
#include "collector/store/span_store.h"

namespace hms::collector {

using SpanHeads = std::map<Family, DayHead<telemetry::TraceBatch>>;
using SpanChunkCache = ChunkCache<SpanChunk>;

class SpanReader {
 public:
  /// `heads` were looked at before the snapshot of `reader` was taken: one whose chunks are merged
  /// in the snapshot is not read twice.
  SpanReader(std::shared_ptr<const KvReader> reader, SpanHeads heads, SpanChunkCache& cache);

  [[nodiscard]] net::Result<Trace> trace(const telemetry::TraceId& id) const;
  [[nodiscard]] net::Result<std::vector<Trace>> search(
      const TraceQuery& query, const std::function<bool()>& cancelled) const;

 private:
  using Chunk = std::shared_ptr<SpanChunk>;
  /// Calls `use` with the opened chunk and the way to its ids.
  template <class Use>
  [[nodiscard]] net::Result<void> with_chunk(Family day, uint32_t number, const Use& use) const;
  [[nodiscard]] net::Result<Chunk> open(const SpanChunkCache::Key& key) const;
  [[nodiscard]] net::Result<void> read_day(Family day, const telemetry::TraceId& id,
                                           Trace& trace) const;
  friend class SpanSearch;

  std::shared_ptr<const KvReader> reader_;
  SpanHeads heads_;
  SpanChunkCache& cache_;
};

}  // namespace hms::collector
