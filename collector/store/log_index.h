// log_index.h: the keys of log chunks (all in day families). They carry the newest time of their
// lines, so that a scan from the end meets every line that may still be newer than what was found:
//
//   log_chunk  0x20 | newest time u64 | chunk u32                              -> chunk
//   log_index  0x21 | last 8 bytes of the trace id | newest time u64 | chunk u32 -> ""
//   log_filter 0x22 | newest time u64 | chunk u32                              -> chunk_filter.h
//   log_head   0x23 | chunk u32                                -> newest time u64: a small chunk
//   log_head   0x23                                            -> next chunk u32 | head's epoch u32
// Small chunks have neither index nor filter: what they hold is in memory, too.
#pragma once

#include <cstdint>
#include <string>

#include "collector/store/keys.h"
#include "telemetry/ids.h"

namespace hms::collector {

inline constexpr size_t kLogChunkKeyBytes = 1 + 8 + 4;

/// Of log_chunk and log_filter.
[[nodiscard]] inline std::string log_key(Table table, uint64_t newest, uint32_t chunk) {
  std::string key = table_key(table);
  append_be64(key, newest);
  append_be32(key, chunk);
  return key;
}
[[nodiscard]] inline std::string log_index_prefix(const telemetry::TraceId& id) {
  std::string key = table_key(Table::log_index);
  key.append(reinterpret_cast<const char*>(id.bytes.data()) + 8, 8);
  return key;
}
[[nodiscard]] inline std::string log_head_key(uint32_t chunk) {
  std::string key = table_key(Table::log_head);
  append_be32(key, chunk);
  return key;
}

}  // namespace hms::collector
