// log_chunk.h: one columnar chunk of log lines, newest first (docs/storage-format.md, "Log chunk").
// Opened, a chunk is a LogBatch like one that just came in: lines by falling time, and lines of one
// time last arrived first. Thread: values.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/chunk_block.h"
#include "collector/store/log_store.h"
#include "telemetry/model.h"

namespace hms::collector {

struct LogSource {
  const telemetry::LogBatch* batch = nullptr;
  const telemetry::LogView* log = nullptr;
};

inline constexpr uint8_t kLogChunkVersion = 3;  // 2: log_chunk_v2.cc; 1 had no resources
inline constexpr uint8_t kLogsWhole = 0, kLogsByBlock = 1;

/// From the order in which they arrived to that of a chunk.
void sort_newest_first(std::vector<LogSource>& logs);
/// The stored value of sorted lines: a small chunk, or (`each_block`) a full one.
[[nodiscard]] std::string encode_log_chunk(const std::vector<LogSource>& logs, Packing packing);
/// Errors: corrupt, unsupported.
[[nodiscard]] net::Result<std::shared_ptr<const telemetry::LogBatch>> decode_log_chunk(
    std::string_view stored);

[[nodiscard]] net::Result<std::shared_ptr<const telemetry::LogBatch>> decode_log_chunk_v2(
    std::string_view stored);

/// A copy that outlives the batch.
[[nodiscard]] StoredLog stored_log(const telemetry::LogBatch& batch, const telemetry::LogView& log);

}  // namespace hms::collector
