#include "collector/store/damage_told.h"

#include <algorithm>
#include <set>
#include <string>

#include "collector/store/family_name.h"
#include "collector/store/forwarding.h"
#include "net/core/time_units.h"

namespace hms::collector {
namespace {

using net::Result;

/// Unix seconds that a damaged file's records lie in. A log's: at most the day before its damage
/// was met, since it is cut long before.
std::pair<uint64_t, uint64_t> seconds_of(const Damage& damage) {
  if (damage.family == Family::meta())
    return {damage.unix_seconds - std::min(damage.unix_seconds, net::kSecondsPerDay),
            damage.unix_seconds};
  const uint64_t begin = damage.family.day * net::kSecondsPerDay;
  return {begin, begin + net::kSecondsPerDay};
}

/// What is to be said of an answer about (begin, end], each sentence once.
std::vector<std::string> sentences(const DamageList& list, uint64_t begin_nanos,
                                   uint64_t end_nanos) {
  std::set<std::string> out;
  for (const Damage& damage : list()) {
    const auto [from, to] = seconds_of(damage);
    if (from > end_nanos / net::kNanosPerSecond || to <= begin_nanos / net::kNanosPerSecond)
      continue;
    out.insert("records of " + family_text(damage.family) + " may be missing: the damaged file " +
               damage.file + " was set aside");
  }
  return {out.begin(), out.end()};
}

void append(std::vector<std::string>& to, std::vector<std::string> more) {
  to.insert(to.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

class TellingSpans final : public Forwarding<SpanStore> {
 public:
  TellingSpans(SpanStore& store, DamageList damage)
      : Forwarding(store), damage_(std::move(damage)) {}

  Result<Trace> trace(const telemetry::TraceId& id) const override {
    auto found = hot_.trace(id);
    if (!found.ok() || found->spans.empty()) return found;
    const uint64_t near = found->spans.front().start_unix_nanos;
    append(found->warnings, sentences(damage_, near, near));
    return found;
  }
  Result<std::vector<Trace>> search(const TraceQuery& query,
                                    const std::function<bool()>& cancelled) const override {
    auto found = hot_.search(query, cancelled);
    // A list has no place of its own for a warning.
    if (found.ok() && !found->empty()) {
      append(found->front().warnings,
             sentences(damage_, query.start_unix_nanos,
                       query.end_unix_nanos == 0 ? UINT64_MAX : query.end_unix_nanos));
    }
    return found;
  }
  uint64_t answer_bytes() const noexcept override { return hot_.answer_bytes(); }
  std::vector<std::string> services() const override { return hot_.services(); }
  std::vector<std::pair<std::string, std::string>> operations(
      const std::string& service) const override {
    return hot_.operations(service);
  }

 private:
  const DamageList damage_;
};

class TellingLogs final : public Forwarding<LogStore> {
 public:
  TellingLogs(LogStore& store, DamageList damage) : Forwarding(store), damage_(std::move(damage)) {}

  Result<LogPage> search(const LogQuery& query,
                         const std::function<bool()>& cancelled) const override {
    auto page = hot_.search(query, cancelled);
    if (page.ok())
      append(page->warnings,
             sentences(damage_, query.start_unix_nanos,
                       query.end_unix_nanos == 0 ? UINT64_MAX : query.end_unix_nanos));
    return page;
  }

 private:
  const DamageList damage_;
};

class TellingSeries final : public SeriesSource {
 public:
  TellingSeries(const SeriesSource& store, DamageList damage)
      : store_(store), damage_(std::move(damage)) {}

  Result<std::vector<Series>> select(const std::vector<LabelMatcher>& matchers, int64_t start,
                                     int64_t end, const SelectLimits& limits) const override {
    if (limits.warn) {
      for (const std::string& sentence : sentences(damage_, nanos(start), nanos(end)))
        limits.warn(sentence);
    }
    return store_.select(matchers, start, end, limits);
  }
  Result<std::vector<LabelSet>> series(const std::vector<LabelMatcher>& matchers, int64_t start,
                                       int64_t end, const SelectLimits& limits) const override {
    return store_.series(matchers, start, end, limits);
  }
  std::vector<MetricMetadata> metadata() const override { return store_.metadata(); }
  Result<std::vector<ExemplarSeries>> exemplars(const std::vector<LabelMatcher>& matchers,
                                                int64_t start, int64_t end,
                                                const SelectLimits& limits) const override {
    return store_.exemplars(matchers, start, end, limits);
  }

 private:
  static uint64_t nanos(int64_t millis) {
    constexpr auto kMost = static_cast<int64_t>(INT64_MAX / net::kNanosPerMilli);
    return static_cast<uint64_t>(std::clamp<int64_t>(millis, 0, kMost)) * net::kNanosPerMilli;
  }

  const SeriesSource& store_;
  const DamageList damage_;
};

}  // namespace

std::unique_ptr<SpanStore> tell_damage(SpanStore& store, DamageList damage) {
  return std::make_unique<TellingSpans>(store, std::move(damage));
}
std::unique_ptr<LogStore> tell_damage(LogStore& store, DamageList damage) {
  return std::make_unique<TellingLogs>(store, std::move(damage));
}
std::unique_ptr<SeriesSource> tell_damage(const SeriesSource& store, DamageList damage) {
  return std::make_unique<TellingSeries>(store, std::move(damage));
}

}  // namespace hms::collector
