#include "collector/store/span_chunk_reader.h"

#include <algorithm>
#include <cstring>

#include "collector/store/chunk_ids.h"
#include "collector/store/chunk_resources.h"
#include "collector/store/span_chunk.h"
#include "collector/store/span_match.h"
#include "collector/store/span_room.h"

namespace hms::collector {

using telemetry::SpanId;
using telemetry::SpanView;
using telemetry::TraceBatch;
using telemetry::TraceId;
using Kind = telemetry::AttributeValue::Kind;

namespace {

constexpr size_t kLinkBytes = sizeof(TraceId) + sizeof(SpanId);
/// What the parsed columns take beside their bytes, about.
constexpr uint64_t kOverheadBytes = 4'096;

net::Error corrupt() { return corrupt_chunk("span chunk"); }

std::shared_ptr<const TraceBatch> empty_batch() { return std::make_shared<const TraceBatch>(); }

uint64_t bytes_of_batch(const TraceBatch& batch) {
  return (batch.body ? batch.body->size() : 0) + batch.spans.size() * sizeof(SpanView) +
         batch.attributes.size() * sizeof(telemetry::Attribute);
}

std::vector<SpanHit> hits_in(const TraceBatch& batch, const TraceQuery& query) {
  std::vector<SpanHit> hits;
  for (const SpanView& span : batch.spans) {
    if (!start_fits(query, span.start_unix_nanos) || !span_fits(batch, span, query)) continue;
    if (hits.empty() || hits.back().id != span.trace_id)
      hits.push_back({span.start_unix_nanos, span.trace_id});
    hits.back().start_unix_nanos = std::min(hits.back().start_unix_nanos, span.start_unix_nanos);
  }
  return hits;
}

}  // namespace

// ---------------------------------------------------------------- opening

net::Result<std::shared_ptr<SpanChunk>> SpanChunk::open(std::string stored) {
  std::shared_ptr<SpanChunk> chunk(new SpanChunk());
  if (!stored.empty() && stored.front() == 1) {
    auto old = decode_span_chunk_v1(stored);
    if (!old) return std::move(old).error();
    chunk->old_ = std::move(old).value();
    chunk->bytes_ = bytes_of_batch(*chunk->old_);
    return chunk;
  }
  if (auto checked = check_version(kSpanChunkVersion, stored); !checked)
    return std::move(checked).error();
  const std::string_view kept = chunk->arena_.keep(std::move(stored));
  if (auto opened = chunk->open_fields(kept.substr(1)); !opened) return std::move(opened).error();
  chunk->count_bytes();
  return chunk;
}

net::Result<void> SpanChunk::open_fields(std::string_view rest) {
  ColumnReader envelope(rest);
  const uint8_t form = envelope.u8();
  if (envelope.failed() || form > kPartsTogether) return corrupt();
  std::string_view fields = envelope.rest();
  if (form == kPartsTogether) {
    auto whole = unpack_whole(fields);
    if (!whole) return std::move(whole).error();
    ColumnReader parts(arena_.keep(std::move(whole).value()));
    fields = parts.text();
    ids_in_fields_ = parts.rest();
    if (parts.failed()) return corrupt();
  }
  ColumnReader in(fields);
  const uint64_t rows = in.varint();
  for (std::string_view& section : sections_) section = in.text();
  if (in.failed() || rows > kMaxChunkRows) return corrupt();
  rows_ = rows;
  return {};
}

void SpanChunk::read_senders(ColumnReader& in) {
  const uint64_t resources = in.varint();
  if (!need(kResources) || resources != resources_.resources.size() || !need(kNames))
    return in.fail();
  senders_ = Codes::read(in, rows_, resources, {bases_, 1}, arena_);
}

void SpanChunk::read_section(Section section, ColumnReader in) {
  const auto column = [&](ValueColumn& out, std::span<const Codes* const> bases) {
    out = ValueColumn::read(in, Kind::text, rows_, bases, arena_);
  };
  switch (section) {
    case kResources:
      read_resource_section(in, resources_, arena_);
      break;
    case kNames:
      column(names_, {});
      break;
    case kSenders:
      read_senders(in);
      break;
    case kKinds:
      kinds_ = read_block(in, rows_, arena_);
      for (const char both : kinds_) {
        if ((static_cast<uint8_t>(both) >> 2) > 5 || (both & 3) > 2) return in.fail();
      }
      break;
    case kAttributes:
      attributes_.read(in, rows_, bases_, arena_);
      break;
    case kMessages:
      column(messages_, bases_);
      break;
    case kScopes:
      column(scopes_, bases_);
      break;
    case kTraceTexts:
      column(trace_texts_, bases_);
      break;
    case kEvents:
      events_.count = in.varint();
      if (events_.count == 0) break;
      events_.counts = Numbers::read(in, rows_, arena_);
      events_.times = Numbers::read(in, events_.count, arena_);
      events_.names = ValueColumn::read(in, Kind::text, events_.count, {}, arena_);
      if (!in.failed()) events_.attributes.read(in, events_.count, {}, arena_);
      break;
    case kLinks:
      links_.count = in.varint();
      if (links_.count == 0) break;
      links_.counts = Numbers::read(in, rows_, arena_);
      if (links_.count <= in.rest().size() / kLinkBytes)
        links_.bytes = in.raw(links_.count * kLinkBytes);
      else
        in.fail();
      break;
    case kSections:
      break;
  }
  opened_[section] = !in.failed();
}

bool SpanChunk::need(Section section) {
  if (opened_[section]) return true;
  // Their codes may be functions of names and senders.
  if (section >= kAttributes && section <= kTraceTexts && !need(kSenders)) return false;
  read_section(section, ColumnReader(sections_[section]));
  return opened_[section];
}

bool SpanChunk::need_all() {
  for (int section = 0; section < kSections; ++section) {
    if (!need(static_cast<Section>(section))) return false;
  }
  return true;
}

net::Result<void> SpanChunk::need_ids(const ReadIds& read_ids) {
  if (has_ids_) return {};
  std::string_view ids = ids_in_fields_;
  if (ids.empty()) {
    if (!read_ids) return corrupt();
    auto stored = read_ids();
    if (!stored) return std::move(stored).error();
    if (auto checked = check_version(kSpanChunkVersion, *stored); !checked) return checked;
    ids = arena_.keep(std::move(stored).value()).substr(1);
  }
  if (!open_ids(ids)) return corrupt();
  has_ids_ = true;
  return {};
}

bool SpanChunk::open_ids(std::string_view ids) {
  ColumnReader in(ids);
  if (in.varint() != rows_) return false;
  const uint64_t runs = in.varint();
  if (runs > rows_ || rows_ > ids.size() / sizeof(SpanId)) return false;
  const Numbers lengths = Numbers::read(in, runs, arena_);
  if (in.failed()) return false;
  run_ends_.clear();
  uint64_t end = 0;
  for (size_t run = 0; run < runs; ++run) {
    const uint64_t length = lengths.at(run);
    if (length == 0 || length > rows_ - end) return false;
    run_ends_.push_back(static_cast<uint32_t>(end += length));
  }
  if (end != rows_) return false;
  for (std::string_view& plane : trace_planes_) {
    plane = read_block(in, runs, arena_);
    if (plane.size() != runs) return false;
  }
  span_ids_ = in.raw(rows_ * sizeof(SpanId));
  parents_ = Numbers::read(in, rows_, arena_);
  strangers_ = in.text();
  firsts_ = Numbers::read(in, runs, arena_);
  steps_ = Numbers::read(in, rows_, arena_);
  durations_ = Numbers::read(in, rows_, arena_);
  return !in.failed();
}

void SpanChunk::count_bytes() noexcept {
  bytes_ = kOverheadBytes + arena_.bytes() + run_ends_.size() * sizeof(uint32_t) +
           resources_.attributes.size() * sizeof(telemetry::Attribute);
}

// ---------------------------------------------------------------- places

size_t SpanChunk::run_of(size_t row) const noexcept {
  return static_cast<size_t>(std::upper_bound(run_ends_.begin(), run_ends_.end(), row) -
                             run_ends_.begin());
}

TraceId SpanChunk::trace_of(size_t run) const noexcept {
  TraceId id;
  for (size_t i = 0; i < id.bytes.size(); ++i)
    id.bytes[i] = static_cast<uint8_t>(trace_planes_[i][run]);
  return id;
}

SpanId SpanChunk::span_id_of(size_t row) const noexcept {
  SpanId id;
  std::memcpy(id.bytes.data(), span_ids_.data() + row * sizeof id, sizeof id);
  return id;
}

std::pair<size_t, size_t> SpanChunk::rows_of(const TraceId& id) const noexcept {
  size_t low = 0, high = run_ends_.size();
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (trace_of(middle) < id)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == run_ends_.size() || trace_of(low) != id) return {0, 0};
  return {low == 0 ? 0 : run_ends_[low - 1], run_ends_[low]};
}

// ---------------------------------------------------------------- search

net::Result<std::vector<SpanHit>> SpanChunk::find(const TraceQuery& query,
                                                  const ReadIds& read_ids) {
  const std::lock_guard lock(mutex_);
  if (old_) return hits_in(*old_, query);
  std::vector<uint32_t> rows;
  if (query.operation.empty()) {
    rows.resize(rows_);
    for (uint32_t row = 0; row < rows.size(); ++row) rows[row] = row;
  } else {
    if (!need(kNames)) return corrupt();
    const auto named = names_.codes_of_text(query.operation);
    if (named.empty()) return std::vector<SpanHit>{};
    const auto code = std::find(named.begin(), named.end(), 1) - named.begin();
    names_.codes().find(static_cast<uint32_t>(code), rows);
  }
  const bool read = keep_fitting(query, rows);
  count_bytes();
  if (!read) return corrupt();
  if (rows.empty()) return std::vector<SpanHit>{};
  if (auto ready = need_ids(read_ids); !ready) return std::move(ready).error();
  count_bytes();
  return hits_among(query, rows);
}

bool SpanChunk::keep_fitting(const TraceQuery& query, std::vector<uint32_t>& rows) {
  if (!query.service.empty() && !rows.empty()) {
    if (!need(kSenders)) return false;
    std::erase_if(rows, [&](uint32_t row) {
      return resources_.resources[senders_.at(row, row)].service_name != query.service;
    });
  }
  if (query.error && !rows.empty()) {
    if (!need(kKinds)) return false;
    const auto failed = static_cast<int>(telemetry::SpanStatus::error);
    std::erase_if(rows,
                  [&](uint32_t row) { return ((kinds_[row] & 3) == failed) != *query.error; });
  }
  for (const auto& tag : query.tags) {
    if (!rows.empty() && !keep_tagged(tag, rows)) return false;
  }
  return true;
}

bool SpanChunk::keep_tagged(const std::pair<std::string, std::string>& tag,
                            std::vector<uint32_t>& rows) {
  if (!need(kSenders) || !need(kAttributes)) return false;
  std::vector<char> tagged(resources_.resources.size());
  for (size_t i = 0; i < tagged.size(); ++i) {
    tagged[i] =
        has_attribute(resources_, resources_.resources[i].attributes, tag.first, tag.second);
  }
  std::vector<char> fits(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) fits[i] = tagged[senders_.at(rows[i], rows[i])];
  if (!attributes_.mark(tag.first, tag.second, rows, fits)) return false;
  size_t kept = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (fits[i] != 0) rows[kept++] = rows[i];
  }
  rows.resize(kept);
  return true;
}

std::vector<SpanHit> SpanChunk::hits_among(const TraceQuery& query,
                                           const std::vector<uint32_t>& rows) const {
  std::vector<SpanHit> hits;
  size_t run = SIZE_MAX, at = 0;  // `start` is that of row `at` of the run
  uint64_t start = 0;
  for (const uint32_t row : rows) {
    if (run == SIZE_MAX || row >= run_ends_[run]) {
      run = run_of(row);
      at = run == 0 ? 0 : run_ends_[run - 1];
      start = firsts_.at(run);
    }
    while (at < row) start += steps_.at(++at);
    const auto length = static_cast<int64_t>(durations_.at(row));
    if (!start_fits(query, start) ||
        !duration_fits(query, length > 0 ? static_cast<uint64_t>(length) : 0))
      continue;
    const TraceId id = trace_of(run);
    if (hits.empty() || hits.back().id != id) hits.push_back({start, id});
    hits.back().start_unix_nanos = std::min(hits.back().start_unix_nanos, start);
  }
  return hits;
}

// ---------------------------------------------------------------- rows

net::Result<void> SpanChunk::trace(const TraceId& id, const ReadIds& read_ids, SpanRoom& room,
                                   std::vector<StoredSpan>& out) {
  const std::lock_guard lock(mutex_);
  const auto add = [&](const TraceBatch& batch, size_t first, size_t last) {
    while (first < last && room.keep(stored_span(batch, batch.spans[first]), out)) ++first;
  };
  if (old_) {
    const auto less = [](const SpanView& span, const TraceId& wanted) {
      return span.trace_id < wanted;
    };
    const auto begin = old_->spans.begin();
    const auto first = std::lower_bound(begin, old_->spans.end(), id, less);
    auto last = first;
    while (last != old_->spans.end() && last->trace_id == id) ++last;
    add(*old_, static_cast<size_t>(first - begin), static_cast<size_t>(last - begin));
    return {};
  }
  if (auto ready = need_ids(read_ids); !ready) return ready;
  const auto [first, last] = rows_of(id);
  if (first < last) {
    TraceBatch batch;
    if (!materialize(first, last, batch)) return corrupt();
    add(batch, 0, batch.spans.size());
  }
  count_bytes();
  return {};
}

bool SpanChunk::materialize(size_t first, size_t last, TraceBatch& batch) {
  if (!need_all()) return false;
  const auto number = static_cast<uint32_t>(first);
  size_t stranger = 0;
  for (size_t row = 0; row < first; ++row) stranger += parents_.at(row) == 1 ? 1 : 0;
  batch.resources = resources_.resources;
  batch.attributes = resources_.attributes;
  batch.spans.reserve(last - first);
  size_t run = run_of(first);
  uint64_t start = firsts_.at(run);
  for (uint32_t row = number; row < last; ++row) {
    if (row == run_ends_[run]) start = firsts_.at(++run);
    start += steps_.at(row);  // that of a trace's first row is 0
    SpanView span;
    span.resource = senders_.at(row, row);
    span.trace_id = trace_of(run);
    span.span_id = span_id_of(row);
    const uint64_t parent = parents_.at(row);
    if (parent == 1) {
      if ((stranger + 1) * sizeof(SpanId) > strangers_.size()) return false;
      std::memcpy(span.parent_span_id.bytes.data(), strangers_.data() + stranger++ * sizeof(SpanId),
                  sizeof(SpanId));
    } else if (parent != 0) {
      const uint64_t back = parent - 2;
      const uint64_t parent_row = row - ((back >> 1) ^ (~(back & 1) + 1));
      if (parent_row >= rows_) return false;
      span.parent_span_id = span_id_of(parent_row);
    }
    span.kind = static_cast<telemetry::SpanKind>(static_cast<uint8_t>(kinds_[row]) >> 2);
    span.status = static_cast<telemetry::SpanStatus>(kinds_[row] & 3);
    span.start_unix_nanos = start;
    span.end_unix_nanos = start + durations_.at(row);
    span.name = names_.text_at(row);
    span.status_message = messages_.text_at(row);
    span.scope_name = scopes_.text_at(row);
    span.trace_text = trace_texts_.text_at(row);
    span.attributes.begin = static_cast<uint32_t>(batch.attributes.size());
    if (!attributes_.append(row, batch.attributes)) return false;
    span.attributes.end = static_cast<uint32_t>(batch.attributes.size());
    batch.spans.push_back(span);
  }
  add_links(first, last, batch);
  return add_events(first, last, batch);
}

bool SpanChunk::add_events(size_t first, size_t last, TraceBatch& batch) {
  if (events_.count == 0) return true;
  uint64_t at = 0;
  for (size_t row = 0; row < last; ++row) {
    const uint64_t count = events_.counts.at(row);
    if (count > events_.count - at) return false;
    if (row < first) {
      at += count;
      continue;
    }
    SpanView& span = batch.spans[row - first];
    span.events_begin = static_cast<uint32_t>(batch.events.size());
    for (uint64_t end = at + count; at < end; ++at) {
      telemetry::SpanEventView event;
      event.time_unix_nanos = span.start_unix_nanos + events_.times.at(at);
      event.name = events_.names.text_at(at);
      event.attributes.begin = static_cast<uint32_t>(batch.attributes.size());
      if (!events_.attributes.append(static_cast<uint32_t>(at), batch.attributes)) return false;
      event.attributes.end = static_cast<uint32_t>(batch.attributes.size());
      batch.events.push_back(event);
    }
    span.events_end = static_cast<uint32_t>(batch.events.size());
  }
  return true;
}

void SpanChunk::add_links(size_t first, size_t last, TraceBatch& batch) const {
  if (links_.count == 0) return;
  uint64_t at = 0;
  for (size_t row = 0; row < last; ++row) {
    const uint64_t end = std::min<uint64_t>(at + links_.counts.at(row), links_.count);
    if (row >= first)
      batch.spans[row - first].links_begin = static_cast<uint32_t>(batch.links.size());
    for (; at < end; ++at) {
      if (row < first) continue;
      ColumnReader in(links_.bytes.substr(at * kLinkBytes, kLinkBytes));
      const auto trace = read_id<TraceId>(in);
      batch.links.push_back({trace, read_id<SpanId>(in)});
    }
    if (row >= first)
      batch.spans[row - first].links_end = static_cast<uint32_t>(batch.links.size());
  }
}

net::Result<std::shared_ptr<const TraceBatch>> SpanChunk::take_all(const ReadIds& read_ids) {
  const std::lock_guard lock(mutex_);
  if (old_) return old_;
  if (auto ready = need_ids(read_ids); !ready) return std::move(ready).error();
  if (rows_ == 0) return empty_batch();
  auto batch = std::make_shared<TraceBatch>();
  if (!materialize(0, rows_, *batch)) return corrupt();
  batch->arena = arena_.take();
  return std::shared_ptr<const TraceBatch>(std::move(batch));
}

net::Result<std::shared_ptr<const TraceBatch>> decode_span_chunk(
    std::string_view stored, const SpanChunk::ReadIds& read_ids) {
  auto chunk = SpanChunk::open(std::string(stored));
  if (!chunk) return std::move(chunk).error();
  return (*chunk)->take_all(read_ids);
}

StoredSpan stored_span(const TraceBatch& batch, const SpanView& view) {
  StoredSpan span;
  store_common(batch, view, span);
  span.parent_span_id = view.parent_span_id;
  span.kind = view.kind;
  span.status = view.status;
  span.start_unix_nanos = view.start_unix_nanos;
  span.end_unix_nanos = view.end_unix_nanos;
  span.instance = batch.resources[view.resource].service_instance;
  span.name = view.name;
  span.status_message = view.status_message;
  span.scope = view.scope_name;
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
