// span_chunk.h: one columnar chunk of spans sorted by trace, then start (docs/storage-format.md,
// "Span chunk"), written.
//
// Two parts: the fields (names, senders, status, attributes: what questions look at first; about
// two bytes a span) and the ids (trace, span and parent ids, times: about sixteen). A full chunk
// stores them under keys of their own, so that a search that finds nothing in the fields never
// reads the ids; a small one is both parts in one frame. Reading: span_chunk_reader.h. Thread:
// values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/span_store.h"
#include "telemetry/model.h"

namespace hms::collector {

/// A span and the batch that its views point into.
struct SpanSource {
  const telemetry::TraceBatch* batch = nullptr;
  const telemetry::SpanView* span = nullptr;
};

inline constexpr uint8_t kSpanChunkVersion = 2;
inline constexpr uint8_t kPartsApart = 0, kPartsTogether = 1;

/// By trace, then start.
void sort_by_trace(std::vector<SpanSource>& spans);
/// A small chunk; sorts `spans` by trace, then start.
[[nodiscard]] std::string encode_span_chunk(std::vector<SpanSource>& spans);

struct ServiceSummary {
  uint64_t newest_start = 0;  // of the service's spans in the chunk
  std::string value;          // span_summary.h
};
struct FullSpanChunk {
  std::string fields, ids;
  std::string filter;  // of the attributes of spans and resources (chunk_filter.h)
  std::map<std::string, ServiceSummary, std::less<>> summaries;  // by service, cut at a NUL
};
/// A full chunk and what helps to find it; `spans` sorted.
[[nodiscard]] FullSpanChunk encode_full_span_chunk(const std::vector<SpanSource>& spans);

}  // namespace hms::collector
