#include "collector/store/span_index.h"

#include "collector/store/chunk_ids.h"

namespace hms::collector {

std::string chunk_number_key(Table table, uint32_t chunk) {
  std::string key = table_key(table);
  append_be32(key, chunk);
  return key;
}

uint64_t trace_number(const telemetry::TraceId& id) noexcept {
  return ordered_bytes(id.bytes.data() + 8);
}

std::string trace_index_prefix(const telemetry::TraceId& id) {
  std::string key = table_key(Table::trace_index);
  append_be64(key, trace_number(id));
  return key;
}

std::string trace_index_key(uint64_t trace_number, uint32_t chunk) {
  std::string key = table_key(Table::trace_index);
  append_be64(key, trace_number);
  append_be32(key, chunk);
  return key;
}

std::string trace_summary_prefix(std::string_view service) {
  std::string key = table_key(Table::trace_summary);
  if (service.empty()) return key;
  key.append(service);
  key.push_back('\0');
  return key;
}

std::string trace_summary_key(std::string_view service, uint64_t newest_start, uint32_t chunk) {
  std::string key = table_key(Table::trace_summary);
  key.append(service);
  key.push_back('\0');
  append_be64(key, newest_start);
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

bool parse_summary_key(std::string_view key, SummaryKeyParts& parts) {
  constexpr size_t kTail = 8 + 4;
  const size_t end = key.find('\0', 1);
  if (end == std::string_view::npos || key.size() != end + 1 + kTail) return false;
  parts.service = key.substr(1, end - 1);
  parts.newest_start = read_be64(key.substr(end + 1));
  parts.chunk = read_be32(key.substr(end + 9));
  return true;
}

}  // namespace hms::collector
