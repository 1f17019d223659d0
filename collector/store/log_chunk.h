// log_chunk.h: one columnar chunk of log lines, newest first (docs/storage-format.md, "Log chunk").
// Opened, a chunk is a LogBatch like one that just came in: lines by falling time, and lines of one
// time last arrived first. Thread: values.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/log_store.h"
#include "telemetry/model.h"

namespace hms::collector {

struct LogSource {
  const telemetry::LogBatch* batch = nullptr;
  const telemetry::LogView* log = nullptr;
};

/// The stored value of a chunk. `logs` as they arrived; sorted here.
[[nodiscard]] std::string encode_log_chunk(std::vector<LogSource>& logs);
/// Errors: corrupt, unsupported.
[[nodiscard]] net::Result<std::shared_ptr<const telemetry::LogBatch>> decode_log_chunk(
    std::string_view stored);

/// A copy that outlives the batch.
[[nodiscard]] StoredLog stored_log(const telemetry::LogBatch& batch, const telemetry::LogView& log);

}  // namespace hms::collector
