// federated.cc: one rule for errors, for traces, lines, series and the map alike. What the hot
// store cannot say is the answer's error. What a part of the lake cannot say is a warning: in the
// answer's own list, or with the first trace where the answer is a list of traces. Where nothing is
// left that could carry the warning, it is the error (unavailable, 503). Never is it left out.
#include "collector/lake/federated.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_set>

#include "collector/lake/lake_questions.h"
#include "collector/lake/lake_scan.h"
#include "collector/lake/steadily.h"
#include "collector/store/forwarding.h"
#include "collector/store/series_classic.h"
#include "collector/store/series_head.h"
#include "net/core/clock.h"
#include "net/core/time_units.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

// ---------------------------------------------------------------- spans

class FederatedSpans final : public Forwarding<SpanStore> {
 public:
  FederatedSpans(SpanStore& hot, const Lake& lake) : Forwarding(hot), lake_(lake) {}

  Result<Trace> trace(const telemetry::TraceId& id) const override {
    if (lake_.empty()) return hot_.trace(id);
    return steadily(lake_, [&] {
      LakeWarnings warnings;
      SpanRoom room(answer_bytes());
      auto trace = joined(id, room, warnings);
      if (!trace.ok()) return trace;
      for (const std::string& sentence : warnings.sentences())
        trace.value().warnings.push_back(sentence);
      if (!trace.value().spans.empty()) return trace;
      if (warnings.sentences().empty()) return hot_.trace(id);  // says that there is none
      return Result<Trace>(
          nothing_but(warnings, "trace " + telemetry::to_hex(id) + " is not among the hot days"));
    });
  }

  Result<std::vector<Trace>> search(const TraceQuery& query,
                                    const std::function<bool()>& cancelled) const override {
    if (lake_.empty()) return hot_.search(query, cancelled);
    return steadily(lake_, [&] { return searched(query, cancelled); });
  }

  uint64_t answer_bytes() const noexcept override { return hot_.answer_bytes(); }
  std::vector<std::string> services() const override {
    std::vector<std::string> out = hot_.services();
    for (std::string& service : lake_services(lake_)) out.push_back(std::move(service));
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
  }
  std::vector<std::pair<std::string, std::string>> operations(
      const std::string& service) const override {
    return hot_.operations(service);
  }

 private:
  /// Adds what the lake has of the trace. Some spans of it may be there already.
  void add_lake_part(Trace& trace, SpanRoom& room, LakeWarnings& warnings) const {
    std::optional<uint32_t> near_day;
    if (!trace.spans.empty()) near_day = first_day(trace);
    room.begin(trace);
    lake_trace(lake_, trace, room, near_day, warnings);
    room.finish(trace);
  }

  /// Without spans if there are none. Errors: the hot store's.
  Result<Trace> joined(const telemetry::TraceId& id, SpanRoom& room, LakeWarnings& warnings) const {
    auto hot = hot_.trace(id);
    if (!hot.ok() && hot.error().code != Code::not_found) return hot;
    Trace trace;
    if (hot.ok()) trace = std::move(hot).value();
    trace.id = id;
    room.charge(trace.spans);
    add_lake_part(trace, room, warnings);
    return trace;
  }

  static Error nothing_but(const LakeWarnings& warnings, const std::string& what) {
    return Error{Code::unavailable, net::Side::upstream, true,
                 what + ", and " + warnings.sentences().front()};
  }
  static uint32_t first_day(const Trace& trace) {
    return static_cast<uint32_t>(trace.spans.front().start_unix_nanos / net::kNanosPerDay);
  }

  /// Whether a trace of the hot days may go on in the lake: a span's parent is not there, or it
  /// came within an hour of a day that is. Most traces of a search are neither, and cost nothing.
  static bool reaches_lake(const Trace& trace, const std::vector<uint32_t>& days) {
    constexpr uint64_t kNear = 3'600'000'000'000ULL;
    const uint64_t first = trace.spans.front().start_unix_nanos;
    const uint64_t last = trace.spans.back().start_unix_nanos;  // by start
    const auto within = [&](uint64_t distance) {
      return std::any_of(days.begin(), days.end(), [&](uint32_t day) {
        return day_touches(day, first - std::min(first, distance),
                           last + std::min(UINT64_MAX - last, distance));
      });
    };
    if (within(kNear)) return true;
    if (!within(net::kNanosPerDay)) return false;
    std::unordered_set<telemetry::SpanId> here;
    for (const StoredSpan& span : trace.spans) here.insert(span.span_id);
    return std::any_of(trace.spans.begin(), trace.spans.end(), [&here](const StoredSpan& span) {
      return !span.parent_span_id.is_zero() && !here.contains(span.parent_span_id);
    });
  }

  Result<std::vector<Trace>> searched(const TraceQuery& query,
                                      const std::function<bool()>& cancelled) const {
    auto hot = hot_.search(query, cancelled);
    if (!hot.ok()) return hot;
    std::vector<Trace> out = std::move(hot).value();
    LakeWarnings warnings;
    auto hits = lake_search(lake_, query, cancelled, warnings);
    if (!hits.ok()) return std::move(hits).error();
    if (auto added = add_lake_parts(out, hits.value(), cancelled, warnings); !added.ok())
      return std::move(added).error();
    std::stable_sort(out.begin(), out.end(), [](const Trace& a, const Trace& b) {
      return a.spans.front().start_unix_nanos > b.spans.front().start_unix_nanos;
    });
    if (out.size() > query.limit) out.resize(query.limit);
    if (out.empty() && !warnings.sentences().empty())
      return nothing_but(warnings, "no trace was found among the hot days");
    if (!out.empty()) {
      for (const std::string& sentence : warnings.sentences())
        out.front().warnings.push_back(sentence);
    }
    return out;
  }

  /// Makes whole what was found in the hot days, and adds what was found in the lake only. A look
  /// into the lake for each of at most `limit` traces of both.
  Result<void> add_lake_parts(std::vector<Trace>& traces, const std::vector<LakeTraceHit>& hits,
                              const std::function<bool()>& cancelled,
                              LakeWarnings& warnings) const {
    const std::vector<uint32_t> days = lake_.days();
    std::unordered_set<telemetry::TraceId> left;
    for (const LakeTraceHit& hit : hits) left.insert(hit.id);
    const auto stopped = [&] { return cancelled && cancelled(); };
    const Error cancel{Code::canceled, net::Side::downstream, false, "search cancelled"};
    SpanRoom room(answer_bytes());
    for (const Trace& trace : traces) room.charge(trace.spans);
    std::set<uint32_t> unreadable_near;  // a lake that does not answer is not asked for each trace
    for (Trace& trace : traces) {
      const bool hit = left.erase(trace.id) > 0;
      if (!hit && !reaches_lake(trace, days)) continue;
      if (stopped()) return cancel;
      const uint32_t day = first_day(trace);
      if (unreadable_near.contains(day)) continue;
      LakeWarnings own;
      add_lake_part(trace, room, own);
      if (!own.sentences().empty()) unreadable_near.insert(day);
      for (const std::string& sentence : own.sentences()) warnings.add(sentence);
    }
    for (const LakeTraceHit& hit : hits) {
      if (left.erase(hit.id) == 0) continue;
      if (stopped()) return cancel;
      if (room.full()) {
        warnings.add(room.list_cut());
        break;
      }
      auto whole = joined(hit.id, room, warnings);
      if (!whole.ok()) return std::move(whole).error();
      if (!whole.value().spans.empty()) traces.push_back(std::move(whole).value());
    }
    return {};
  }

  const Lake& lake_;
};

// ---------------------------------------------------------------- the service map

class FederatedEdges final : public Forwarding<ServiceEdgeStore> {
 public:
  FederatedEdges(ServiceEdgeStore& hot, const Lake& lake) : Forwarding(hot), lake_(lake) {}

  Result<ServiceMap> totals(uint64_t start, uint64_t end,
                            const std::function<bool()>& cancelled) const override {
    // A day of the lake has no calls that ended after it.
    const std::vector<uint32_t> days = lake_.days();
    if (days.empty() || days.back() < start / net::kNanosPerDay)
      return hot_.totals(start, end, cancelled);
    return steadily(lake_, [&] { return joined(start, end, cancelled); });
  }

 private:
  Result<ServiceMap> joined(uint64_t start, uint64_t end,
                            const std::function<bool()>& cancelled) const {
    auto hot = hot_.totals(start, end, cancelled);
    if (!hot.ok()) return hot;
    EdgeSum sum(start, end);
    LakeWarnings warnings;
    if (auto read = lake_edges(lake_, start, end, cancelled, sum, warnings); !read.ok())
      return std::move(read).error();
    for (const ServiceEdge& edge : hot->edges)
      sum.add_whole({edge.from, edge.to}, edge.requests, edge.errors, edge.duration);
    return ServiceMap{sum.take(), warnings.sentences()};
  }

  const Lake& lake_;
};

// ---------------------------------------------------------------- series

class FederatedSeries final : public SeriesSource {
 public:
  FederatedSeries(const SeriesSource& hot, const Lake& lake) : hot_(hot), lake_(lake) {}

  Result<std::vector<Series>> select(const std::vector<LabelMatcher>& matchers, int64_t start,
                                     int64_t end, const SelectLimits& limits) const override {
    if (!reaches_lake(start, end)) return hot_.select(matchers, start, end, limits);
    return steadily(lake_, [&] { return selected(matchers, start, end, limits); });
  }

  Result<std::vector<LabelSet>> series(const std::vector<LabelMatcher>& matchers, int64_t start,
                                       int64_t end, const SelectLimits& limits) const override {
    if (!reaches_lake(start, end)) return hot_.series(matchers, start, end, limits);
    return steadily(lake_, [&] { return listed(matchers, start, end, limits); });
  }

  std::vector<MetricMetadata> metadata() const override { return hot_.metadata(); }
  /// Of the hot days: exemplars lead to traces, and are not kept in the lake.
  Result<std::vector<ExemplarSeries>> exemplars(const std::vector<LabelMatcher>& matchers,
                                                int64_t start, int64_t end,
                                                const SelectLimits& limits) const override {
    return hot_.exemplars(matchers, start, end, limits);
  }

 private:
  bool reaches_lake(int64_t start, int64_t end) const {
    const std::vector<uint32_t> days = lake_.days();
    return std::any_of(days.begin(), days.end(), [&](uint32_t day) {
      const int64_t begin = static_cast<int64_t>(day) * net::kMillisPerDay;
      return begin <= end && begin + net::kMillisPerDay > start;
    });
  }

  static void tell(const SelectLimits& limits, const LakeWarnings& warnings) {
    if (!limits.warn) return;
    for (const std::string& sentence : warnings.sentences()) limits.warn(sentence);
  }

  Result<std::vector<Series>> lake_points(const std::vector<LabelMatcher>& matchers, int64_t start,
                                          int64_t end, const SelectLimits& limits,
                                          bool points) const {
    LakeWarnings warnings;
    auto found = lake_series(lake_, matchers, start, end, limits, points, warnings);
    if (found.ok() && found.value().empty()) {
      auto compiled = compile_matchers(matchers);
      if (!compiled.ok()) return std::move(compiled).error();
      if (auto classic = classic_question(compiled.value()); classic) {
        auto inner = lake_series(lake_, classic->matchers, start, end, limits, true, warnings);
        if (!inner.ok()) return inner;
        for (const Series& histogram : inner.value()) {
          if (histogram.histograms.empty()) continue;
          for (Series& made : classic_series(histogram, classic->name, classic->bounds))
            found.value().push_back(std::move(made));
        }
      }
    }
    tell(limits, warnings);
    return found;
  }

  Result<std::vector<Series>> selected(const std::vector<LabelMatcher>& matchers, int64_t start,
                                       int64_t end, const SelectLimits& asked) const {
    // A day that is in both is joined point by point.
    SelectLimits limits = asked;
    limits.sums = {};
    auto hot = hot_.select(matchers, start, end, limits);
    if (!hot.ok()) return hot;
    auto cold = lake_points(matchers, start, end, limits, true);
    if (!cold.ok()) return cold;
    std::map<LabelSet, Series> all;
    for (auto* part : {&cold.value(), &hot.value()}) {
      for (Series& one : *part) {
        Series& into = all[one.labels];
        into.samples.insert(into.samples.end(), one.samples.begin(), one.samples.end());
        into.histograms.insert(into.histograms.end(), one.histograms.begin(), one.histograms.end());
      }
    }
    std::vector<Series> out;
    for (auto& [labels, series] : all) {
      series.labels = labels;
      merge_points(series.samples, series.histograms);
      out.push_back(std::move(series));
    }
    return out;
  }

  Result<std::vector<LabelSet>> listed(const std::vector<LabelMatcher>& matchers, int64_t start,
                                       int64_t end, const SelectLimits& limits) const {
    auto hot = hot_.series(matchers, start, end, limits);
    if (!hot.ok()) return hot;
    auto cold = lake_points(matchers, start, end, limits, false);
    if (!cold.ok()) return std::move(cold).error();
    std::vector<LabelSet> out = std::move(hot).value();
    for (Series& one : cold.value()) out.push_back(std::move(one.labels));
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
  }

  const SeriesSource& hot_;
  const Lake& lake_;
};

}  // namespace

std::unique_ptr<SpanStore> federate_spans(SpanStore& hot, const Lake& lake) {
  return std::make_unique<FederatedSpans>(hot, lake);
}
std::unique_ptr<ServiceEdgeStore> federate_edges(ServiceEdgeStore& hot, const Lake& lake) {
  return std::make_unique<FederatedEdges>(hot, lake);
}
std::unique_ptr<SeriesSource> federate_series(const SeriesSource& hot, const Lake& lake) {
  return std::make_unique<FederatedSeries>(hot, lake);
}

}  // namespace hms::collector
