#include "collector/store/span_reader.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <tuple>

#include "collector/store/chunk_filter.h"
#include "collector/store/span_index.h"
#include "collector/store/span_match.h"
#include "collector/store/span_summary.h"

namespace hms::collector {

using telemetry::SpanView;
using telemetry::TraceId;

namespace {

constexpr size_t kMaxSummariesPerSearch = 200'000;

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

net::Result<SpanReader::Chunk> SpanReader::open(const SpanChunkCache::Key& key) const {
  if (auto cached = cache_.find(key)) return cached;
  auto stored = reader_->get(key.first, chunk_number_key(Table::span_chunk, key.second.second));
  if (!stored) return std::move(stored).error();
  return SpanChunk::open(std::move(stored).value());
}

template <class Use>
net::Result<void> SpanReader::with_chunk(Family day, uint32_t number, const Use& use) const {
  const SpanChunkCache::Key key{day, {0, number}};
  const auto chunk = open(key);
  if (!chunk) return chunk.error();
  auto used =
      use(**chunk, [&] { return reader_->get(day, chunk_number_key(Table::span_ids, number)); });
  cache_.put(key, *chunk, (*chunk)->bytes());
  return used;
}

net::Result<void> SpanReader::read_day(Family day, const TraceId& id, Trace& trace) const {
  // One more than there is room for, to know whether the trace was cut.
  const auto room = [&] { return SpanStore::kMaxSpansPerTrace + 1 - trace.spans.size(); };
  std::vector<uint32_t> chunks;
  const std::string prefix = trace_index_prefix(id);
  const auto scanned =
      reader_->scan(day, prefix, prefix_end(prefix), [&](std::string_view key, std::string_view) {
        if (key.size() == prefix.size() + 4) chunks.push_back(read_be32(key.substr(prefix.size())));
        return true;
      });
  if (!scanned) return scanned;
  for (const uint32_t number : chunks) {
    const auto read = with_chunk(day, number, [&](SpanChunk& chunk, const auto& ids) {
      return chunk.trace(id, ids, room(), trace.spans);
    });
    if (!read) return read;
    if (room() == 0) break;
  }
  if (const auto head = heads_.find(day); head != heads_.end()) {
    for (const auto& part : head->second.parts) {
      for (const uint32_t row : part->rows) {
        const SpanView& span = part->batch->spans[row];
        if (span.trace_id == id && room() > 0)
          trace.spans.push_back(stored_span(*part->batch, span));
      }
    }
  }
  if (room() > 0) return {};
  trace.cut = true;
  trace.spans.pop_back();
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
        if (!start_fits(query_, span.start_unix_nanos) || !span_fits(*part->batch, span, query_))
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
          if (summary_may_fit(value, parts.newest_start, query_))
            inner = look_at_chunk(day, parts.chunk);
          return inner.ok() && ++summaries_ <= kMaxSummariesPerSearch;
        },
        true);
    return scanned ? inner : scanned;
  }

  /// Keys are by service first, so the newest are found by going over all; each chunk is looked at
  /// once, whichever of its services may have what is asked for.
  net::Result<void> look_at_every_service(Family day) {
    std::map<uint32_t, uint64_t> newest;
    const std::string prefix = trace_summary_prefix("");
    const auto scanned = reader_.reader_->scan(
        day, prefix, prefix_end(prefix), [&](std::string_view key, std::string_view value) {
          SummaryKeyParts parts;
          if (parse_summary_key(key, parts) && parts.newest_start >= query_.start_unix_nanos &&
              summary_may_fit(value, parts.newest_start, query_)) {
            uint64_t& of = newest[parts.chunk];
            of = std::max(of, parts.newest_start);
          }
          return ++summaries_ <= kMaxSummariesPerSearch;
        });
    if (!scanned) return scanned;
    std::vector<std::pair<uint64_t, uint32_t>> chunks;
    for (const auto& [chunk, start] : newest) chunks.emplace_back(start, chunk);
    std::sort(chunks.rbegin(), chunks.rend());
    for (const auto& [start, chunk] : chunks) {
      if (full_beyond(start)) break;
      if (auto looked = look_at_chunk(day, chunk); !looked) return looked;
    }
    return {};
  }

  net::Result<void> look_at_chunk(Family day, uint32_t number) {
    if (cancelled_ && cancelled_()) return cancelled_error();
    if (!filter_allows(day, number)) return {};
    return reader_.with_chunk(day, number,
                              [&](SpanChunk& chunk, const auto& ids) -> net::Result<void> {
                                auto hits = chunk.find(query_, ids);
                                if (!hits) return std::move(hits).error();
                                for (const SpanHit& hit : *hits)
                                  found(hit.start_unix_nanos, hit.id);
                                return {};
                              });
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
