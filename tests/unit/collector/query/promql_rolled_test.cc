// Functions over time asked of a store whose days are rolled up, against the definitions applied to
// all points.
#include <doctest/doctest.h>

#include <bit>
#include <map>
#include <random>

#include "tests/unit/collector/query/memory_source.h"
#include "tests/unit/collector/store/series_fixture.h"

using namespace hms::collector;
using namespace hms::collector::promql;

namespace {

constexpr int64_t kHour = 3'600'000;
constexpr int64_t kPast = kNow / kDay * kDay - 3 * kDay;

/// Two and a half days: a gauge, a counter that begins again, one of things that are no numbers, a
/// rare one, a histogram, and one that changes its kind; gaps and stale markers in all.
void fill(Fixture& f, std::mt19937_64& random) {
  double visits = 0;
  for (int64_t t = kPast; t < kPast + 60 * kHour; t += 600'000) {
    if (random() % 40 == 0) continue;
    Batch batch;
    for (int64_t u = t; u < t + 600'000; u += 20'000) {
      const int64_t at = u + static_cast<int64_t>(random() % 3) * 5'000;
      const uint64_t dice = random() % 600;
      if (dice == 0) visits = 0;
      visits += static_cast<double>(random() % 4);
      batch.gauge("level", at, 1e6 + static_cast<double>(random() % 1000) / 1000);
      batch.gauge("visits", at, visits);
      batch.gauge("odd", at, dice == 1 ? std::nan("") : dice == 2 ? HUGE_VAL : visits);
      if (dice == 3) batch.gauge("level", at + 1, 0).stale();
      if (dice < 20) batch.gauge("rare", at, visits);
      batch.histogram("took", u - 20'000, u, {0.1 + static_cast<double>(random() % 10)});
      if (u < kPast + 20 * kHour)
        batch.gauge("both_seconds", at, 2);
      else
        batch.histogram("both", u - 20'000, u, {0.5});
    }
    f.put(std::move(batch), t + 600'000);
  }
}

bool close(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b || std::fabs(a - b) <= 1e-9 * std::max(std::fabs(a), std::fabs(b)) + 1e-12;
}

/// What a function makes of the numbers of one window; `histograms` of it stand in the same window.
std::optional<double> plain(const std::string& function, const std::vector<double>& values,
                            size_t histograms) {
  const auto n = static_cast<long double>(values.size());
  if (function == "count_over_time") return static_cast<double>(values.size() + histograms);
  if (values.empty()) return std::nullopt;
  const bool of_all_kinds = function != "stddev_over_time" && function != "stdvar_over_time";
  if (histograms > 0 && of_all_kinds) return std::nullopt;
  long double sum = 0;
  double changes = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    sum += static_cast<long double>(values[i]);
    if (i > 0 && values[i] != values[i - 1] &&
        !(std::isnan(values[i]) && std::isnan(values[i - 1])))
      ++changes;
  }
  if (function == "sum_over_time") return static_cast<double>(sum);
  if (function == "avg_over_time") return static_cast<double>(sum / n);
  if (function == "changes") return changes;
  long double squares = 0;
  for (const double value : values) {
    const long double distance = static_cast<long double>(value) - sum / n;
    squares += distance * distance;
  }
  const auto variance = static_cast<double>(squares / n);
  return function == "stdvar_over_time" ? variance : std::sqrt(variance);
}

struct Question {
  int64_t range, offset, start, end, step;
};

/// Every step of every series against its definition.
void check(const Fixture& f, const PromqlEngine& engine, const std::string& function,
           const Question& q) {
  for (const char* name : {"level", "visits", "odd", "rare", "took_seconds", "both_seconds"}) {
    const std::string text = function + "(" + name + "[" + std::to_string(q.range / 1000) +
                             "s] offset " + std::to_string(q.offset / 1000) + "s)";
    CAPTURE(text);
    const auto value = engine.range(**parse(text), q.start, q.end, q.step, engine.defaults());
    REQUIRE(value.ok());
    std::map<int64_t, double> got;
    for (const MatrixSeries& row : value->matrix) {
      for (const Sample& sample : row.samples) got[sample.t_millis] = sample.value;
    }
    const Series all = f.select(name).front();
    for (int64_t t = q.start; t <= q.end; t += q.step) {
      const int64_t end = t - q.offset;
      const auto inside = [&](int64_t at) { return at > end - q.range && at <= end; };
      std::vector<double> values;
      for (const Sample& sample : all.samples) {
        if (inside(sample.t_millis) && !is_absent(sample.value)) values.push_back(sample.value);
      }
      const auto histograms = static_cast<size_t>(
          std::count_if(all.histograms.begin(), all.histograms.end(),
                        [&](const HistogramSample& one) { return inside(one.t_millis); }));
      if (values.empty() && histograms == 0) {
        CHECK_FALSE(got.contains(t));
        continue;
      }
      if (function == "changes" && histograms > 0) continue;  // of histograms: each differs
      const auto wanted = plain(function, values, histograms);
      REQUIRE(got.contains(t) == wanted.has_value());
      if (wanted) CHECK_MESSAGE(close(got[t], *wanted), got[t], " at ", t, ", not ", *wanted);
    }
  }
}

}  // namespace

TEST_CASE(
    "promql: functions that a roll-up's sums can answer are what all points make of them, rolled "
    "up or not") {
  std::mt19937_64 random(41);
  Fixture f;
  fill(f, random);
  const PromqlEngine engine(*f.store);
  const auto check_all = [&] {
    for (const char* function : {"sum_over_time", "avg_over_time", "count_over_time", "changes",
                                 "stddev_over_time", "stdvar_over_time"}) {
      for (const Question& q : {Question{kHour, 0, kPast, kPast + 70 * kHour, kHour},
                                {24 * kHour, 0, kPast + 24 * kHour, kPast + 60 * kHour, 2 * kHour},
                                {7 * kHour, kHour, kPast, kPast + 60 * kHour, 3 * kHour},
                                {600'000, 0, kPast, kPast + 5 * kHour, 600'000},
                                {5'000'000, 7'000, kPast + 1, kPast + 40 * kHour, 10'000'000},
                                {30 * kHour, 0, kPast + 50'123'456, kPast + 50'123'456, 1000},
                                {90'000, 0, kPast + 77, kPast + kHour, 30'000}})
        check(f, engine, function, q);
    }
  };
  check_all();
  f.seal();
  for (int step = 0; step < 20; ++step) f.maintain(kNow + 11 * 365 * kDay);
  f.maintain(kNow);
  REQUIRE(f.keys(0x35) > 0);
  check_all();
  f.put(Batch().gauge("level", kPast + 5 * kHour + 1, 1e7));
  check_all();
}

TEST_CASE("promql: rates of classic series are those of the histograms that they are made of") {
  std::mt19937_64 random(5);
  Fixture f;
  // Rare and irregular, so that how close together the points stand decides how far a rate reaches.
  for (int64_t t = kPast; t < kPast + 60 * kHour; t += 1'000 * (1 + random() % 300)) {
    if (random() % 200 == 0) t += kHour;
    f.put(Batch().histogram("took", t - 1'000, t, {0.1 + static_cast<double>(random() % 3)}), t);
  }
  const PromqlEngine engine(*f.store);
  const auto answers = [&](const std::string& text, int64_t step) {
    const auto value =
        engine.range(**parse(text), kPast, kPast + 70 * kHour, step, engine.defaults());
    REQUIRE(value.ok());
    REQUIRE(value->matrix.size() == 1);
    return value->matrix.front().samples;
  };
  const auto check_all = [&] {
    for (const auto& [range, step] : {std::pair<const char*, int64_t>{"30m", 300'000},
                                      {"30m", 60'000},
                                      {"1h", kHour},
                                      {"90m", 27'000},
                                      {"12h", 2 * kHour},
                                      {"7m", 420'000}}) {
      for (const char* function : {"increase", "rate"}) {
        const std::string call = std::string(function) + "(took_seconds";
        const auto native = answers("histogram_count(" + call + "[" + range + "]))", step);
        for (const char* name : {"_count", "_bucket{le=\"+Inf\"}"}) {
          const auto classic = answers(call + name + "[" + range + "])", step);
          REQUIRE(classic.size() == native.size());
          size_t different = 0;
          for (size_t i = 0; i < native.size(); ++i)
            different += close(classic[i].value, native[i].value) ? 0 : 1;
          const std::string which = call + name + "[" + range + "] every " + std::to_string(step);
          CHECK_MESSAGE(different == 0, which);
        }
        const auto sum = answers(call + "_sum[" + range + "])", step);
        const auto native_sum = answers("histogram_sum(" + call + "[" + range + "]))", step);
        REQUIRE(sum.size() == native_sum.size());
      }
    }
    // With little room for points fewer stand in, and a rate reaches about as far.
    QueryOptions few;
    few.max_samples = 4'000;
    const auto roughly = engine.range(**parse("increase(took_seconds_count[12h])"),
                                      kPast + 12 * kHour, kPast + 48 * kHour, 2 * kHour, few);
    REQUIRE(roughly.ok());
    const auto exactly = engine.range(**parse("increase(took_seconds_count[12h])"),
                                      kPast + 12 * kHour, kPast + 48 * kHour, 2 * kHour, {});
    REQUIRE(roughly->matrix.at(0).samples.size() == exactly->matrix.at(0).samples.size());
    for (size_t i = 0; i < exactly->matrix[0].samples.size(); ++i)
      CHECK(roughly->matrix[0].samples[i].value ==
            doctest::Approx(exactly->matrix[0].samples[i].value).epsilon(0.05));
    const auto deviation = answers("stddev_over_time(took_seconds_count[4m])", 60'000);
    const auto of_all =
        answers("stddev_over_time((last_over_time(took_seconds_count[1s]))[4m:1s])", 60'000);
    CHECK(deviation.size() == of_all.size());
    for (size_t i = 0; i < std::min(deviation.size(), of_all.size()); ++i)
      CHECK(close(deviation[i].value, of_all[i].value));
  };
  check_all();
  f.seal();
  for (int step = 0; step < 20; ++step) f.maintain(kNow + 11 * 365 * kDay);
  f.maintain(kNow);
  check_all();
}

TEST_CASE("promql: equal values deviate by nothing, also when they are read as sums") {
  MemorySource source;
  source.load(10'000, "constant 0.1x20000", 1);
  const std::string answer = ask(source, "stddev_over_time(constant[12h])", 86'400'000);
  CHECK(answer == "{} 0");
  CHECK(ask(source, "changes(constant[12h])", 86'400'000) == "{} 0");
}
