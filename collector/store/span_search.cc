#include "collector/store/span_search.h"

#include <algorithm>
#include <set>

#include "collector/store/span_index.h"
#include "collector/store/span_match.h"

namespace hms::collector {

using telemetry::SpanView;
using telemetry::TraceId;

namespace {

constexpr size_t kPage = 64;           // summaries that may fit, read at a time
constexpr size_t kReadAtOnce = 4'096;  // summaries between two looks whether somebody still waits

net::Error cancelled_error() {
  return {net::Code::canceled, net::Side::downstream, false, "search cancelled"};
}

/// Where the summaries of a service since `newest_start` begin.
std::string summaries_since(std::string_view service, uint64_t newest_start) {
  return trace_summary_key(service, newest_start, 0);
}

}  // namespace

SpanSearch::SpanSearch(const SpanReader& reader, const TraceQuery& query,
                       const std::function<bool()>& cancelled)
    : reader_(reader), query_(query), cancelled_(cancelled), summaries_(query) {
  for (const auto& [key, value] : query.tags) tags_.need_attribute(key, value);
}

net::Result<std::vector<Trace>> SpanSearch::run(SpanRoom& room) {
  auto days = reader_.reader_->days();
  // A day's family may hold spans that began elsewhere in time (family_of): the index keeps their
  // own times, so every day is asked until there are enough.
  for (auto day = days.rbegin(); day != days.rend() && found_.size() < query_.limit; ++day) {
    look_into_head(*day);
    if (const auto looked = look_into_chunks(*day); !looked) return looked.error();
  }
  std::sort(found_.begin(), found_.end(),
            [](const Found& a, const Found& b) { return a.start > b.start; });
  std::vector<Trace> traces;
  for (const Found& found : found_) {
    if (traces.size() >= query_.limit) break;
    if (cancelled_ && cancelled_()) return cancelled_error();
    auto one = reader_.trace(found.id, room);
    if (!one) return std::move(one).error();
    if (!one->spans.empty()) traces.push_back(std::move(one).value());
    if (room.full()) break;
  }
  if (room.full() && traces.size() < std::min<size_t>(found_.size(), query_.limit))
    traces.front().warnings.push_back(room.list_cut());
  return traces;
}

void SpanSearch::found(uint64_t start, const TraceId& id) {
  if (seen_.insert(id).second) found_.push_back({start, id});
}

void SpanSearch::look_into_head(Family day) {
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
bool SpanSearch::full_beyond(uint64_t newest) {
  if (found_.size() < query_.limit) return false;
  const auto last = found_.begin() + static_cast<ptrdiff_t>(query_.limit) - 1;
  std::nth_element(found_.begin(), last, found_.end(),
                   [](const Found& a, const Found& b) { return a.start > b.start; });
  return last->start >= newest;
}

/// Those that the query names, or all of the day: keys are by service first.
net::Result<std::vector<SpanSearch::Service>> SpanSearch::services_of(Family day) const {
  std::vector<Service> services;
  const auto add = [&](std::string_view name) {
    services.push_back({summaries_since(name, query_.start_unix_nanos),
                        prefix_end(trace_summary_prefix(name)),
                        {},
                        0});
  };
  if (!query_.service.empty()) {
    add(query_.service);
    return services;
  }
  std::string next = trace_summary_prefix("");
  const std::string end = prefix_end(next);
  for (bool more = true; more;) {
    more = false;
    std::string name;
    const auto scanned =
        reader_.reader_->scan(day, next, end, [&](std::string_view key, std::string_view) {
          SummaryKeyParts parts;
          more = true;
          next = std::string(key) + '\0';  // past one that is no summary's
          if (parse_summary_key(key, parts)) {
            // The prefix of a nameless service would be that of all.
            next = prefix_end(table_key(Table::trace_summary) + std::string(parts.service) + '\0');
            services.push_back(
                {summaries_since(parts.service, query_.start_unix_nanos), next, {}, 0});
          }
          return false;
        });
    if (!scanned) return scanned.error();
  }
  return services;
}

/// Reads on until there is a page of summaries that may fit, or no more.
net::Result<void> SpanSearch::fill(Family day, Service& service) {
  service.page.clear();
  service.next = 0;
  while (service.page.empty() && service.begin != service.end) {
    if (cancelled_ && cancelled_()) return cancelled_error();
    size_t read = 0;
    std::string last = service.begin;  // none is left, unless the scan ends before
    const auto scanned = reader_.reader_->scan(
        day, service.begin, service.end,
        [&](std::string_view key, std::string_view value) {
          SummaryKeyParts parts;
          if (parse_summary_key(key, parts) && summaries_.may_fit(value, parts.newest_start))
            service.page.push_back({parts.newest_start, parts.chunk});
          if (service.page.size() < kPage && ++read < kReadAtOnce) return true;
          last = key;
          return false;
        },
        true);
    if (!scanned) return scanned;
    service.end = last;
  }
  return {};
}

net::Result<void> SpanSearch::look_into_chunks(Family day) {
  auto services = services_of(day);
  if (!services) return std::move(services).error();
  std::set<uint32_t> looked_at;  // a chunk has many services
  for (;;) {
    Service* newest = nullptr;
    for (Service& service : *services) {
      if (service.next == service.page.size() && !service.ended()) {
        if (auto filled = fill(day, service); !filled) return filled;
      }
      if (service.ended()) continue;
      if (newest == nullptr ||
          service.page[service.next].newest > newest->page[newest->next].newest)
        newest = &service;
    }
    if (newest == nullptr) return {};
    const Summary summary = newest->page[newest->next++];
    if (full_beyond(summary.newest)) return {};
    if (!looked_at.insert(summary.chunk).second) continue;
    if (auto looked = look_at_chunk(day, summary.chunk); !looked) return looked;
  }
}

net::Result<void> SpanSearch::look_at_chunk(Family day, uint32_t number) {
  if (cancelled_ && cancelled_()) return cancelled_error();
  if (!filter_allows(day, number)) return {};
  return reader_.with_chunk(
      day, number, [&](SpanChunk& chunk, const SpanChunk::ReadIds& ids) -> net::Result<void> {
        auto hits = chunk.find(query_, ids);
        if (!hits) return std::move(hits).error();
        for (const SpanHit& hit : *hits) found(hit.start_unix_nanos, hit.id);
        return {};
      });
}

bool SpanSearch::filter_allows(Family day, uint32_t chunk) const {
  if (tags_.empty()) return true;
  const auto filter = reader_.reader_->get(day, chunk_number_key(Table::span_filter, chunk));
  return !filter || tags_.may_match(*filter);
}

}  // namespace hms::collector
