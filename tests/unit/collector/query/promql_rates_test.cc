// rate() and its kin a whole series at once (eval_rates.cc) against the same windows one by one,
// and answers made by several threads against those of one.
#include <doctest/doctest.h>

#include <bit>
#include <random>

#include "tests/unit/collector/query/memory_source.h"

using namespace hms::collector;
using namespace hms::collector::promql;

namespace {

/// Counters with gaps, resets, a late beginning, jitter, stale markers and things that are no
/// numbers.
MemorySource counters(uint32_t seed, int series_count) {
  std::mt19937 random(seed);
  const auto below = [&](uint32_t n) { return static_cast<int64_t>(random() % n); };
  MemorySource source;
  for (int s = 0; s < series_count; ++s) {
    Series series;
    series.labels = {{"__name__", "requests_total"}, {"series", std::to_string(1000 + s)}};
    double value = static_cast<double>(below(50));
    int64_t t = below(400'000);
    while (t < 3'600'000) {
      const int64_t dice = below(40);
      if (dice == 0) value = static_cast<double>(below(3));
      if (dice == 1) t += below(900'000);
      if (dice == 2)
        series.samples.push_back({t, absent_value()});
      else
        series.samples.push_back({t, dice == 3 ? std::nan("") : value});
      value += static_cast<double>(below(dice < 20 ? 3 : 100)) / 2;
      t += 10'000 + (s % 3 == 0 ? below(2000) : 0);
    }
    source.add(std::move(series));
  }
  return source;
}

Value range_of(const SeriesSource& source, const std::string& text, QueryOptions options = {}) {
  const PromqlEngine engine(source);
  auto value = engine.range(**parse(text), 300'000, 3'900'000, 45'000, options);
  REQUIRE(value.ok());
  return std::move(*value);
}

bool same_rows(const Value& a, const Value& b) {
  if (a.matrix.size() != b.matrix.size()) return false;
  for (size_t r = 0; r < a.matrix.size(); ++r) {
    const auto& left = a.matrix[r];
    const auto& right = b.matrix[r];
    if (left.labels != right.labels || left.samples.size() != right.samples.size()) return false;
    for (size_t i = 0; i < left.samples.size(); ++i) {
      if (left.samples[i].t_millis != right.samples[i].t_millis ||
          std::bit_cast<uint64_t>(left.samples[i].value) !=
              std::bit_cast<uint64_t>(right.samples[i].value))
        return false;
    }
  }
  return true;
}

}  // namespace

TEST_CASE("promql: a rate over a range is, to the bit, the rate asked for at each step alone") {
  size_t compared = 0;
  for (uint32_t seed = 1; seed <= 5; ++seed) {
    const MemorySource source = counters(seed, 12);
    for (const char* function : {"rate", "increase", "delta"}) {
      for (const char* window : {"25s", "2m", "17m"}) {
        const std::string head = std::string(function) + "(requests_total[" + window + "]";
        const Value all = range_of(source, head + ")");
        const PromqlEngine engine(source);
        for (const MatrixSeries& row : all.matrix) {
          for (const Sample& sample : row.samples) {
            // A fixed time goes the way of all other functions.
            const std::string one = std::string(function) + "(requests_total{series=\"" +
                                    row.labels.back().second + "\"}[" + window + "] @ " +
                                    number_text(static_cast<double>(sample.t_millis) / 1000) + ")";
            const auto alone = engine.instant(one, 0);
            REQUIRE(alone.ok());
            REQUIRE(alone->vector.size() == 1);
            const double expected = alone->vector[0].value;
            const bool same =
                std::bit_cast<uint64_t>(expected) == std::bit_cast<uint64_t>(sample.value) ||
                (std::isnan(expected) && std::isnan(sample.value));
            if (!same) INFO(one);
            REQUIRE(same);
            ++compared;
          }
        }
      }
    }
  }
  CHECK(compared > 10'000);
}

TEST_CASE("promql: several threads give the answer of one") {
  const MemorySource source = counters(7, 300);
  const auto executor = make_executor(3, 100);
  QueryOptions together;
  together.parallel = make_parallel_for(*executor, 3);
  for (const char* text :
       {"rate(requests_total[5m])", "sum(rate(requests_total[5m]))",
        "max_over_time(requests_total[10m])", "quantile_over_time(0.5, requests_total[5m])",
        "topk(3, avg_over_time(requests_total[2m]))", "requests_total"})
    CHECK_MESSAGE(same_rows(range_of(source, text), range_of(source, text, together)), text);
}

TEST_CASE("promql: a question that is cancelled ends on all its threads") {
  const MemorySource source = counters(7, 300);
  const auto executor = make_executor(3, 100);
  QueryOptions options;
  options.parallel = make_parallel_for(*executor, 3);
  std::atomic<int> asked{0};
  options.cancelled = [&] { return ++asked > 320; };
  const PromqlEngine engine(source);
  const auto value =
      engine.range(**parse("rate(requests_total[5m])"), 300'000, 3'900'000, 45'000, options);
  REQUIRE_FALSE(value.ok());
  CHECK(value.error().code == hms::net::Code::canceled);
}
