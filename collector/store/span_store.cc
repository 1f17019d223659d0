#include "collector/store/span_store.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_set>

#include "collector/store/span_catalogue.h"
#include "collector/store/span_chunk.h"
#include "collector/store/span_index.h"
#include "net/core/log.h"

namespace hms::collector {
namespace {

using telemetry::SpanStatus;
using telemetry::TraceId;

constexpr size_t kSpansPerChunk =
    8'000;  // measured: 0.8 us and 23 bytes a span against 1.9 us and 38 at 1,000
constexpr uint64_t kNanosPerDay = 86'400'000'000'000ULL;
constexpr uint32_t kDaysBack = 30, kDaysAhead = 1;
constexpr uint32_t kMaxLimit = 1'500;
constexpr size_t kMaxSummariesPerSearch = 2'000'000;

/// Where a span is kept: the day it began, unless that is out of reach; then the day it came.
Family family_of(uint64_t start_unix_nanos, uint64_t arrived_unix_nanos) {
  const auto day =
      static_cast<uint32_t>(std::min<uint64_t>(start_unix_nanos / kNanosPerDay, UINT32_MAX - 1));
  const auto today = static_cast<uint32_t>(arrived_unix_nanos / kNanosPerDay);
  return Family{day + kDaysBack < today || day > today + kDaysAhead ? today : day};
}

bool is_error(const StoredSpan& span) { return span.status == SpanStatus::error; }

uint64_t duration_of(uint64_t start, uint64_t end) { return end > start ? end - start : 0; }

std::string attribute_text(const StoredAttribute& attribute) {
  using Kind = telemetry::AttributeValue::Kind;
  switch (attribute.kind) {
    case Kind::empty:
      return "";
    case Kind::text:
    case Kind::json:
      return attribute.text;
    case Kind::boolean:
      return attribute.boolean ? "true" : "false";
    case Kind::integer:
      return std::to_string(attribute.integer);
    case Kind::real: {
      std::string text = std::to_string(attribute.real);
      text.erase(text.find_last_not_of('0') + 1);
      if (!text.empty() && text.back() == '.') text.pop_back();
      return text;
    }
  }
  return "";
}

bool has_tag(const StoredSpan& span, const std::pair<std::string, std::string>& tag) {
  if (tag.first == "error") return is_error(span) == (tag.second == "true");
  const auto equals = [&tag](const StoredAttribute& a) {
    return a.key == tag.first && attribute_text(a) == tag.second;
  };
  return std::any_of(span.attributes.begin(), span.attributes.end(), equals) ||
         std::any_of(span.resource_attributes.begin(), span.resource_attributes.end(), equals);
}

bool span_fits(const StoredSpan& span, const TraceQuery& query) {
  if (!query.service.empty() && span.service != query.service) return false;
  if (!query.operation.empty() && span.name != query.operation) return false;
  if (query.error && is_error(span) != *query.error) return false;
  const uint64_t duration = duration_of(span.start_unix_nanos, span.end_unix_nanos);
  if (query.min_duration_nanos > 0 && duration < query.min_duration_nanos) return false;
  if (query.max_duration_nanos > 0 && duration > query.max_duration_nanos) return false;
  return std::all_of(query.tags.begin(), query.tags.end(),
                     [&span](const auto& tag) { return has_tag(span, tag); });
}

/// Whether the summary could belong to a trace that fits; tags are looked at in the spans only.
bool summary_fits(const TraceSummary& summary, const TraceQuery& query) {
  return std::any_of(summary.operations.begin(), summary.operations.end(),
                     [&query](const TraceSummary::Operation& o) {
                       if (!query.operation.empty() && o.name != query.operation) return false;
                       // Only an upper bound per operation is kept: a span without an error, or a
                       // short one, may stand beside it.
                       if (query.error == true && !o.error) return false;
                       return query.min_duration_nanos == 0 ||
                              o.longest_nanos >= query.min_duration_nanos;
                     });
}

class ColumnarSpanStore final : public SpanStore {
 public:
  net::Result<void> recover(const KvReader& reader) override;
  void prepare(std::span<const AcceptedBatch> group, KvWriter& writer) override;
  void committed(std::span<const AcceptedBatch>) override {}
  void failed(std::span<const AcceptedBatch>) override {}
  void maintain(uint64_t now_unix_nanos, KvWriter& writer) override;
  void seal_day(Family day) override { sealed_days_.insert(day); }
  void forget_day(Family day) override { next_chunk_.erase(day); }

  net::Result<Trace> trace(const TraceId& id) const override;
  net::Result<std::vector<Trace>> search(const TraceQuery& query,
                                         const std::function<bool()>& cancelled) const override;
  std::vector<std::string> services() const override { return catalogue_.services(); }
  std::vector<std::pair<std::string, std::string>> operations(
      const std::string& service) const override {
    return catalogue_.operations(service);
  }

 private:
  uint32_t next_chunk(Family day);
  void write_chunk(Family day, std::vector<SpanSource>& spans, KvWriter& writer);
  static void write_summaries(Family day, const std::vector<SpanSource>& spans, uint32_t chunk,
                              KvWriter& writer);
  net::Result<void> read_trace_of_day(Family day, const TraceId& id, Trace& trace) const;
  net::Result<std::vector<uint32_t>> chunks_of(Family day, const TraceId& id) const;
  net::Result<void> candidates_of_day(Family day, const TraceQuery& query,
                                      const std::function<bool()>& cancelled,
                                      std::vector<std::pair<uint64_t, TraceId>>& found) const;

  const KvReader* reader_ = nullptr;
  SpanCatalogue catalogue_;
  std::map<Family, uint32_t> next_chunk_;  // commit thread only
  std::set<Family> sealed_days_;           // commit thread only
  uint32_t last_cleaned_day_ = 0;
};

net::Result<void> ColumnarSpanStore::recover(const KvReader& reader) {
  reader_ = &reader;
  for (const Family day : reader.days()) {
    const std::string begin = table_key(Table::span_chunk);
    uint32_t next = 0;
    const auto scanned = reader.scan(
        day, begin, prefix_end(begin),
        [&next](std::string_view key, std::string_view) {
          next = read_be32(key.substr(1)) + 1;
          return false;
        },
        true);
    if (!scanned) return scanned.error();
    next_chunk_[day] = next;
  }
  return catalogue_.recover(reader);
}

/// A number is used once even when its group fails: gaps in the numbering mean nothing.
uint32_t ColumnarSpanStore::next_chunk(Family day) { return next_chunk_[day]++; }

void ColumnarSpanStore::prepare(std::span<const AcceptedBatch> group, KvWriter& writer) {
  std::map<Family, std::vector<SpanSource>> days;
  for (const AcceptedBatch& batch : group) {
    if (!batch.traces) continue;
    for (const telemetry::SpanView& span : batch.traces->spans) {
      Family day = family_of(span.start_unix_nanos, batch.arrived_unix_nanos);
      if (sealed_days_.contains(day)) day = Family::of_unix_nanos(batch.arrived_unix_nanos);
      days[day].push_back({batch.traces.get(), &span});
      catalogue_.add(batch.traces->resources[span.resource].service_name, span.name, span.kind,
                     day.day, writer);
    }
  }
  for (auto& [day, spans] : days) {
    // By trace first, so that a trace of this group stands in one chunk wherever it can.
    std::sort(spans.begin(), spans.end(), [](const SpanSource& a, const SpanSource& b) {
      return a.span->trace_id < b.span->trace_id;
    });
    for (size_t begin = 0; begin < spans.size(); begin += kSpansPerChunk) {
      const size_t end = std::min(begin + kSpansPerChunk, spans.size());
      std::vector<SpanSource> part(spans.begin() + static_cast<ptrdiff_t>(begin),
                                   spans.begin() + static_cast<ptrdiff_t>(end));
      write_chunk(day, part, writer);
    }
  }
}

void ColumnarSpanStore::write_chunk(Family day, std::vector<SpanSource>& spans, KvWriter& writer) {
  const uint32_t chunk = next_chunk(day);
  writer.put(day, span_chunk_key(chunk), encode_span_chunk(spans));
  const TraceId* last = nullptr;
  for (const SpanSource& source : spans) {
    if (last != nullptr && *last == source.span->trace_id) continue;
    last = &source.span->trace_id;
    writer.put(day, trace_index_key(*last, chunk), "");
  }
  write_summaries(day, spans, chunk, writer);
}

void ColumnarSpanStore::write_summaries(Family day, const std::vector<SpanSource>& spans,
                                        uint32_t chunk, KvWriter& writer) {
  struct Entry {
    uint64_t start = UINT64_MAX;
    TraceSummary summary;
  };
  for (size_t begin = 0; begin < spans.size();) {
    const TraceId& id = spans[begin].span->trace_id;
    std::map<std::string_view, Entry> services;
    size_t end = begin;
    for (; end < spans.size() && spans[end].span->trace_id == id; ++end) {
      const telemetry::SpanView& span = *spans[end].span;
      const std::string_view name = spans[end].batch->resources[span.resource].service_name;
      Entry& entry = services[name.substr(0, name.find('\0'))];  // NUL ends a name in the key
      entry.start = std::min(entry.start, span.start_unix_nanos);
      auto& operations = entry.summary.operations;
      auto it = std::find_if(operations.begin(), operations.end(),
                             [&span](const auto& o) { return o.name == span.name; });
      if (it == operations.end()) it = operations.insert(operations.end(), {span.name, 0, false});
      it->longest_nanos =
          std::max(it->longest_nanos, duration_of(span.start_unix_nanos, span.end_unix_nanos));
      it->error = it->error || span.status == SpanStatus::error;
    }
    for (const auto& [service, entry] : services) {
      writer.put(day, trace_summary_key(service, entry.start, id, chunk),
                 encode_summary(entry.summary));
    }
    begin = end;
  }
}

void ColumnarSpanStore::maintain(uint64_t now_unix_nanos, KvWriter& writer) {
  const auto today = static_cast<uint32_t>(now_unix_nanos / kNanosPerDay);
  if (today == last_cleaned_day_) return;
  last_cleaned_day_ = today;
  if (today > kDaysBack) catalogue_.forget_before(today - kDaysBack, writer);
}

net::Result<std::vector<uint32_t>> ColumnarSpanStore::chunks_of(Family day,
                                                                const TraceId& id) const {
  const std::string prefix = trace_index_prefix(id);
  std::vector<uint32_t> chunks;
  const auto scanned =
      reader_->scan(day, prefix, prefix_end(prefix), [&](std::string_view key, std::string_view) {
        if (key.size() == prefix.size() + 4) chunks.push_back(read_be32(key.substr(prefix.size())));
        return true;
      });
  if (!scanned) return scanned.error();
  return chunks;
}

net::Result<void> ColumnarSpanStore::read_trace_of_day(Family day, const TraceId& id,
                                                       Trace& trace) const {
  auto chunks = chunks_of(day, id);
  if (!chunks) return std::move(chunks).error();
  for (const uint32_t number : *chunks) {
    const auto stored = reader_->get(day, span_chunk_key(number));
    if (!stored) return stored.error();
    const auto chunk = SpanChunk::decode(*stored);
    if (!chunk) return chunk.error();
    const auto [first, last] = (*chunk)->rows_of(id);
    for (size_t row = first; row < last; ++row) {
      if (trace.spans.size() >= kMaxSpansPerTrace) {
        trace.cut = true;
        return {};
      }
      trace.spans.push_back((*chunk)->span(row));
    }
  }
  return {};
}

void finish_trace(Trace& trace) {
  // A span may have come twice (a sender without batch identities that tried again).
  std::set<std::tuple<telemetry::SpanId, telemetry::SpanKind, std::string>> seen;
  std::erase_if(trace.spans, [&seen](const StoredSpan& s) {
    return !seen.emplace(s.span_id, s.kind, s.service).second;
  });
  std::stable_sort(trace.spans.begin(), trace.spans.end(),
                   [](const StoredSpan& a, const StoredSpan& b) {
                     return a.start_unix_nanos < b.start_unix_nanos;
                   });
  const auto named = std::find_if(trace.spans.begin(), trace.spans.end(),
                                  [](const StoredSpan& s) { return !s.trace_text.empty(); });
  if (named != trace.spans.end()) trace.x_trace = named->trace_text;
}

net::Result<Trace> ColumnarSpanStore::trace(const TraceId& id) const {
  Trace trace;
  trace.id = id;
  auto days = reader_->days();
  for (auto day = days.rbegin(); day != days.rend(); ++day) {
    const auto read = read_trace_of_day(*day, id, trace);
    if (!read) return read.error();
  }
  if (trace.spans.empty()) {
    return net::Error{net::Code::not_found, net::Side::self, false,
                      "no span of trace " + telemetry::to_hex(id) + " is stored"};
  }
  finish_trace(trace);
  return trace;
}

net::Result<void> ColumnarSpanStore::candidates_of_day(
    Family day, const TraceQuery& query, const std::function<bool()>& cancelled,
    std::vector<std::pair<uint64_t, TraceId>>& found) const {
  const std::string begin = trace_summary_prefix(query.service, query.start_unix_nanos);
  std::string end = query.service.empty()
                        ? prefix_end(begin)
                        : trace_summary_prefix(query.service, query.end_unix_nanos);
  if (!query.service.empty()) end = prefix_end(std::move(end));
  size_t looked_at = 0;
  bool gave_up = false;
  const auto visit = [&](std::string_view key, std::string_view value) {
    if (++looked_at % 4'096 == 0 &&
        (looked_at > kMaxSummariesPerSearch || (cancelled && cancelled()))) {
      gave_up = true;
      return false;
    }
    SummaryKeyParts parts;
    if (!parse_summary_key(key, parts)) return true;
    if (parts.start_unix_nanos < query.start_unix_nanos ||
        parts.start_unix_nanos > query.end_unix_nanos)
      return true;
    if (summary_fits(decode_summary(value), query))
      found.emplace_back(parts.start_unix_nanos, parts.trace_id);
    // With tags the spans decide, so more candidates than the limit are worth keeping.
    const size_t enough =
        query.tags.empty() && !query.service.empty() ? size_t{query.limit} * 4 : 100'000;
    return found.size() < enough || query.service.empty();
  };
  const auto scanned = reader_->scan(day, begin, end, visit, true);
  if (!scanned) return scanned.error();
  if (gave_up && cancelled && cancelled())
    return net::Error{net::Code::canceled, net::Side::downstream, false, "search cancelled"};
  return {};
}

net::Result<std::vector<Trace>> ColumnarSpanStore::search(
    const TraceQuery& asked, const std::function<bool()>& cancelled) const {
  TraceQuery query = asked;
  query.limit = std::clamp<uint32_t>(query.limit, 1, kMaxLimit);
  std::vector<Trace> traces;
  std::unordered_set<TraceId> seen;
  auto days = reader_->days();
  for (auto day = days.rbegin(); day != days.rend() && traces.size() < query.limit; ++day) {
    // A day's family may hold spans that began elsewhere in time (family_of): the index keeps their
    // own times, so every day is asked.
    std::vector<std::pair<uint64_t, TraceId>> found;
    const auto read = candidates_of_day(*day, query, cancelled, found);
    if (!read) return read.error();
    std::sort(found.begin(), found.end(),
              [](const auto& a, const auto& b) { return a.first > b.first; });
    for (const auto& [start, id] : found) {
      if (traces.size() >= query.limit) break;
      if (!seen.insert(id).second) continue;
      if (cancelled && cancelled())
        return net::Error{net::Code::canceled, net::Side::downstream, false, "search cancelled"};
      auto one = trace(id);
      if (!one) return std::move(one).error();
      const auto fits = [&query](const StoredSpan& span) { return span_fits(span, query); };
      if (std::any_of(one->spans.begin(), one->spans.end(), fits))
        traces.push_back(std::move(one).value());
    }
  }
  return traces;
}

}  // namespace

std::unique_ptr<SpanStore> make_span_store() { return std::make_unique<ColumnarSpanStore>(); }

}  // namespace hms::collector
