// span_chunk_v1.cc: chunks as they were written until 2026-11: one frame, every column read row by
// row from its begin. Only read (docs/storage-format.md, "version 1").
#include "collector/store/chunk_attributes.h"
#include "collector/store/chunk_ids.h"
#include "collector/store/chunk_resources.h"
#include "collector/store/span_chunk_reader.h"

namespace hms::collector {
namespace {

using telemetry::SpanId;
using telemetry::SpanView;
using telemetry::TraceBatch;
using telemetry::TraceId;

/// Fills a batch from the columns, which the batch owns.
class SpanChunkReader {
 public:
  SpanChunkReader(ColumnReader in, TraceBatch& batch) : in_(in), dictionary_(in_), batch_(batch) {}
  [[nodiscard]] bool read() {
    read_resources(in_, dictionary_, batch_);
    if (!in_.failed()) read_ids();
    if (!in_.failed()) read_fields();
    if (!in_.failed()) read_attributes();
    if (!in_.failed()) read_events_and_links();
    return !in_.failed();
  }

 private:
  void read_ids() {
    auto& spans = batch_.spans;
    spans.resize(in_.count(sizeof(SpanId)));
    for (size_t row = 0; row < spans.size() && !in_.failed();) {
      const auto id = read_id<TraceId>(in_);
      const uint64_t run = in_.varint();
      if (run == 0 || run > spans.size() - row) return in_.fail();
      for (uint64_t i = 0; i < run; ++i) spans[row++].trace_id = id;
    }
    for (SpanView& span : spans) span.span_id = read_id<SpanId>(in_);
    std::vector<size_t> strangers;
    for (size_t i = 0; i < spans.size(); ++i) {
      const uint64_t parent = in_.varint();
      if (parent > spans.size() + 1) return in_.fail();
      if (parent == spans.size() + 1)
        strangers.push_back(i);
      else if (parent > 0)
        spans[i].parent_span_id = spans[parent - 1].span_id;
    }
    for (const size_t i : strangers) spans[i].parent_span_id = read_id<SpanId>(in_);
  }

  void read_fields() {
    for (SpanView& span : batch_.spans) {
      const uint8_t both = in_.u8();
      if ((both >> 2) > 5 || (both & 3) > 2) return in_.fail();
      span.kind = static_cast<telemetry::SpanKind>(both >> 2);
      span.status = static_cast<telemetry::SpanStatus>(both & 3);
    }
    uint64_t last = 0;
    for (SpanView& span : batch_.spans)
      span.start_unix_nanos = last = last + static_cast<uint64_t>(in_.zigzag());
    for (SpanView& span : batch_.spans)
      span.end_unix_nanos = span.start_unix_nanos + static_cast<uint64_t>(in_.zigzag());
    for (SpanView& span : batch_.spans) {
      span.name = dictionary_.read(in_);
      span.status_message = dictionary_.read(in_);
      span.scope_name = dictionary_.read(in_);
      span.trace_text = dictionary_.read(in_);
    }
    for (SpanView& span : batch_.spans) {
      const uint64_t resource = in_.varint();
      if (resource >= batch_.resources.size()) return in_.fail();
      span.resource = static_cast<uint32_t>(resource);
    }
  }

  void read_attributes() {
    const auto ranges = read_attribute_columns(in_, dictionary_, batch_.attributes);
    if (ranges.size() != batch_.spans.size()) return in_.fail();
    for (size_t i = 0; i < ranges.size(); ++i) batch_.spans[i].attributes = ranges[i];
  }

  void read_events_and_links() {
    ColumnReader events(in_.text()), links(in_.text());
    for (SpanView& span : batch_.spans) {
      span.events_begin = static_cast<uint32_t>(batch_.events.size());
      for (size_t n = events.count(2); n > 0 && !events.failed(); --n) {
        const uint64_t time = span.start_unix_nanos + static_cast<uint64_t>(events.zigzag());
        batch_.events.push_back({time, dictionary_.read(events), {}});
      }
      span.events_end = static_cast<uint32_t>(batch_.events.size());
      span.links_begin = static_cast<uint32_t>(batch_.links.size());
      for (size_t n = links.count(24); n > 0 && !links.failed(); --n) {
        const auto trace = read_id<TraceId>(links);
        batch_.links.push_back({trace, read_id<SpanId>(links)});
      }
      span.links_end = static_cast<uint32_t>(batch_.links.size());
      if (events.failed() || links.failed()) return in_.fail();
    }
    const auto ranges = read_attribute_columns(in_, dictionary_, batch_.attributes);
    if (ranges.size() != batch_.events.size()) return in_.fail();
    for (size_t i = 0; i < ranges.size(); ++i) batch_.events[i].attributes = ranges[i];
  }

  ColumnReader in_;
  const DictionaryReader dictionary_;
  TraceBatch& batch_;
};

}  // namespace

net::Result<std::shared_ptr<const TraceBatch>> decode_span_chunk_v1(std::string_view stored) {
  auto columns = open_chunk(1, stored);
  if (!columns) return std::move(columns).error();
  auto batch = std::make_shared<TraceBatch>();
  batch->body = std::make_unique<const std::string>(std::move(columns).value());
  SpanChunkReader reader(ColumnReader(*batch->body), *batch);
  if (!reader.read()) return corrupt_chunk("span chunk");
  return std::shared_ptr<const TraceBatch>(std::move(batch));
}

}  // namespace hms::collector
