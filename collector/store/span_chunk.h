// span_chunk.h: one columnar chunk of spans sorted by trace (docs/storage-format.md, "Span chunk").
//
// Columns: dictionary; resources (attribute lists, once each); runs of trace ids; span ids; parents
// (an index into the chunk where the parent is in it, else its 8 bytes); kind and status; start
// times as differences; durations; names; attributes by column; events; links.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "collector/store/chunk_attributes.h"
#include "collector/store/span_store.h"
#include "telemetry/model.h"

namespace hms::collector {

/// A span and the batch that its views point into.
struct SpanSource {
  const telemetry::TraceBatch* batch = nullptr;
  const telemetry::SpanView* span = nullptr;
};

/// The stored value of a chunk; sorts `spans` by trace, then start.
[[nodiscard]] std::string encode_span_chunk(std::vector<SpanSource>& spans);

class SpanChunk {
 public:
  /// Errors: corrupt, unsupported.
  [[nodiscard]] static net::Result<std::unique_ptr<SpanChunk>> decode(std::string_view stored);
  [[nodiscard]] size_t size() const noexcept { return rows_.size(); }
  [[nodiscard]] const telemetry::TraceId& trace_id(size_t row) const noexcept {
    return rows_[row].trace_id;
  }
  /// Rows [first, last) of a trace; equal when it is not here.
  [[nodiscard]] std::pair<size_t, size_t> rows_of(const telemetry::TraceId& id) const noexcept;
  [[nodiscard]] StoredSpan span(size_t row) const;

 private:
  struct Row {
    telemetry::TraceId trace_id;
    telemetry::SpanId span_id, parent_span_id;
    telemetry::SpanKind kind;
    telemetry::SpanStatus status;
    uint64_t start, end;
    uint32_t resource;
    std::string_view name, status_message, scope, trace_text;
    uint32_t events_begin, events_end, links_begin, links_end;
  };
  struct Resource {
    std::string_view service, instance;
  };
  struct Event {
    uint64_t time;
    std::string_view name;
  };
  SpanChunk() = default;
  void read(ColumnReader& in);
  void read_resources(ColumnReader& in, const DictionaryReader& dictionary);
  void read_rows(ColumnReader& in, const DictionaryReader& dictionary);
  void read_events_and_links(ColumnReader& in, const DictionaryReader& dictionary);

  std::string columns_;  // what all views point into
  std::vector<Row> rows_;
  std::vector<Resource> resources_;
  std::vector<Event> events_;
  std::vector<std::pair<telemetry::TraceId, telemetry::SpanId>> links_;
  std::unique_ptr<AttributeColumnsReader> resource_attributes_, span_attributes_, event_attributes_;
};

}  // namespace hms::collector
