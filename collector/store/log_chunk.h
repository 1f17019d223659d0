// log_chunk.h: one columnar chunk of log lines, newest first (docs/storage-format.md, "Log chunk").
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/chunk_attributes.h"
#include "collector/store/log_store.h"
#include "telemetry/model.h"

namespace hms::collector {

struct LogSource {
  const telemetry::LogBatch* batch = nullptr;
  const telemetry::LogView* log = nullptr;
};

/// The stored value of a chunk; sorts `logs` by time, newest first.
[[nodiscard]] std::string encode_log_chunk(std::vector<LogSource>& logs);

class LogChunk {
 public:
  struct Row {
    uint64_t time = 0;
    uint8_t severity_number = 0;
    std::string_view service, level, severity, message, trace_text;
    telemetry::TraceId trace_id;
    telemetry::SpanId span_id;
  };
  /// Errors: corrupt, unsupported.
  [[nodiscard]] static net::Result<std::unique_ptr<LogChunk>> decode(std::string_view stored);
  [[nodiscard]] size_t size() const noexcept { return rows_.size(); }
  [[nodiscard]] const Row& row(size_t index) const noexcept { return rows_[index]; }
  [[nodiscard]] std::vector<StoredAttribute> attributes(size_t index) const {
    return attributes_->record(index);
  }
  [[nodiscard]] StoredLog log(size_t index) const;

 private:
  LogChunk() = default;
  void read(ColumnReader& in);
  std::string columns_;
  std::vector<Row> rows_;
  std::unique_ptr<AttributeColumnsReader> attributes_;
};

}  // namespace hms::collector
