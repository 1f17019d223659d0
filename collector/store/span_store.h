// span_store.h: spans in columnar chunks sorted by trace (never a key per span), an index from
// trace to chunks, a narrow one from service and time to what it did in a chunk's traces, and a
// filter of attributes per chunk. Small groups wait in the head of their day (chunk_head.h) until
// they fill a chunk. Thread: SignalStore calls on the commit thread, queries from any.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "collector/store/chunk_head.h"
#include "collector/store/retention_sweep.h"
#include "collector/store/signal_store.h"
#include "collector/store/stored_attribute.h"

namespace hms::collector {

struct StoredEvent {
  uint64_t time_unix_nanos = 0;
  std::string name;
  std::vector<StoredAttribute> attributes;
};

struct StoredSpan {
  telemetry::TraceId trace_id;
  telemetry::SpanId span_id, parent_span_id;
  telemetry::SpanKind kind = telemetry::SpanKind::unspecified;
  telemetry::SpanStatus status = telemetry::SpanStatus::unset;
  uint64_t start_unix_nanos = 0, end_unix_nanos = 0;
  std::string service, instance, name, status_message, scope;
  std::string trace_text;  // the `x-trace` as sent, when it is not the id itself
  std::vector<StoredAttribute> attributes;
  std::vector<StoredAttribute> resource_attributes;
  std::vector<StoredEvent> events;
  std::vector<std::pair<telemetry::TraceId, telemetry::SpanId>> links;
};

struct Trace {
  telemetry::TraceId id;
  std::string x_trace;                // the text, when it is not the id itself
  std::vector<StoredSpan> spans;      // by start time; each (span id, kind, service) once
  bool cut = false;                   // more were stored than an answer has room for (SpanRoom)
  std::vector<std::string> warnings;  // what is missing, or may be (a part of the lake is away)
};

struct TraceQuery {
  std::string service, operation;  // empty: any
  uint64_t start_unix_nanos = 0, end_unix_nanos = 0;
  uint64_t min_duration_nanos = 0, max_duration_nanos = 0;  // 0: no bound
  std::optional<bool> error;
  std::vector<std::pair<std::string, std::string>> tags;  // all must match a span of that service
  uint32_t limit = 20;                                    // newest first; at most 1,500
};

inline constexpr uint64_t kSpanAnswerBytes = 64ULL * 1024 * 1024;  // if not told less

class SpanStore : public SignalStore {
 public:
  static constexpr size_t kMaxSpansPerTrace = 100'000;
  /// What the spans of one answer may take in memory; what does not fit is left out and told.
  [[nodiscard]] virtual uint64_t answer_bytes() const noexcept = 0;
  [[nodiscard]] virtual net::Result<Trace> trace(const telemetry::TraceId& id) const = 0;
  [[nodiscard]] virtual net::Result<std::vector<Trace>> search(
      const TraceQuery& query, const std::function<bool()>& cancelled) const = 0;
  [[nodiscard]] virtual std::vector<std::string> services() const = 0;
  /// (operation, span kind name)
  [[nodiscard]] virtual std::vector<std::pair<std::string, std::string>> operations(
      const std::string& service) const = 0;
  /// What retention took out of days. Any thread.
  [[nodiscard]] virtual SweepCounters sweep_counters() const { return {}; }
};
/// `max_heads_weight`: bytes of texts that wait in memory for a full chunk, all days together;
/// `cache_bytes`: of opened chunks; `retention`: what is taken out of days that are kept longer;
/// `answer_bytes`: as SpanStore::answer_bytes.
[[nodiscard]] std::unique_ptr<SpanStore> make_span_store(uint64_t max_heads_weight = kHeadsWeight,
                                                         uint64_t cache_bytes = kChunkCacheBytes,
                                                         SignalRetention retention = {},
                                                         uint64_t answer_bytes = kSpanAnswerBytes);

}  // namespace hms::collector
