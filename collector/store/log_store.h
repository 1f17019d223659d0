// log_store.h: log lines in chunks by time, found by service, level, severity, trace, attribute and
// text: a filter per chunk (chunk_filter.h) rules out most of those that do not have a rare word.
// Small groups wait in the head of their day (chunk_head.h) until they fill a chunk.
// Thread: SignalStore calls on the commit thread, queries from any.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "collector/store/chunk_head.h"
#include "collector/store/retention_sweep.h"
#include "collector/store/signal_store.h"
#include "collector/store/stored_attribute.h"

namespace hms::collector {

struct StoredLog {
  uint64_t time_unix_nanos = 0;
  uint8_t severity_number = 0;
  std::string service, level, severity, message;
  telemetry::TraceId trace_id;
  telemetry::SpanId span_id;
  std::string trace_text;  // as sent, when it is not the id itself
  std::vector<StoredAttribute> attributes;
  std::vector<StoredAttribute> resource_attributes;
};

struct LogQuery {
  uint64_t start_unix_nanos = 0, end_unix_nanos = 0;  // (start, end]; end 0: now
  std::string service, level, severity;               // empty: any; the level as level_key has it
  telemetry::TraceId trace_id;                        // zero: any
  std::string text;  // case-insensitive substring of the message or of a text attribute
  std::vector<std::pair<std::string, std::string>> attributes;  // all must match, as texts
  uint32_t limit = 100;                                         // at most 5,000
  std::string cursor;                                           // from an earlier page
};
struct LogPage {
  std::vector<StoredLog> logs;        // newest first
  std::string cursor;                 // empty: no more
  std::vector<std::string> warnings;  // what may be missing (a part of the lake that is away)
};

class LogStore : public SignalStore {
 public:
  /// Errors: bad_message (cursor), canceled.
  [[nodiscard]] virtual net::Result<LogPage> search(
      const LogQuery& query, const std::function<bool()>& cancelled) const = 0;
  /// What retention took out of days. Any thread.
  [[nodiscard]] virtual SweepCounters sweep_counters() const { return {}; }
};
/// `max_heads_weight`: bytes of texts that wait in memory for a full chunk, all days together;
/// `cache_bytes`: of opened chunks; `retention`: what is taken out of days that are kept longer.
[[nodiscard]] std::unique_ptr<LogStore> make_log_store(uint64_t max_heads_weight = kHeadsWeight,
                                                       uint64_t cache_bytes = kChunkCacheBytes,
                                                       SignalRetention retention = {});

}  // namespace hms::collector
