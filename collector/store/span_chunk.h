// span_chunk.h: one columnar chunk of spans sorted by trace (docs/storage-format.md, "Span chunk").
//
// Columns: dictionary; resources (attribute lists, once each); runs of trace ids; span ids; parents
// (an index into the chunk where the parent is in it, else its 8 bytes); kind and status; start
// times as differences; durations; names; attributes by column; events; links. Opened, a chunk is a
// TraceBatch like one that just came in: spans by trace, then start. Thread: values.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collector/store/span_store.h"
#include "telemetry/model.h"

namespace hms::collector {

/// A span and the batch that its views point into.
struct SpanSource {
  const telemetry::TraceBatch* batch = nullptr;
  const telemetry::SpanView* span = nullptr;
};

/// By trace, then start.
void sort_by_trace(std::vector<SpanSource>& spans);
/// The stored value of a chunk; sorts `spans` by trace, then start.
[[nodiscard]] std::string encode_span_chunk(std::vector<SpanSource>& spans);
/// Errors: corrupt, unsupported.
[[nodiscard]] net::Result<std::shared_ptr<const telemetry::TraceBatch>> decode_span_chunk(
    std::string_view stored);

/// Spans [first, last) of a trace in an opened chunk; equal when it is not there.
[[nodiscard]] std::pair<size_t, size_t> rows_of_trace(const telemetry::TraceBatch& chunk,
                                                      const telemetry::TraceId& id) noexcept;
/// A copy that outlives the batch.
[[nodiscard]] StoredSpan stored_span(const telemetry::TraceBatch& batch,
                                     const telemetry::SpanView& span);

}  // namespace hms::collector
