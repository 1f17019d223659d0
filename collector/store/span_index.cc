#include "collector/store/span_index.h"

#include "collector/store/chunk_columns.h"

namespace hms::collector {
namespace {

void append_id(std::string& key, const telemetry::TraceId& id) {
  key.append(reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size());
}

}  // namespace

std::string span_chunk_key(uint32_t chunk) {
  std::string key = table_key(Table::span_chunk);
  append_be32(key, chunk);
  return key;
}

std::string trace_index_prefix(const telemetry::TraceId& id) {
  std::string key = table_key(Table::trace_index);
  key.append(reinterpret_cast<const char*>(id.bytes.data()) + 8, 8);
  return key;
}

std::string trace_index_key(const telemetry::TraceId& id, uint32_t chunk) {
  std::string key = trace_index_prefix(id);
  append_be32(key, chunk);
  return key;
}

std::string trace_summary_prefix(std::string_view service, uint64_t start_unix_nanos) {
  std::string key = table_key(Table::trace_summary);
  if (service.empty()) return key;
  key.append(service);
  key.push_back('\0');
  append_be64(key, start_unix_nanos);
  return key;
}

std::string trace_summary_key(std::string_view service, uint64_t start_unix_nanos,
                              const telemetry::TraceId& id, uint32_t chunk) {
  std::string key = trace_summary_prefix(service, start_unix_nanos);
  append_id(key, id);
  append_be32(key, chunk);
  return key;
}

std::string prefix_end(std::string prefix) {
  while (!prefix.empty()) {
    const auto last = static_cast<uint8_t>(prefix.back());
    if (last != 0xFF) {
      prefix.back() = static_cast<char>(last + 1);
      return prefix;
    }
    prefix.pop_back();
  }
  return prefix;
}

std::string encode_summary(const TraceSummary& summary) {
  ColumnWriter out;
  out.varint(summary.operations.size());
  for (const TraceSummary::Operation& operation : summary.operations) {
    out.text(operation.name);
    out.varint(operation.longest_nanos);
    out.u8(operation.error ? 1 : 0);
  }
  return out.bytes();
}

TraceSummary decode_summary(std::string_view value) {
  ColumnReader in(value);
  TraceSummary summary;
  for (size_t n = in.count(3); n > 0 && !in.failed(); --n) {
    TraceSummary::Operation operation;
    operation.name = in.text();
    operation.longest_nanos = in.varint();
    operation.error = in.u8() != 0;
    if (!in.failed()) summary.operations.push_back(operation);
  }
  return summary;
}

bool parse_summary_key(std::string_view key, SummaryKeyParts& parts) {
  constexpr size_t kTail = 8 + 16 + 4;
  const size_t end = key.find('\0', 1);
  if (end == std::string_view::npos || key.size() != end + 1 + kTail) return false;
  parts.service = key.substr(1, end - 1);
  parts.start_unix_nanos = read_be64(key.substr(end + 1));
  std::memcpy(parts.trace_id.bytes.data(), key.data() + end + 9, parts.trace_id.bytes.size());
  return true;
}

}  // namespace hms::collector
