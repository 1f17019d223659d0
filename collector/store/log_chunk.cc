#include "collector/store/log_chunk.h"

#include <algorithm>

#include "collector/store/chunk_attributes.h"
#include "collector/store/chunk_ids.h"
#include "collector/store/chunk_resources.h"

namespace hms::collector {
namespace {

using telemetry::LogBatch;
using telemetry::LogView;

constexpr uint8_t kVersion = 2;  // 1 had no resources
constexpr uint8_t kHasTrace = 1, kHasSpan = 2;

}  // namespace

std::string encode_log_chunk(std::vector<LogSource>& logs) {
  std::reverse(logs.begin(), logs.end());
  std::stable_sort(logs.begin(), logs.end(), [](const LogSource& a, const LogSource& b) {
    return a.log->time_unix_nanos > b.log->time_unix_nanos;
  });
  DictionaryWriter dictionary;
  ResourceColumns resources(dictionary);
  AttributeColumnsWriter attributes(dictionary);
  ColumnWriter times, numbers, levels, senders, messages, present, ids;
  uint64_t last = 0;
  for (const LogSource& source : logs) {
    const LogView& log = *source.log;
    times.zigzag(static_cast<int64_t>(log.time_unix_nanos - last));
    last = log.time_unix_nanos;
    numbers.u8(log.severity_number);
    levels.varint(dictionary.add(log.level));
    levels.varint(dictionary.add(log.severity));
    levels.varint(dictionary.add(log.trace_text));
    senders.varint(resources.add(*source.batch, log.resource));
    messages.text(log.message);
    // One byte for the many lines that belong to no trace.
    present.u8(static_cast<uint8_t>((log.trace_id.is_zero() ? 0 : kHasTrace) |
                                    (log.span_id.is_zero() ? 0 : kHasSpan)));
    if (!log.trace_id.is_zero()) ids.raw(bytes_of(log.trace_id));
    if (!log.span_id.is_zero()) ids.raw(bytes_of(log.span_id));
    attributes.add(attributes_in(*source.batch, log.attributes));
  }
  ColumnWriter body;
  resources.write(body);
  body.varint(logs.size());
  for (const ColumnWriter* column :
       {&times, &numbers, &levels, &senders, &messages, &present, &ids})
    body.raw(column->bytes());
  attributes.write(body);
  // The dictionary is complete only now, but is read first.
  ColumnWriter columns;
  dictionary.write(columns);
  columns.raw(body.bytes());
  return seal_chunk(kVersion, columns.bytes());
}

namespace {

/// Fills a batch from the columns, which the batch owns.
bool read_log_chunk(ColumnReader in, LogBatch& batch) {
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

net::Result<std::shared_ptr<const LogBatch>> decode_log_chunk(std::string_view stored) {
  auto columns = open_chunk(kVersion, stored);
  if (!columns) return std::move(columns).error();
  auto batch = std::make_shared<LogBatch>();
  batch->body = std::make_unique<const std::string>(std::move(columns).value());
  if (!read_log_chunk(ColumnReader(*batch->body), *batch)) return corrupt_chunk("log chunk");
  return std::shared_ptr<const LogBatch>(std::move(batch));
}

StoredLog stored_log(const LogBatch& batch, const LogView& view) {
  const telemetry::ResourceView& resource = batch.resources[view.resource];
  StoredLog log;
  log.time_unix_nanos = view.time_unix_nanos;
  log.severity_number = view.severity_number;
  log.service = resource.service_name;
  log.level = view.level;
  log.severity = view.severity;
  log.message = view.message;
  log.trace_id = view.trace_id;
  log.span_id = view.span_id;
  log.trace_text = view.trace_text;
  log.attributes = stored_attributes(batch, view.attributes);
  log.resource_attributes = stored_attributes(batch, resource.attributes);
  return log;
}

}  // namespace hms::collector
