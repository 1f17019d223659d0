// log_chunk_v2.cc: chunks of log lines as they were written until 2026-11: one frame, every column
// read line by line from its begin. Only read (docs/storage-format.md, "version 2").
#include "collector/store/chunk_attributes.h"
#include "collector/store/chunk_ids.h"
#include "collector/store/chunk_resources.h"
#include "collector/store/log_chunk.h"

namespace hms::collector {
namespace {

using telemetry::LogBatch;
using telemetry::LogView;

constexpr uint8_t kHasTrace = 1, kHasSpan = 2;

/// Fills a batch from the columns, which the batch owns.
bool read_columns(ColumnReader in, LogBatch& batch) {
  const DictionaryReader dictionary(in);
  read_resources(in, dictionary, batch);
  if (in.failed()) return false;
  auto& logs = batch.logs;
  logs.resize(in.count(8));  // a line takes at least 8 bytes over all columns
  uint64_t last = 0;
  for (LogView& log : logs) log.time_unix_nanos = last = last + static_cast<uint64_t>(in.zigzag());
  for (LogView& log : logs) log.severity_number = in.u8();
  for (LogView& log : logs) {
    log.level = dictionary.read(in);
    log.severity = dictionary.read(in);
    log.trace_text = dictionary.read(in);
  }
  for (LogView& log : logs) {
    const uint64_t resource = in.varint();
    if (resource >= batch.resources.size()) return false;
    log.resource = static_cast<uint32_t>(resource);
  }
  for (LogView& log : logs) log.message = in.text();
  const std::string_view present = in.raw(logs.size());
  if (in.failed()) return false;
  for (size_t i = 0; i < logs.size(); ++i) {
    const auto flags = static_cast<uint8_t>(present[i]);
    if (flags & kHasTrace) logs[i].trace_id = read_id<telemetry::TraceId>(in);
    if (flags & kHasSpan) logs[i].span_id = read_id<telemetry::SpanId>(in);
  }
  if (in.failed()) return false;
  const auto ranges = read_attribute_columns(in, dictionary, batch.attributes);
  if (in.failed() || ranges.size() != logs.size()) return false;
  for (size_t i = 0; i < ranges.size(); ++i) logs[i].attributes = ranges[i];
  return true;
}

}  // namespace

net::Result<std::shared_ptr<const LogBatch>> decode_log_chunk_v2(std::string_view stored) {
  auto columns = open_chunk(2, stored);
  if (!columns) return std::move(columns).error();
  auto batch = std::make_shared<LogBatch>();
  batch->body = std::make_unique<const std::string>(std::move(columns).value());
  if (!read_columns(ColumnReader(*batch->body), *batch)) return corrupt_chunk("log chunk");
  return std::shared_ptr<const LogBatch>(std::move(batch));
}

}  // namespace hms::collector
