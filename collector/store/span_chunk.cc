#include "collector/store/span_chunk.h"

#include <algorithm>
#include <map>
#include <unordered_map>

namespace hms::collector {
namespace {

using telemetry::SpanId;
using telemetry::SpanView;
using telemetry::TraceBatch;
using telemetry::TraceId;

constexpr uint8_t kVersion = 1;

template <class Id>
std::string_view bytes_of(const Id& id) {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

template <class Id>
Id read_id(ColumnReader& in) {
  Id id;
  const std::string_view bytes = in.raw(id.bytes.size());
  if (!bytes.empty()) std::memcpy(id.bytes.data(), bytes.data(), bytes.size());
  return id;
}

std::span<const telemetry::Attribute> slice(const TraceBatch& batch,
                                            telemetry::AttributeRange range) {
  return std::span(batch.attributes).subspan(range.begin, range.end - range.begin);
}

/// Resources are told apart by the batch and index they came from: cheap, and repeats across
/// batches of a group are rare.
class ResourceColumns {
 public:
  explicit ResourceColumns(DictionaryWriter& dictionary)
      : dictionary_(dictionary), attributes_(dictionary) {}
  uint32_t add(const SpanSource& source) {
    const auto [it, added] = indices_.try_emplace({source.batch, source.span->resource}, count_);
    if (added) {
      const telemetry::ResourceView& resource = source.batch->resources[source.span->resource];
      names_.varint(dictionary_.add(resource.service_name));
      names_.varint(dictionary_.add(resource.service_instance));
      attributes_.add(slice(*source.batch, resource.attributes));
      ++count_;
    }
    return it->second;
  }
  void write(ColumnWriter& out) const {
    out.varint(count_);
    out.raw(names_.bytes());
    attributes_.write(out);
  }

 private:
  DictionaryWriter& dictionary_;
  AttributeColumnsWriter attributes_;
  ColumnWriter names_;
  std::map<std::pair<const TraceBatch*, uint32_t>, uint32_t> indices_;
  uint32_t count_ = 0;
};

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

std::string encode_span_chunk(std::vector<SpanSource>& spans) {
  std::sort(spans.begin(), spans.end(), [](const SpanSource& a, const SpanSource& b) {
    if (a.span->trace_id != b.span->trace_id) return a.span->trace_id < b.span->trace_id;
    return a.span->start_unix_nanos < b.span->start_unix_nanos;
  });
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
    resource_indices.varint(resources.add(source));
    attributes.add(slice(*source.batch, span.attributes));
    events.varint(span.events_end - span.events_begin);
    for (uint32_t i = span.events_begin; i < span.events_end; ++i) {
      const telemetry::SpanEventView& event = source.batch->events[i];
      events.zigzag(static_cast<int64_t>(event.time_unix_nanos - span.start_unix_nanos));
      events.varint(dictionary.add(event.name));
      event_attributes.add(slice(*source.batch, event.attributes));
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

net::Result<std::unique_ptr<SpanChunk>> SpanChunk::decode(std::string_view stored) {
  auto columns = open_chunk(kVersion, stored);
  if (!columns) return std::move(columns).error();
  std::unique_ptr<SpanChunk> chunk(new SpanChunk);
  chunk->columns_ = std::move(columns).value();
  ColumnReader in(chunk->columns_);
  chunk->read(in);
  if (in.failed())
    return net::Error{net::Code::corrupt, net::Side::self, false,
                      "span chunk: columns do not fit together"};
  return chunk;
}

void SpanChunk::read(ColumnReader& in) {
  const DictionaryReader dictionary(in);
  read_resources(in, dictionary);
  if (!in.failed()) read_rows(in, dictionary);
  if (in.failed()) return;
  span_attributes_ = std::make_unique<AttributeColumnsReader>(in, dictionary);
  if (!in.failed()) read_events_and_links(in, dictionary);
}

void SpanChunk::read_resources(ColumnReader& in, const DictionaryReader& dictionary) {
  const size_t count = in.count(2);
  for (size_t i = 0; i < count && !in.failed(); ++i) {
    const std::string_view service = dictionary.read(in);
    resources_.push_back({service, dictionary.read(in)});
  }
  resource_attributes_ = std::make_unique<AttributeColumnsReader>(in, dictionary);
}

void SpanChunk::read_rows(ColumnReader& in, const DictionaryReader& dictionary) {
  rows_.resize(in.count(sizeof(SpanId)));
  for (size_t row = 0; row < rows_.size() && !in.failed();) {
    const auto id = read_id<TraceId>(in);
    const uint64_t run = in.varint();
    if (run == 0 || run > rows_.size() - row) return in.fail();
    for (uint64_t i = 0; i < run; ++i) rows_[row++].trace_id = id;
  }
  for (Row& row : rows_) row.span_id = read_id<SpanId>(in);
  std::vector<size_t> strangers;
  for (size_t i = 0; i < rows_.size(); ++i) {
    const uint64_t parent = in.varint();
    if (parent > rows_.size() + 1) return in.fail();
    if (parent == rows_.size() + 1)
      strangers.push_back(i);
    else if (parent > 0)
      rows_[i].parent_span_id = rows_[parent - 1].span_id;
  }
  for (const size_t i : strangers) rows_[i].parent_span_id = read_id<SpanId>(in);
  for (Row& row : rows_) {
    const uint8_t both = in.u8();
    if ((both >> 2) > 5 || (both & 3) > 2) return in.fail();
    row.kind = static_cast<telemetry::SpanKind>(both >> 2);
    row.status = static_cast<telemetry::SpanStatus>(both & 3);
  }
  uint64_t last_start = 0;
  for (Row& row : rows_) row.start = last_start = last_start + static_cast<uint64_t>(in.zigzag());
  for (Row& row : rows_) row.end = row.start + static_cast<uint64_t>(in.zigzag());
  for (Row& row : rows_) {
    row.name = dictionary.read(in);
    row.status_message = dictionary.read(in);
    row.scope = dictionary.read(in);
    row.trace_text = dictionary.read(in);
  }
  for (Row& row : rows_) {
    const uint64_t resource = in.varint();
    if (resource >= resources_.size()) return in.fail();
    row.resource = static_cast<uint32_t>(resource);
  }
}

void SpanChunk::read_events_and_links(ColumnReader& in, const DictionaryReader& dictionary) {
  ColumnReader events(in.text()), links(in.text());
  for (Row& row : rows_) {
    row.events_begin = static_cast<uint32_t>(events_.size());
    for (size_t n = events.count(2); n > 0 && !events.failed(); --n) {
      const uint64_t time = row.start + static_cast<uint64_t>(events.zigzag());
      events_.push_back({time, dictionary.read(events)});
    }
    row.events_end = static_cast<uint32_t>(events_.size());
    row.links_begin = static_cast<uint32_t>(links_.size());
    for (size_t n = links.count(24); n > 0 && !links.failed(); --n) {
      const auto trace = read_id<TraceId>(links);
      links_.emplace_back(trace, read_id<SpanId>(links));
    }
    row.links_end = static_cast<uint32_t>(links_.size());
    if (events.failed() || links.failed()) return in.fail();
  }
  event_attributes_ = std::make_unique<AttributeColumnsReader>(in, dictionary);
}

std::pair<size_t, size_t> SpanChunk::rows_of(const TraceId& id) const noexcept {
  const auto less = [](const Row& row, const TraceId& wanted) { return row.trace_id < wanted; };
  const auto more = [](const TraceId& wanted, const Row& row) { return wanted < row.trace_id; };
  const auto first = std::lower_bound(rows_.begin(), rows_.end(), id, less);
  const auto last = std::upper_bound(first, rows_.end(), id, more);
  return {static_cast<size_t>(first - rows_.begin()), static_cast<size_t>(last - rows_.begin())};
}

StoredSpan SpanChunk::span(size_t index) const {
  const Row& row = rows_[index];
  const Resource& resource = resources_[row.resource];
  StoredSpan span;
  span.trace_id = row.trace_id;
  span.span_id = row.span_id;
  span.parent_span_id = row.parent_span_id;
  span.kind = row.kind;
  span.status = row.status;
  span.start_unix_nanos = row.start;
  span.end_unix_nanos = row.end;
  span.service = resource.service;
  span.instance = resource.instance;
  span.name = row.name;
  span.status_message = row.status_message;
  span.scope = row.scope;
  span.trace_text = row.trace_text;
  span.attributes = span_attributes_->record(index);
  span.resource_attributes = resource_attributes_->record(row.resource);
  for (uint32_t i = row.events_begin; i < row.events_end; ++i) {
    span.events.push_back(
        {events_[i].time, std::string(events_[i].name), event_attributes_->record(i)});
  }
  span.links.assign(links_.begin() + row.links_begin, links_.begin() + row.links_end);
  return span;
}

}  // namespace hms::collector
