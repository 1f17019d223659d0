#include "collector/store/span_chunk.h"

#include <algorithm>
#include <map>
#include <span>
#include <unordered_map>

#include "collector/store/chunk_attributes.h"
#include "collector/store/chunk_ids.h"
#include "collector/store/chunk_resources.h"
#include "collector/store/stored_attribute.h"

namespace hms::collector {
namespace {

using telemetry::SpanId;
using telemetry::SpanView;
using telemetry::TraceBatch;
using telemetry::TraceId;

constexpr uint8_t kVersion = 1;

void write_trace_runs(const std::vector<SpanSource>& spans, ColumnWriter& out) {
  for (size_t i = 0; i < spans.size();) {
    size_t end = i + 1;
    while (end < spans.size() && spans[end].span->trace_id == spans[i].span->trace_id) ++end;
    out.raw(bytes_of(spans[i].span->trace_id));
    out.varint(end - i);
    i = end;
  }
}

/// 0: none. k: row k - 1 of this chunk. rows + 1: 8 bytes follow in the column of strangers.
void write_parents(const std::vector<SpanSource>& spans, ColumnWriter& out) {
  std::unordered_map<SpanId, size_t> rows;
  rows.reserve(spans.size());
  for (size_t i = 0; i < spans.size(); ++i) rows.try_emplace(spans[i].span->span_id, i);
  ColumnWriter strangers;
  for (const SpanSource& source : spans) {
    const SpanId& parent = source.span->parent_span_id;
    if (parent.is_zero()) {
      out.varint(0);
    } else if (const auto it = rows.find(parent); it != rows.end()) {
      out.varint(it->second + 1);
    } else {
      out.varint(spans.size() + 1);
      strangers.raw(bytes_of(parent));
    }
  }
  out.raw(strangers.bytes());
}

}  // namespace

void sort_by_trace(std::vector<SpanSource>& spans) {
  // The keys stand side by side: comparing through the pointers would miss the cache each time.
  struct Key {
    TraceId trace;
    uint64_t start;
    SpanSource source;
    bool operator<(const Key& other) const {
      const auto order = trace <=> other.trace;
      return order == 0 ? start < other.start : order < 0;
    }
  };
  std::vector<Key> keys;
  keys.reserve(spans.size());
  for (const SpanSource& source : spans)
    keys.push_back({source.span->trace_id, source.span->start_unix_nanos, source});
  if (std::is_sorted(keys.begin(), keys.end())) return;
  std::sort(keys.begin(), keys.end());
  for (size_t i = 0; i < keys.size(); ++i) spans[i] = keys[i].source;
}

std::string encode_span_chunk(std::vector<SpanSource>& spans) {
  sort_by_trace(spans);
  DictionaryWriter dictionary;
  ResourceColumns resources(dictionary);
  AttributeColumnsWriter attributes(dictionary), event_attributes(dictionary);
  ColumnWriter ids, kinds, times, durations, names, resource_indices, events, links;
  uint64_t last_start = 0;
  for (const SpanSource& source : spans) {
    const SpanView& span = *source.span;
    ids.raw(bytes_of(span.span_id));
    kinds.u8(static_cast<uint8_t>(static_cast<unsigned>(span.kind) << 2 |
                                  static_cast<unsigned>(span.status)));
    times.zigzag(static_cast<int64_t>(span.start_unix_nanos - last_start));
    last_start = span.start_unix_nanos;
    // A span that ends before it begins keeps both times: the difference is signed.
    durations.zigzag(static_cast<int64_t>(span.end_unix_nanos - span.start_unix_nanos));
    names.varint(dictionary.add(span.name));
    names.varint(dictionary.add(span.status_message));
    names.varint(dictionary.add(span.scope_name));
    names.varint(dictionary.add(span.trace_text));
    resource_indices.varint(resources.add(*source.batch, span.resource));
    attributes.add(attributes_in(*source.batch, span.attributes));
    events.varint(span.events_end - span.events_begin);
    for (uint32_t i = span.events_begin; i < span.events_end; ++i) {
      const telemetry::SpanEventView& event = source.batch->events[i];
      events.zigzag(static_cast<int64_t>(event.time_unix_nanos - span.start_unix_nanos));
      events.varint(dictionary.add(event.name));
      event_attributes.add(attributes_in(*source.batch, event.attributes));
    }
    links.varint(span.links_end - span.links_begin);
    for (uint32_t i = span.links_begin; i < span.links_end; ++i) {
      links.raw(bytes_of(source.batch->links[i].trace_id));
      links.raw(bytes_of(source.batch->links[i].span_id));
    }
  }
  ColumnWriter body;
  resources.write(body);
  body.varint(spans.size());
  write_trace_runs(spans, body);
  body.raw(ids.bytes());
  write_parents(spans, body);
  for (const ColumnWriter* column : {&kinds, &times, &durations, &names, &resource_indices})
    body.raw(column->bytes());
  attributes.write(body);
  for (const ColumnWriter* column : {&events, &links}) body.text(column->bytes());
  event_attributes.write(body);

  // The dictionary is complete only now, but is read first.
  ColumnWriter columns;
  dictionary.write(columns);
  columns.raw(body.bytes());
  return seal_chunk(kVersion, columns.bytes());
}

namespace {

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

net::Result<std::shared_ptr<const TraceBatch>> decode_span_chunk(std::string_view stored) {
  auto columns = open_chunk(kVersion, stored);
  if (!columns) return std::move(columns).error();
  auto batch = std::make_shared<TraceBatch>();
  batch->body = std::make_unique<const std::string>(std::move(columns).value());
  SpanChunkReader reader(ColumnReader(*batch->body), *batch);
  if (!reader.read()) return corrupt_chunk("span chunk");
  return std::shared_ptr<const TraceBatch>(std::move(batch));
}

std::pair<size_t, size_t> rows_of_trace(const TraceBatch& chunk, const TraceId& id) noexcept {
  const auto less = [](const SpanView& span, const TraceId& wanted) {
    return span.trace_id < wanted;
  };
  const auto more = [](const TraceId& wanted, const SpanView& span) {
    return wanted < span.trace_id;
  };
  const auto first = std::lower_bound(chunk.spans.begin(), chunk.spans.end(), id, less);
  const auto last = std::upper_bound(first, chunk.spans.end(), id, more);
  return {static_cast<size_t>(first - chunk.spans.begin()),
          static_cast<size_t>(last - chunk.spans.begin())};
}

StoredSpan stored_span(const TraceBatch& batch, const SpanView& view) {
  const telemetry::ResourceView& resource = batch.resources[view.resource];
  StoredSpan span;
  span.trace_id = view.trace_id;
  span.span_id = view.span_id;
  span.parent_span_id = view.parent_span_id;
  span.kind = view.kind;
  span.status = view.status;
  span.start_unix_nanos = view.start_unix_nanos;
  span.end_unix_nanos = view.end_unix_nanos;
  span.service = resource.service_name;
  span.instance = resource.service_instance;
  span.name = view.name;
  span.status_message = view.status_message;
  span.scope = view.scope_name;
  span.trace_text = view.trace_text;
  span.attributes = stored_attributes(batch, view.attributes);
  span.resource_attributes = stored_attributes(batch, resource.attributes);
  for (uint32_t i = view.events_begin; i < view.events_end; ++i) {
    const telemetry::SpanEventView& event = batch.events[i];
    span.events.push_back({event.time_unix_nanos, std::string(event.name),
                           stored_attributes(batch, event.attributes)});
  }
  for (uint32_t i = view.links_begin; i < view.links_end; ++i)
    span.links.emplace_back(batch.links[i].trace_id, batch.links[i].span_id);
  return span;
}

}  // namespace hms::collector
