// span_index.h: the keys beside the span chunks (all in day families).
//
//   span_chunk    0x10 | chunk u32                                      -> chunk
//   trace_index   0x11 | last 8 bytes of the trace id | chunk u32        -> ""
//   trace_summary 0x12 | service | 0x00 | start u64 | trace id | chunk   -> operations of that
//   service in that trace and group
//
// The last 8 bytes of a version 7 UUID are its random half. Service names with a NUL are refused at
// ingest, so 0x00 ends one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/keys.h"
#include "collector/store/span_store.h"

namespace hms::collector {

[[nodiscard]] std::string span_chunk_key(uint32_t chunk);
[[nodiscard]] std::string trace_index_prefix(const telemetry::TraceId& id);
[[nodiscard]] std::string trace_index_key(const telemetry::TraceId& id, uint32_t chunk);
/// Begin of the keys of a service from a time on; `service` empty: of all services.
[[nodiscard]] std::string trace_summary_prefix(std::string_view service, uint64_t start_unix_nanos);
[[nodiscard]] std::string trace_summary_key(std::string_view service, uint64_t start_unix_nanos,
                                            const telemetry::TraceId& id, uint32_t chunk);
/// The key right after every key that begins with `prefix`.
[[nodiscard]] std::string prefix_end(std::string prefix);

/// What one service did in one trace, as one group brought it: enough to fill or refuse a line of a
/// result list.
struct TraceSummary {
  struct Operation {
    std::string_view name;
    uint64_t longest_nanos = 0;
    bool error = false;
  };
  std::vector<Operation> operations;
};
[[nodiscard]] std::string encode_summary(const TraceSummary& summary);
/// Views into `value`.
[[nodiscard]] TraceSummary decode_summary(std::string_view value);

struct SummaryKeyParts {
  std::string_view service;
  uint64_t start_unix_nanos = 0;
  telemetry::TraceId trace_id;
};
[[nodiscard]] bool parse_summary_key(std::string_view key, SummaryKeyParts& parts);

}  // namespace hms::collector
