#include "collector/store/log_chunk.h"

#include <algorithm>
#include <cstring>

namespace hms::collector {
namespace {

constexpr uint8_t kVersion = 1;

template <class Id>
std::string_view bytes_of(const Id& id) {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

template <class Id>
Id read_id(ColumnReader& in) {
  Id id;
  const std::string_view bytes = in.raw(id.bytes.size());
  if (!bytes.empty()) std::memcpy(id.bytes.data(), bytes.data(), bytes.size());
  return id;
}

}  // namespace

std::string encode_log_chunk(std::vector<LogSource>& logs) {
  std::stable_sort(logs.begin(), logs.end(), [](const LogSource& a, const LogSource& b) {
    return a.log->time_unix_nanos > b.log->time_unix_nanos;
  });
  DictionaryWriter dictionary;
  AttributeColumnsWriter attributes(dictionary);
  ColumnWriter times, texts, messages, traces;
  uint64_t last = 0;
  for (const LogSource& source : logs) {
    const telemetry::LogView& log = *source.log;
    times.zigzag(static_cast<int64_t>(log.time_unix_nanos - last));
    last = log.time_unix_nanos;
    texts.u8(log.severity_number);
    texts.varint(dictionary.add(source.batch->resources[log.resource].service_name));
    texts.varint(dictionary.add(log.level));
    texts.varint(dictionary.add(log.severity));
    texts.varint(dictionary.add(log.trace_text));
    messages.text(log.message);
    // One byte for the many lines that belong to no trace.
    traces.u8(
        static_cast<uint8_t>((log.trace_id.is_zero() ? 0 : 1) | (log.span_id.is_zero() ? 0 : 2)));
    if (!log.trace_id.is_zero()) traces.raw(bytes_of(log.trace_id));
    if (!log.span_id.is_zero()) traces.raw(bytes_of(log.span_id));
    attributes.add(std::span(source.batch->attributes)
                       .subspan(log.attributes.begin, log.attributes.end - log.attributes.begin));
  }
  ColumnWriter body;
  body.varint(logs.size());
  for (const ColumnWriter* column : {&times, &texts, &messages, &traces}) body.raw(column->bytes());
  attributes.write(body);
  ColumnWriter columns;
  dictionary.write(columns);
  columns.raw(body.bytes());
  return seal_chunk(kVersion, columns.bytes());
}

net::Result<std::unique_ptr<LogChunk>> LogChunk::decode(std::string_view stored) {
  auto columns = open_chunk(kVersion, stored);
  if (!columns) return std::move(columns).error();
  std::unique_ptr<LogChunk> chunk(new LogChunk);
  chunk->columns_ = std::move(columns).value();
  ColumnReader in(chunk->columns_);
  chunk->read(in);
  if (in.failed())
    return net::Error{net::Code::corrupt, net::Side::self, false,
                      "log chunk: columns do not fit together"};
  return chunk;
}

void LogChunk::read(ColumnReader& in) {
  const DictionaryReader dictionary(in);
  rows_.resize(in.count(8));  // a row takes at least 8 bytes over all columns
  uint64_t last = 0;
  for (Row& row : rows_) row.time = last = last + static_cast<uint64_t>(in.zigzag());
  for (Row& row : rows_) {
    row.severity_number = in.u8();
    row.service = dictionary.read(in);
    row.level = dictionary.read(in);
    row.severity = dictionary.read(in);
    row.trace_text = dictionary.read(in);
  }
  for (Row& row : rows_) row.message = in.text();
  for (Row& row : rows_) {
    const uint8_t present = in.u8();
    if (present & 1) row.trace_id = read_id<telemetry::TraceId>(in);
    if (present & 2) row.span_id = read_id<telemetry::SpanId>(in);
  }
  if (in.failed()) return;
  attributes_ = std::make_unique<AttributeColumnsReader>(in, dictionary);
}

StoredLog LogChunk::log(size_t index) const {
  const Row& row = rows_[index];
  StoredLog log;
  log.time_unix_nanos = row.time;
  log.severity_number = row.severity_number;
  log.service = row.service;
  log.level = row.level;
  log.severity = row.severity;
  log.message = row.message;
  log.trace_id = row.trace_id;
  log.span_id = row.span_id;
  log.trace_text = row.trace_text;
  log.attributes = attributes(index);
  return log;
}

}  // namespace hms::collector
