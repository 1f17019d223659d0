#include "collector/store/span_reader.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <tuple>

#include "collector/store/chunk_filter.h"
#include "collector/store/span_chunk.h"
#include "collector/store/span_index.h"
#include "collector/store/span_summary.h"

namespace hms::collector {

using telemetry::SpanStatus;
using telemetry::SpanView;
using telemetry::TraceBatch;
using telemetry::TraceId;

namespace {

constexpr size_t kMaxSummariesPerSearch = 200'000;

bool has_tag(const TraceBatch& batch, const SpanView& span,
             const std::pair<std::string, std::string>& tag) {
  return has_attribute(batch, span.attributes, tag.first, tag.second) ||
         has_attribute(batch, batch.resources[span.resource].attributes, tag.first, tag.second);
}

bool span_fits(const TraceBatch& batch, const SpanView& span, const TraceQuery& query) {
  if (!query.service.empty() && batch.resources[span.resource].service_name != query.service)
    return false;
  if (!query.operation.empty() && span.name != query.operation) return false;
  if (query.error && (span.status == SpanStatus::error) != *query.error) return false;
  const uint64_t duration =
      span.end_unix_nanos > span.start_unix_nanos ? span.end_unix_nanos - span.start_unix_nanos : 0;
  if (query.min_duration_nanos > 0 && duration < query.min_duration_nanos) return false;
  if (query.max_duration_nanos > 0 && duration > query.max_duration_nanos) return false;
  return std::all_of(query.tags.begin(), query.tags.end(),
                     [&](const auto& tag) { return has_tag(batch, span, tag); });
}

/// Sorts by time, drops what came twice (a sender without batch identities that tried again).
void finish_trace(Trace& trace) {
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

net::Error cancelled_error() {
  return {net::Code::canceled, net::Side::downstream, false, "search cancelled"};
}

}  // namespace

SpanReader::SpanReader(std::shared_ptr<const KvReader> reader, SpanHeads heads,
                       SpanChunkCache& cache)
    : reader_(std::move(reader)), heads_(std::move(heads)), cache_(cache) {
  std::erase_if(heads_, [this](const auto& entry) {
    const auto& [day, head] = entry;
    return !reader_->get(day, chunk_number_key(Table::span_head, head.chunks.front().number)).ok();
  });
}

net::Result<SpanReader::Chunk> SpanReader::open(Family day, uint32_t chunk) const {
  const SpanChunkCache::Key key{day, {0, chunk}};
  if (auto cached = cache_.find(key)) return cached;
  const auto stored = reader_->get(day, chunk_number_key(Table::span_chunk, chunk));
  if (!stored) return stored.error();
  auto opened = decode_span_chunk(*stored);
  if (opened) cache_.put(key, *opened);
  return opened;
}

net::Result<void> SpanReader::read_day(Family day, const TraceId& id, Trace& trace) const {
  const auto add = [&trace](const TraceBatch& batch, const SpanView& span) {
    if (trace.spans.size() >= SpanStore::kMaxSpansPerTrace)
      trace.cut = true;
    else
      trace.spans.push_back(stored_span(batch, span));
    return !trace.cut;
  };
  std::vector<uint32_t> chunks;
  const std::string prefix = trace_index_prefix(id);
  const auto scanned =
      reader_->scan(day, prefix, prefix_end(prefix), [&](std::string_view key, std::string_view) {
        if (key.size() == prefix.size() + 4) chunks.push_back(read_be32(key.substr(prefix.size())));
        return true;
      });
  if (!scanned) return scanned;
  for (const uint32_t number : chunks) {
    const auto chunk = open(day, number);
    if (!chunk) return chunk.error();
    const auto [first, last] = rows_of_trace(**chunk, id);
    for (size_t row = first; row < last; ++row) {
      if (!add(**chunk, (*chunk)->spans[row])) return {};
    }
  }
  const auto head = heads_.find(day);
  if (head == heads_.end()) return {};
  for (const auto& part : head->second.parts) {
    for (const uint32_t row : part->rows) {
      const SpanView& span = part->batch->spans[row];
      if (span.trace_id == id && !add(*part->batch, span)) return {};
    }
  }
  return {};
}

net::Result<Trace> SpanReader::trace(const TraceId& id) const {
  Trace trace;
  trace.id = id;
  auto days = reader_->days();
  for (auto day = days.rbegin(); day != days.rend() && !trace.cut; ++day) {
    if (const auto read = read_day(*day, id, trace); !read) return read.error();
  }
  if (trace.spans.empty()) {
    return net::Error{net::Code::not_found, net::Side::self, false,
                      "no span of trace " + telemetry::to_hex(id) + " is stored"};
  }
  finish_trace(trace);
  return trace;
}

// ---------------------------------------------------------------- search

/// Finds the newest traces that fit, day by day from the last one: in the head first, then in the
/// chunks whose summaries and filters do not rule them out.
class SpanSearch {
 public:
  SpanSearch(const SpanReader& reader, const TraceQuery& query,
             const std::function<bool()>& cancelled)
      : reader_(reader), query_(query), cancelled_(cancelled) {
    for (const auto& [key, value] : query.tags) tags_.need_attribute(key, value);
  }

  net::Result<std::vector<Trace>> run() {
    auto days = reader_.reader_->days();
    // A day's family may hold spans that began elsewhere in time (family_of): the index keeps their
    // own times, so every day is asked until there are enough.
    for (auto day = days.rbegin(); day != days.rend() && found_.size() < query_.limit; ++day) {
      look_into_head(*day);
      if (const auto looked = look_into_chunks(*day); !looked) return looked.error();
    }
    std::sort(found_.begin(), found_.end(), newer);
    std::vector<Trace> traces;
    for (const Found& found : found_) {
      if (traces.size() >= query_.limit) break;
      if (cancelled_ && cancelled_()) return cancelled_error();
      auto one = reader_.trace(found.id);
      if (!one) return std::move(one).error();
      traces.push_back(std::move(one).value());
    }
    return traces;
  }

 private:
  struct Found {
    uint64_t start = 0;
    TraceId id;
  };
  static bool newer(const Found& a, const Found& b) { return a.start > b.start; }

  void found(uint64_t start, const TraceId& id) {
    if (seen_.insert(id).second) found_.push_back({start, id});
  }

  void look_into_head(Family day) {
    const auto head = reader_.heads_.find(day);
    if (head == reader_.heads_.end()) return;
    std::map<TraceId, uint64_t> fitting;
    for (const auto& part : head->second.parts) {
      for (const uint32_t row : part->rows) {
        const SpanView& span = part->batch->spans[row];
        if (span.start_unix_nanos < query_.start_unix_nanos ||
            span.start_unix_nanos > query_.end_unix_nanos || !span_fits(*part->batch, span, query_))
          continue;
        auto& start = fitting.try_emplace(span.trace_id, UINT64_MAX).first->second;
        start = std::min(start, span.start_unix_nanos);
      }
    }
    for (const auto& [id, start] : fitting) found(start, id);
  }

  /// True once no trace that began at `newest` or before can be among the newest.
  bool full_beyond(uint64_t newest) {
    if (found_.size() < query_.limit) return false;
    const auto last = found_.begin() + static_cast<ptrdiff_t>(query_.limit) - 1;
    std::nth_element(found_.begin(), last, found_.end(), newer);
    return last->start >= newest;
  }

  net::Result<void> look_into_chunks(Family day) {
    return query_.service.empty() ? look_at_every_service(day) : look_at_one_service(day);
  }

  net::Result<void> look_at_one_service(Family day) {
    const std::string prefix = trace_summary_prefix(query_.service);
    net::Result<void> inner;
    const auto scanned = reader_.reader_->scan(
        day, prefix, prefix_end(prefix),
        [&](std::string_view key, std::string_view value) {
          SummaryKeyParts parts;
          if (!parse_summary_key(key, parts)) return true;
          if (parts.newest_start < query_.start_unix_nanos || full_beyond(parts.newest_start))
            return false;
          inner = look_at_summary(day, parts, value);
          return inner.ok() && ++summaries_ <= kMaxSummariesPerSearch;
        },
        true);
    return scanned ? inner : scanned;
  }

  /// Keys are by service first, so the newest are found by going over all.
  net::Result<void> look_at_every_service(Family day) {
    struct Summary {
      SummaryKeyParts parts;
      std::string value;
    };
    std::vector<Summary> summaries;
    const std::string prefix = trace_summary_prefix("");
    const auto scanned = reader_.reader_->scan(
        day, prefix, prefix_end(prefix), [&](std::string_view key, std::string_view value) {
          SummaryKeyParts parts;
          if (parse_summary_key(key, parts) && parts.newest_start >= query_.start_unix_nanos) {
            parts.service = {};
            summaries.push_back({parts, std::string(value)});
          }
          return ++summaries_ <= kMaxSummariesPerSearch;
        });
    if (!scanned) return scanned;
    std::sort(summaries.begin(), summaries.end(), [](const Summary& a, const Summary& b) {
      return a.parts.newest_start > b.parts.newest_start;
    });
    for (const Summary& summary : summaries) {
      if (full_beyond(summary.parts.newest_start)) break;
      if (auto looked = look_at_summary(day, summary.parts, summary.value); !looked) return looked;
    }
    return {};
  }

  net::Result<void> look_at_summary(Family day, const SummaryKeyParts& parts,
                                    std::string_view value) {
    if (cancelled_ && cancelled_()) return cancelled_error();
    auto hits = summary_hits(value, parts.newest_start, query_);
    if (hits.empty() || !filter_allows(day, parts.chunk)) return {};
    const auto chunk = reader_.open(day, parts.chunk);
    if (!chunk) return chunk.error();
    std::sort(hits.begin(), hits.end(), [](const SummaryHit& a, const SummaryHit& b) {
      return a.start_unix_nanos > b.start_unix_nanos;
    });
    size_t enough = 0;
    for (const SummaryHit& hit : hits) {
      if (hit.row >= (*chunk)->spans.size()) continue;
      const TraceId& id = (*chunk)->spans[hit.row].trace_id;
      if (!trace_fits(**chunk, id)) continue;
      found(hit.start_unix_nanos, id);
      if (++enough >= query_.limit) break;  // these are the newest of this chunk
    }
    return {};
  }

  bool trace_fits(const TraceBatch& chunk, const TraceId& id) const {
    const auto [first, last] = rows_of_trace(chunk, id);
    for (size_t row = first; row < last; ++row) {
      if (span_fits(chunk, chunk.spans[row], query_)) return true;
    }
    return false;
  }

  bool filter_allows(Family day, uint32_t chunk) {
    if (tags_.empty()) return true;
    const auto [it, added] = allowed_.try_emplace({day, chunk}, true);
    if (added) {
      const auto filter = reader_.reader_->get(day, chunk_number_key(Table::span_filter, chunk));
      it->second = !filter || tags_.may_match(*filter);
    }
    return it->second;
  }

  const SpanReader& reader_;
  const TraceQuery& query_;
  const std::function<bool()>& cancelled_;
  FilterQuestion tags_;
  std::vector<Found> found_;
  std::unordered_set<TraceId> seen_;
  std::map<std::pair<Family, uint32_t>, bool> allowed_;
  size_t summaries_ = 0;
};

net::Result<std::vector<Trace>> SpanReader::search(const TraceQuery& query,
                                                   const std::function<bool()>& cancelled) const {
  return SpanSearch(*this, query, cancelled).run();
}

}  // namespace hms::collector
