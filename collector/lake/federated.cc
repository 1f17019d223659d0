#include "collector/lake/federated.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <map>
#include <set>
#include <thread>
#include <tuple>
#include <unordered_set>

#include "collector/lake/lake_questions.h"
#include "collector/store/forwarding.h"
#include "collector/store/series_classic.h"
#include "collector/store/series_head.h"
#include "net/core/clock.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

constexpr int kAttempts = 4;  // days move minutes apart
constexpr int kMovePatience = 5'000;
constexpr uint64_t kNanosPerDay = 86'400'000'000'000ULL;

/// Asks until no day moved meanwhile.
template <class Ask>
auto steadily(const Lake& lake, const Ask& ask) {
  for (int attempt = 1;; ++attempt) {
    uint64_t before = lake.version();
    for (int waited = 0; before % 2 != 0 && waited < kMovePatience; ++waited) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));  // dropping a day takes a few
      before = lake.version();
    }
    auto answer = ask();
    if (lake.version() == before || attempt == kAttempts) return answer;
  }
}

// ---------------------------------------------------------------- spans

/// Each span once, by start, as the hot store gives them.
void tidy(Trace& trace) {
  std::set<std::tuple<telemetry::SpanId, telemetry::SpanKind, std::string>> seen;
  std::erase_if(trace.spans, [&seen](const StoredSpan& span) {
    return !seen.emplace(span.span_id, span.kind, span.service).second;
  });
  std::stable_sort(trace.spans.begin(), trace.spans.end(), [](const auto& a, const auto& b) {
    return a.start_unix_nanos < b.start_unix_nanos;
  });
  for (const StoredSpan& span : trace.spans) {
    if (trace.x_trace.empty()) trace.x_trace = span.trace_text;
  }
}

class FederatedSpans final : public Forwarding<SpanStore> {
 public:
  FederatedSpans(SpanStore& hot, const Lake& lake) : Forwarding(hot), lake_(lake) {}

  Result<Trace> trace(const telemetry::TraceId& id) const override {
    if (lake_.empty()) return hot_.trace(id);
    return steadily(lake_, [&] { return joined(id); });
  }

  Result<std::vector<Trace>> search(const TraceQuery& query,
                                    const std::function<bool()>& cancelled) const override {
    if (lake_.empty()) return hot_.search(query, cancelled);
    return steadily(lake_, [&] { return searched(query, cancelled); });
  }

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
  Result<Trace> joined(const telemetry::TraceId& id) const {
    auto hot = hot_.trace(id);
    if (!hot.ok() && hot.error().code != Code::not_found) return hot;
    const Error not_hot = hot.ok() ? Error{} : hot.error();
    Trace trace;
    if (hot.ok()) trace = std::move(hot).value();
    trace.id = id;
    std::optional<uint32_t> near_day;
    if (!trace.spans.empty())
      near_day = static_cast<uint32_t>(trace.spans.front().start_unix_nanos / kNanosPerDay);
    LakeWarnings warnings;
    lake_trace(lake_, trace, near_day, warnings);
    trace.warnings = warnings.sentences();
    if (!trace.spans.empty()) {
      tidy(trace);
      return trace;
    }
    if (trace.warnings.empty()) return not_hot;
    return Error{Code::unavailable, net::Side::upstream, true,
                 "trace " + telemetry::to_hex(id) + " is not among the hot days, and " +
                     trace.warnings.front()};
  }

  Result<std::vector<Trace>> searched(const TraceQuery& query,
                                      const std::function<bool()>& cancelled) const {
    auto hot = hot_.search(query, cancelled);
    if (!hot.ok()) return hot;
    std::vector<Trace> out = std::move(hot).value();
    LakeWarnings warnings;
    auto hits = lake_search(lake_, query, cancelled, warnings);
    if (!hits.ok()) return std::move(hits).error();
    std::unordered_set<telemetry::TraceId> known;
    for (const Trace& trace : out) known.insert(trace.id);
    for (const LakeTraceHit& hit : hits.value()) {
      if (!known.insert(hit.id).second) continue;
      if (cancelled && cancelled())
        return Error{Code::canceled, net::Side::downstream, false, "search cancelled"};
      auto whole = joined(hit.id);
      if (whole.ok()) out.push_back(std::move(whole).value());
    }
    std::stable_sort(out.begin(), out.end(), [](const Trace& a, const Trace& b) {
      return a.spans.front().start_unix_nanos > b.spans.front().start_unix_nanos;
    });
    if (out.size() > query.limit) out.resize(query.limit);
    // A list has no place of its own for a warning.
    if (out.empty() && !warnings.sentences().empty())
      return Error{Code::unavailable, net::Side::upstream, true,
                   "no trace was found among the hot days, and " + warnings.sentences().front()};
    if (!out.empty()) {
      for (const std::string& sentence : warnings.sentences())
        out.front().warnings.push_back(sentence);
    }
    return out;
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
    if (days.empty() || days.back() < start / kNanosPerDay)
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

// ---------------------------------------------------------------- logs

// A cursor over both: "l.<time>.<day>.<row>.<the hot store's own, or empty>", numbers hexadecimal.
// What the hot store gave alone stays its own.
constexpr std::string_view kCursorMark = "l.";

struct LogCursor {
  LakeLogPlace place;
  std::string hot;
};

std::string cursor_text(const LogCursor& cursor) {
  std::string out(kCursorMark);
  for (const uint64_t part : {cursor.place.time, uint64_t{cursor.place.day}, cursor.place.row}) {
    char digits[20];
    const auto [end, error] = std::to_chars(digits, digits + sizeof digits, part, 16);
    out.append(digits, end);
    out += '.';
  }
  return out + cursor.hot;
}

std::optional<LogCursor> parse_cursor(std::string_view text) {
  LogCursor out;
  if (text.substr(0, kCursorMark.size()) != kCursorMark) {
    out.hot = text;
    return out;
  }
  text.remove_prefix(kCursorMark.size());
  uint64_t parts[3] = {};
  for (uint64_t& part : parts) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), part, 16);
    if (error != std::errc() || end == text.data() + text.size() || *end != '.')
      return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()) + 1);
  }
  if (parts[1] > UINT32_MAX) return std::nullopt;
  out.place = {parts[0], static_cast<uint32_t>(parts[1]), parts[2]};
  out.hot = text;
  return out;
}

// The hot store's cursor of "nothing is left there": kept apart from "from the beginning".
constexpr std::string_view kHotEnded = "end";

class FederatedLogs final : public Forwarding<LogStore> {
 public:
  FederatedLogs(LogStore& hot, const Lake& lake) : Forwarding(hot), lake_(lake) {}

  Result<LogPage> search(const LogQuery& query,
                         const std::function<bool()>& cancelled) const override {
    if (lake_.empty()) return hot_.search(query, cancelled);
    return steadily(lake_, [&] { return searched(query, cancelled); });
  }

 private:
  Result<LogPage> searched(const LogQuery& asked, const std::function<bool()>& cancelled) const {
    LogQuery query = asked;
    query.limit = std::clamp<uint32_t>(query.limit, 1, 5'000);
    if (query.end_unix_nanos == 0) query.end_unix_nanos = UINT64_MAX;
    const auto cursor = parse_cursor(query.cursor);
    if (!cursor)
      return Error{Code::bad_message, net::Side::downstream, false,
                   "cursor is not one that /ops/logs gave"};
    LogPage hot;
    if (cursor->hot != kHotEnded) {
      query.cursor = cursor->hot;
      auto page = hot_.search(query, cancelled);
      if (!page.ok()) return page;
      hot = std::move(page).value();
    }
    LakeWarnings warnings;
    auto lines = lake_logs(lake_, query, cursor->place, query.limit + 1, cancelled, warnings);
    if (!lines.ok()) return std::move(lines).error();
    auto joined = join(query, *cursor, std::move(hot), std::move(lines).value(), cancelled);
    if (joined.ok()) joined.value().warnings = warnings.sentences();
    return joined;
  }

  /// The newest `limit` of both, and where to go on.
  Result<LogPage> join(LogQuery& query, const LogCursor& cursor, LogPage hot,
                       std::vector<std::pair<LakeLogPlace, StoredLog>> lake,
                       const std::function<bool()>& cancelled) const {
    LogPage out;
    size_t from_hot = 0, from_lake = 0;
    while (out.logs.size() < query.limit &&
           (from_hot < hot.logs.size() || from_lake < lake.size())) {
      const bool take_hot = from_lake == lake.size() ||
                            (from_hot < hot.logs.size() &&
                             hot.logs[from_hot].time_unix_nanos >= lake[from_lake].first.time);
      if (take_hot)
        out.logs.push_back(std::move(hot.logs[from_hot++]));
      else
        out.logs.push_back(std::move(lake[from_lake++].second));
    }
    const bool hot_left = from_hot < hot.logs.size() || !hot.cursor.empty();
    if (!hot_left && from_lake == lake.size()) return out;
    LogCursor next = cursor;
    if (from_lake > 0) next.place = lake[from_lake - 1].first;
    if (!hot_left) {
      next.hot = kHotEnded;
    } else if (from_hot == hot.logs.size()) {
      next.hot = hot.cursor;
    } else if (from_hot > 0) {
      // Its cursor names the end of a page: ask for a page that ends where we did.
      query.limit = static_cast<uint32_t>(from_hot);
      auto shorter = hot_.search(query, cancelled);
      if (!shorter.ok()) return shorter;
      next.hot = shorter.value().cursor;
    }
    out.cursor = cursor_text(next);
    return out;
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
    constexpr int64_t kDay = 86'400'000;
    const std::vector<uint32_t> days = lake_.days();
    return std::any_of(days.begin(), days.end(), [&](uint32_t day) {
      const int64_t begin = static_cast<int64_t>(day) * kDay;
      return begin <= end && begin + kDay > start;
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
std::unique_ptr<LogStore> federate_logs(LogStore& hot, const Lake& lake) {
  return std::make_unique<FederatedLogs>(hot, lake);
}
std::unique_ptr<ServiceEdgeStore> federate_edges(ServiceEdgeStore& hot, const Lake& lake) {
  return std::make_unique<FederatedEdges>(hot, lake);
}
std::unique_ptr<SeriesSource> federate_series(const SeriesSource& hot, const Lake& lake) {
  return std::make_unique<FederatedSeries>(hot, lake);
}

}  // namespace hms::collector
