// log_search.h: answers one question about log lines, newest first, as of one moment: the full
// chunks on disk and the heads of the days. A line's place in that order does not change when
// chunks are merged, so a cursor stays good. Thread: one question's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "collector/store/chunk_cache.h"
#include "collector/store/chunk_head.h"
#include "collector/store/log_store.h"

namespace hms::collector {

using LogHeads = std::map<Family, DayHead<telemetry::LogBatch>>;
using LogChunkCache = ChunkCache<const telemetry::LogBatch>;

/// `heads` were looked at before the snapshot of `reader` was taken. Errors: as LogStore::search.
[[nodiscard]] net::Result<LogPage> search_logs(const KvReader& reader, LogHeads heads,
                                               LogChunkCache& cache, const LogQuery& query,
                                               const std::function<bool()>& cancelled);

}  // namespace hms::collector
