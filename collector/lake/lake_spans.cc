// lake_spans.cc: traces of the lake: by id through the trace index, searches through the columns
// that the question names.
#include <algorithm>
#include <map>
#include <set>

#include "collector/lake/attributes_json.h"
#include "collector/lake/lake_questions.h"
#include "collector/lake/lake_scan.h"
#include "collector/store/span_match.h"
#include "net/core/time_units.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;
namespace at = span_column;

/// Days in the order in which the trace is likely there: near the time that a version 7 UUID
/// names, else newest first.
std::vector<uint32_t> days_for(const Lake& lake, const telemetry::TraceId& id) {
  std::vector<uint32_t> days = lake.days();
  std::reverse(days.begin(), days.end());
  if ((id.bytes[6] >> 4) != 7 || (id.bytes[8] >> 6) != 2) return days;
  uint64_t millis = 0;
  for (size_t i = 0; i < 6; ++i) millis = millis << 8 | id.bytes[i];
  const auto hint = static_cast<int64_t>(millis / net::kMillisPerDay);
  std::stable_sort(days.begin(), days.end(), [hint](uint32_t a, uint32_t b) {
    return std::abs(a - hint) < std::abs(b - hint);
  });
  return days;
}

bool adjacent(uint32_t a, uint32_t b) { return a < b ? b - a <= 1 : a - b <= 1; }

/// Rows of one row group that fit a search.
class GroupSearch {
 public:
  GroupSearch(const TraceQuery& query, const LakeGroup& group) : query_(query), group_(group) {}

  /// Calls `hit(start, trace id)`. Errors: those of the file.
  template <class Hit>
  Result<void> run(const Hit& hit) {
    if (auto read = load(); !read.ok()) return read;
    const auto rows = static_cast<size_t>(group_.meta().rows);
    for (size_t i = 0; i < rows; ++i) {
      if (!fits(i)) continue;
      const auto id = telemetry::parse_trace_id(columns_[at::trace_id].texts[i]);
      if (id) hit(static_cast<uint64_t>(columns_[at::start].integers[i]), *id);
    }
    return {};
  }

 private:
  Result<void> load() {
    columns_.resize(group_.file->meta().columns.size());
    std::vector<size_t> needed{at::service, at::start, at::trace_id};
    if (!query_.operation.empty()) needed.push_back(at::name);
    if (query_.min_duration_nanos > 0 || query_.max_duration_nanos > 0)
      needed.push_back(at::duration);
    if (query_.error) needed.push_back(at::status);
    if (!query_.tags.empty()) {
      needed.push_back(at::attributes);
      needed.push_back(at::resource);
    }
    for (const size_t column : needed) {
      auto values = group_.file->read(group_.index, column);
      if (!values.ok()) return std::move(values).error();
      columns_[column] = std::move(values).value();
    }
    return {};
  }

  bool fits(size_t i) const {
    if (!start_fits(query_, static_cast<uint64_t>(columns_[at::start].integers[i]))) return false;
    const auto text = [&](size_t column) {
      return columns_[column].texts.empty() ? std::string_view() : columns_[column].texts[i];
    };
    const int64_t duration =
        columns_[at::duration].integers.empty() ? 0 : columns_[at::duration].integers[i];
    return span_fits(query_,
                     {text(at::service), text(at::name), text(at::status) == "error",
                      static_cast<uint64_t>(std::max<int64_t>(duration, 0))},
                     [&](std::string_view key, std::string_view wanted) {
                       return json_has_attribute(text(at::attributes), key, wanted) ||
                              json_has_attribute(text(at::resource), key, wanted);
                     });
  }

  const TraceQuery& query_;
  const LakeGroup& group_;
  std::vector<ColumnValues> columns_;
};

/// The newest start of each trace that fits, as many as are asked for.
class NewestTraces {
 public:
  explicit NewestTraces(size_t limit) : limit_(limit) {}
  void add(uint64_t start, const telemetry::TraceId& id) {
    if (full() && start <= order_.begin()->first) return;
    const auto [known, added] = starts_.try_emplace(id, start);
    if (!added) {
      if (known->second >= start) return;
      order_.erase({known->second, id});
      known->second = start;
    }
    order_.emplace(start, id);
    if (order_.size() > limit_) {
      starts_.erase(order_.begin()->second);
      order_.erase(order_.begin());
    }
  }
  [[nodiscard]] bool full_beyond(uint64_t newest) const {
    return full() && newest <= order_.begin()->first;
  }
  [[nodiscard]] std::vector<LakeTraceHit> take() const {
    std::vector<LakeTraceHit> out;
    for (auto it = order_.rbegin(); it != order_.rend(); ++it)
      out.push_back({it->first, it->second});
    return out;
  }

 private:
  [[nodiscard]] bool full() const { return order_.size() >= limit_; }
  const size_t limit_;
  std::map<telemetry::TraceId, uint64_t> starts_;
  std::set<std::pair<uint64_t, telemetry::TraceId>> order_;
};

}  // namespace

void lake_trace(const Lake& lake, Trace& trace, SpanRoom& room, std::optional<uint32_t> near_day,
                LakeWarnings& warnings) {
  for (const uint32_t day : days_for(lake, trace.id)) {
    if (room.cut()) return;
    if (near_day && !adjacent(day, *near_day)) continue;
    auto manifest = lake.manifest(day);
    if (!manifest.ok()) {
      warnings.add(day, manifest.error());
      continue;
    }
    const size_t before = trace.spans.size();
    auto read = each_row_of_trace(lake, *manifest.value(), LakeTable::spans, at::trace_id, trace.id,
                                  [&](const std::vector<ColumnValues>& columns, size_t i) {
                                    return room.keep(span_of(columns, i), trace.spans);
                                  });
    if (!read.ok()) warnings.add(day, read.error());
    if (trace.spans.size() > before && !near_day) near_day = day;
  }
}

Result<std::vector<LakeTraceHit>> lake_search(const Lake& lake, const TraceQuery& query,
                                              const std::function<bool()>& cancelled,
                                              LakeWarnings& warnings) {
  NewestTraces newest(query.limit);
  uint64_t looked_at = 0;
  const auto from = static_cast<int64_t>(std::min<uint64_t>(query.start_unix_nanos, INT64_MAX));
  const auto to = static_cast<int64_t>(std::min<uint64_t>(query.end_unix_nanos, INT64_MAX));
  std::vector<uint32_t> days = lake.days();
  for (auto day = days.rbegin(); day != days.rend(); ++day) {
    auto manifest = lake.manifest(*day);
    if (!manifest.ok()) {
      if (day_touches(*day, query.start_unix_nanos, query.end_unix_nanos))
        warnings.add(*day, manifest.error());
      continue;
    }
    auto groups = groups_of(
        lake, *manifest.value(), LakeTable::spans, from, to, [&query](const RowGroupMeta& meta) {
          return (query.service.empty() || meta.columns[at::service].may_hold(query.service)) &&
                 (query.operation.empty() || meta.columns[at::name].may_hold(query.operation));
        });
    if (!groups.ok()) {
      warnings.add(*day, groups.error());
      continue;
    }
    for (const LakeGroup& group : groups.value()) {
      const int64_t latest = group.meta().columns[at::start].max_integer();
      if (newest.full_beyond(static_cast<uint64_t>(latest))) break;
      if (cancelled && cancelled())
        return Error{Code::canceled, net::Side::downstream, false, "search cancelled"};
      looked_at += static_cast<uint64_t>(group.meta().rows);
      if (looked_at > kMaxRowsLookedAt) {
        warnings.add("the search ended after " + std::to_string(kMaxRowsLookedAt) +
                     " rows of the lake; older traces may be missing: ask a shorter time");
        return newest.take();
      }
      auto searched =
          GroupSearch(query, group).run([&newest](uint64_t start, const telemetry::TraceId& id) {
            newest.add(start, id);
          });
      if (!searched.ok()) warnings.add(*day, searched.error());
    }
  }
  return newest.take();
}

std::vector<std::string> lake_services(const Lake& lake) {
  std::set<std::string> out;
  for (const uint32_t day : lake.days()) {
    if (auto manifest = lake.manifest(day); manifest.ok())
      out.insert(manifest.value()->services.begin(), manifest.value()->services.end());
  }
  return {out.begin(), out.end()};
}

}  // namespace hms::collector
