// span_index.h: the keys beside the span chunks (all in day families).
//
//   span_chunk    0x10 | chunk u32                                      -> chunk
//   trace_index   0x11 | last 8 bytes of the trace id | chunk u32        -> ""
//   trace_summary 0x12 | service | 0x00 | newest start u64 | chunk u32   -> span_summary.h
//   span_head     0x13 | chunk u32                                      -> "" : a small chunk
//   span_filter   0x14 | chunk u32                                      -> chunk_filter.h
//   span_ids      0x15 | chunk u32                        -> ids and times of a full chunk
// Small chunks have neither index, summary nor filter: what they hold is in memory, too.
//
// The last 8 bytes of a version 7 UUID are its random half. Service names with a NUL are refused at
// ingest, so 0x00 ends one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "collector/store/keys.h"
#include "telemetry/ids.h"

namespace hms::collector {

[[nodiscard]] std::string chunk_number_key(Table table, uint32_t chunk);
[[nodiscard]] std::string trace_index_prefix(const telemetry::TraceId& id);
/// What the index has of an id: its last 8 bytes, in the order of the keys.
[[nodiscard]] uint64_t trace_number(const telemetry::TraceId& id) noexcept;
[[nodiscard]] std::string trace_index_key(uint64_t trace_number, uint32_t chunk);
/// Begin of the keys of a service; `service` empty: of all services.
[[nodiscard]] std::string trace_summary_prefix(std::string_view service);
[[nodiscard]] std::string trace_summary_key(std::string_view service, uint64_t newest_start,
                                            uint32_t chunk);
/// The key right after every key that begins with `prefix`.
[[nodiscard]] std::string prefix_end(std::string prefix);

struct SummaryKeyParts {
  std::string_view service;
  uint64_t newest_start = 0;
  uint32_t chunk = 0;
};
[[nodiscard]] bool parse_summary_key(std::string_view key, SummaryKeyParts& parts);

}  // namespace hms::collector
