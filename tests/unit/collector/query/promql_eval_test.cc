// What PromQL expressions come to, on series small enough to check by hand.
#include <doctest/doctest.h>

#include <cmath>

#include "collector/query/promql/shared_results.h"
#include "tests/unit/collector/query/memory_source.h"

using namespace hms::collector;
using namespace hms::collector::promql;

namespace {

constexpr int64_t kMinute = 60'000;

MemorySource web() {
  MemorySource source;
  source.load(10'000, "requests_total{job=\"api\",code=\"200\"} 0+10x180");
  source.load(10'000, "requests_total{job=\"api\",code=\"500\"} 0+1x180");
  source.load(10'000, "requests_total{job=\"web\",code=\"200\"} 0+20x180");
  source.load(10'000, "limit{job=\"api\"} 1000x180");
  return source;
}

/// A cumulative histogram every 10 s to which `per_step` observations of 0.1 s and one of 2 s are
/// added each time.
Series histogram_series(const std::string& name, int per_step, int steps) {
  Series series;
  series.labels = MemorySource::labels_of(name);
  hms::telemetry::Histogram total;
  for (int i = 0; i <= steps; ++i) {
    if (i > 0) {
      for (int n = 0; n < per_step; ++n) total.record(0.1);
      total.record(2.0);
    }
    series.histograms.push_back({i * 10'000, std::make_shared<hms::telemetry::Histogram>(total)});
  }
  return series;
}

}  // namespace

TEST_CASE(
    "promql: what questions of one moment have in common is asked of the source once, and answers "
    "stay the same") {
  struct Counting : MemorySource {
    hms::net::Result<std::vector<Series>> select(const std::vector<LabelMatcher>& matchers,
                                                 int64_t start, int64_t end,
                                                 const SelectLimits& limits) const override {
      ++selections;
      return MemorySource::select(matchers, start, end, limits);
    }
    mutable int selections = 0;
  };
  Counting source;
  source.load(10'000, "requests_total{job=\"api\",code=\"200\"} 0+10x180");
  source.load(10'000, "requests_total{job=\"web\",code=\"500\"} 0+1x180");
  const std::vector<std::string> questions = {
      "sum by (job) (rate(requests_total[5m])) > 0 unless sum by (job) (rate(requests_total[5m])) "
      "> 100",
      "sum(rate(requests_total[5m])) / count(rate(requests_total[5m]))",
      "rate(requests_total{code=\"500\"}[5m])", "requests_total"};
  const auto answers = [&](QueryOptions options) {
    std::vector<std::string> out;
    for (const std::string& question : questions) {
      const PromqlEngine engine(source);
      const auto value = engine.instant(**parse(question), 1'700'000, options);
      REQUIRE(value.ok());
      for (const VectorElement& element : value->vector)
        out.push_back(labels_text(element.labels) + std::to_string(element.value));
    }
    return out;
  };
  const auto alone = answers({});
  CHECK(source.selections == 6);
  source.selections = 0;
  QueryOptions options;
  options.shared_results = std::make_shared<SharedResults>(1'700'000);
  for (const std::string& question : questions) options.shared_results->note(**parse(question));
  CHECK(answers(options) == alone);
  CHECK(source.selections == 3);
}

TEST_CASE("promql: a long chain of operators is worked out from the left") {
  const MemorySource source = web();
  std::string sum = "0";
  std::string either = "requests_total{code=\"500\"}";
  for (int i = 1; i <= 3000; ++i) sum += i % 2 == 0 ? " - 1" : " + 2";
  for (int i = 0; i < 500; ++i) either += " or absent_" + std::to_string(i);
  CHECK(ask(source, sum, 0) == "1500");
  CHECK(ask(source, "count(" + either + ")", kMinute) == "{} 1");
}

TEST_CASE("promql: scalars need no data") {
  const MemorySource source;
  CHECK(ask(source, "1+1", 4000) == "2");
  CHECK(ask(source, "7 % 4 ^ 2 - 1", 0) == "6");
  CHECK(ask(source, "1 / 0", 0) == "+Inf");
  CHECK(ask(source, "-0 / 0 == bool 1", 0) == "0");
  CHECK(ask(source, "time()", 12'345) == "12.345");
  CHECK(ask(source, "\"text\"", 0) == "\"text\"");
  CHECK(ask(source, "vector(3) > 2", 0) == "{} 3");
  CHECK(ask(source, "2 < vector(3)", 0) == "{} 3");
  CHECK(ask(source, "scalar(vector(3)) * pi()", 0) == "9.42477796076938");
}

TEST_CASE(
    "promql: an instant selector looks back five minutes, left-open, and stops at a stale marker") {
  MemorySource source;
  source.load(kMinute, "a 1 2 3 stale _ 5");
  CHECK(ask(source, "a", 0) == "{__name__=\"a\"} 1");
  CHECK(ask(source, "a", 2 * kMinute + 59'999) == "{__name__=\"a\"} 3");
  CHECK(ask(source, "a", 3 * kMinute) == "");
  CHECK(ask(source, "a", 5 * kMinute) == "{__name__=\"a\"} 5");
  CHECK(ask(source, "a", 10 * kMinute - 1) == "{__name__=\"a\"} 5");
  CHECK(ask(source, "a", 10 * kMinute) == "");
  CHECK(ask(source, "a offset 4m", 5 * kMinute) == "{__name__=\"a\"} 2");
  CHECK(ask(source, "a offset -1m", 0) == "{__name__=\"a\"} 2");
  CHECK(ask(source, "a @ 60", 50 * kMinute) == "{__name__=\"a\"} 2");
  CHECK(ask(source, "timestamp(a)", 2 * kMinute + 5) == "{} 120");
}

TEST_CASE("promql: matchers choose series") {
  const MemorySource source = web();
  CHECK(ask(source, "count(requests_total)", kMinute) == "{} 3");
  CHECK(ask(source, "count(requests_total{code!=\"200\"})", kMinute) == "{} 1");
  CHECK(ask(source, "count(requests_total{code=~\"2..|5..\"})", kMinute) == "{} 3");
  CHECK(ask(source, "count(requests_total{code!~\"5..\"})", kMinute) == "{} 2");
  CHECK(ask(source, "count({__name__=~\".*_total\",missing=\"\"})", kMinute) == "{} 3");
}

TEST_CASE("promql: rate and increase extrapolate to the window's edges but not below zero") {
  const MemorySource source = web();
  CHECK(ask(source, "rate(requests_total{job=\"web\"}[1m])", 10 * kMinute) ==
        "{code=\"200\", job=\"web\"} 2");
  CHECK(ask(source, "increase(requests_total{job=\"web\"}[1m])", 10 * kMinute) ==
        "{code=\"200\", job=\"web\"} 120");
  // The first sample is 0: nothing is assumed before it.
  CHECK(ask(source, "increase(requests_total{job=\"web\"}[5m])", 20'000) ==
        "{code=\"200\", job=\"web\"} 40");
  CHECK(ask(source, "irate(requests_total{code=\"500\"}[1m])", 10 * kMinute) ==
        "{code=\"500\", job=\"api\"} 0.1");
  CHECK(ask(source, "rate(requests_total[5s])", 10 * kMinute) == "");
}

TEST_CASE("promql: a counter that starts anew does not count backwards") {
  MemorySource source;
  source.load(10'000, "c_total 0 10 20 30 5 15 25", 1);
  CHECK(ask(source, "increase(c_total[1m])", 60'001) ==
        "{} 54");  // 10 to 30 and 0 to 25: 45 in 50 s, drawn out to 60 s
  CHECK(ask(source, "resets(c_total[2m])", 60'001) == "{} 1");
  CHECK(ask(source, "changes(c_total[2m])", 60'001) == "{} 6");
  CHECK(ask(source, "delta(c_total[1m])", 60'001) == "{} 18");
}

TEST_CASE("promql: functions over a window of time") {
  MemorySource source;
  source.load(kMinute, "g{x=\"1\"} 1 2 3 4 10", 1);
  const int64_t t = 4 * kMinute + 1;
  CHECK(ask(source, "avg_over_time(g[5m])", t) == "{x=\"1\"} 4");
  CHECK(ask(source, "min_over_time(g[5m])", t) == "{x=\"1\"} 1");
  CHECK(ask(source, "max_over_time(g[5m])", t) == "{x=\"1\"} 10");
  CHECK(ask(source, "sum_over_time(g[3m])", t) == "{x=\"1\"} 17");
  CHECK(ask(source, "count_over_time(g[4m])", t) ==
        "{x=\"1\"} 4");  // left-open: the point at the left edge is out
  CHECK(ask(source, "last_over_time(g[5m])", t) == "{__name__=\"g\", x=\"1\"} 10");
  CHECK(ask(source, "present_over_time(g[5m])", t) == "{x=\"1\"} 1");
  CHECK(ask(source, "quantile_over_time(0.5, g[5m])", t) == "{x=\"1\"} 3");
  CHECK(ask(source, "stdvar_over_time(g[5m])", t) == "{x=\"1\"} 10");
  CHECK(ask(source, "stddev_over_time(g[5m])^2 > 9.99 < 10.01", t).find("{x=\"1\"} 10") == 0);
  CHECK(ask(source, "absent_over_time(g{x=\"2\"}[5m])", t) == "{x=\"2\"} 1");
  CHECK(ask(source, "absent_over_time(g[5m])", t) == "");
  CHECK(ask(source, "deriv(g[150s]) * 60", t) == "{x=\"1\"} 3.5");
  CHECK(ask(source, "predict_linear(g[150s], 60)", t) == "{x=\"1\"} 12.666666666666668");
  CHECK(ask(source, "g[150s]", t) == "{__name__=\"g\", x=\"1\"} 3@120001 4@180001 10@240001");
}

TEST_CASE("promql: aggregations by and without") {
  const MemorySource source = web();
  const int64_t t = 10'000;
  CHECK(ask(source, "sum(requests_total)", t) == "{} 31");
  CHECK(ask(source, "sum by (job) (requests_total)", t) == "{job=\"api\"} 11\n{job=\"web\"} 20");
  CHECK(ask(source, "max without (job) (requests_total)", t) ==
        "{code=\"200\"} 20\n{code=\"500\"} 1");
  CHECK(ask(source, "avg(requests_total)", 30'000) == "{} 31");
  CHECK(ask(source, "stdvar(requests_total{code=\"200\"})", t) == "{} 25");
  CHECK(ask(source, "group by (code) (requests_total)", t) == "{code=\"200\"} 1\n{code=\"500\"} 1");
  CHECK(ask(source, "quantile(0.5, requests_total)", t) == "{} 10");
  CHECK(ask(source, "topk(1, requests_total)", t) ==
        "{__name__=\"requests_total\", code=\"200\", job=\"web\"} 20");
  CHECK(ask(source, "bottomk by (job) (1, requests_total)", t) ==
        "{__name__=\"requests_total\", code=\"500\", job=\"api\"} 1\n{__name__=\"requests_total\", "
        "code=\"200\", job=\"web\"} 20");
  CHECK(ask(source, "count_values(\"value\", requests_total)", t) ==
        "{value=\"1\"} 1\n{value=\"10\"} 1\n{value=\"20\"} 1");
}

TEST_CASE("promql: vectors match by their labels") {
  const MemorySource source = web();
  const int64_t t = 10'000;
  CHECK(
      ask(source,
          "requests_total{code=\"500\"} / ignoring(code) requests_total{job=\"api\",code=\"200\"}",
          t) == "{job=\"api\"} 0.1");
  CHECK(ask(source, "requests_total / on(job) group_left limit", t) ==
        "{code=\"200\", job=\"api\"} 0.01\n{code=\"500\", job=\"api\"} 0.001");
  CHECK(ask(source, "limit * on(job) group_right requests_total > 2000", t) ==
        "{code=\"200\", job=\"api\"} 10000");
  CHECK(ask(source, "requests_total / on(job) limit", t)
            .find("multiple matches for labels: many-to-one matching must be explicit") == 0);
  CHECK(ask(source, "limit / on(job) requests_total", t)
            .find("found duplicate series for the match group {job=\"api\"} on the right "
                  "hand-side of the operation: [") == 0);
  // Also where nothing on the other side would match: the error must not come and go with the data.
  CHECK(ask(source,
            "limit + on(kind) label_replace(requests_total, \"kind\", \"a\", \"job\", \".*\")", t)
            .find("found duplicate series for the match group {kind=\"a\"}") == 0);
  CHECK(ask(source, "nothing + on(job) requests_total", t).empty());
  CHECK(ask(source, "requests_total > 5", t)
            .find("{__name__=\"requests_total\", code=\"200\", job=\"api\"} 10") == 0);
  CHECK(ask(source, "requests_total > bool 15", t) ==
        "{code=\"200\", job=\"api\"} 0\n{code=\"200\", job=\"web\"} 1\n{code=\"500\", job=\"api\"} "
        "0");
}

TEST_CASE("promql: set operators") {
  const MemorySource source = web();
  const int64_t t = 10'000;
  CHECK(ask(source, "count(requests_total and on(job) limit)", t) == "{} 2");
  CHECK(ask(source, "count(requests_total unless on(job) limit)", t) == "{} 1");
  CHECK(ask(source, "limit or on(job) requests_total", t) ==
        "{__name__=\"limit\", job=\"api\"} 1000\n{__name__=\"requests_total\", code=\"200\", "
        "job=\"web\"} 20");
}

TEST_CASE("promql: functions of labels") {
  const MemorySource source = web();
  CHECK(ask(source, "label_replace(limit, \"team\", \"$1-team\", \"job\", \"(a.).*\")", 0) ==
        "{__name__=\"limit\", job=\"api\", team=\"ap-team\"} 1000");
  CHECK(ask(source, "label_replace(limit, \"job\", \"\", \"job\", \".*\")", 0) ==
        "{__name__=\"limit\"} 1000");
  CHECK(ask(source, "label_join(limit, \"both\", \"/\", \"job\", \"none\", \"job\")", 0) ==
        "{__name__=\"limit\", both=\"api//api\", job=\"api\"} 1000");
  CHECK(ask(source, "label_replace(requests_total, \"code\", \"x\", \"code\", \".*\")", 0)
            .find("vector cannot contain metrics with the same labelset") == 0);
  CHECK(ask(source, "absent(nothing{a=\"b\",c=~\"d\"})", 0) == "{a=\"b\"} 1");
  CHECK(ask(source, "absent(limit)", 0) == "");
  CHECK(ask(source, "sort_desc(sum by (job) (requests_total))", 10'000) ==
        "{job=\"web\"} 20\n{job=\"api\"} 11");
}

TEST_CASE("promql: mathematics and dates") {
  const MemorySource source;
  CHECK(ask(source, "round(vector(2.55), 0.1)", 0) == "{} 2.6");
  CHECK(ask(source, "clamp(vector(7), 1, 5)", 0) == "{} 5");
  CHECK(ask(source, "clamp(vector(7), 5, 1)", 0) == "");
  CHECK(ask(source, "sgn(vector(-3))", 0) == "{} -1");
  CHECK(ask(source, "ln(vector(0))", 0) == "{} -Inf");
  CHECK(ask(source, "year() * 10000 + month() * 100 + day_of_month()", 1'709'208'000'000) ==
        "{} 20240229");
  CHECK(ask(source, "days_in_month(vector(1709208000)) + day_of_week(vector(1709208000)) / 10",
            0) == "{} 29.4");
  CHECK(ask(source, "day_of_year(vector(1709208000)) + hour(vector(1709208000)) / 100", 0) ==
        "{} 60.12");
  CHECK(ask(source, "minute(vector(-60))", 0) == "{} 59");
}

TEST_CASE("promql: sub-queries share their steps whatever the moment asked") {
  const MemorySource source = web();
  CHECK(ask(source, "max_over_time(rate(requests_total{job=\"web\"}[1m])[5m:1m])", 10 * kMinute) ==
        "{code=\"200\", job=\"web\"} 2");
  CHECK(ask(source, "count_over_time(limit[5m:1m])", 10 * kMinute + 30'000) == "{job=\"api\"} 5");
  CHECK(ask(source, "sum_over_time(vector(1)[10m:1m])", 10 * kMinute) == "{} 10");
}

TEST_CASE("promql: quantiles of classic buckets") {
  MemorySource source;
  source.load(10'000, "b_bucket{le=\"0.1\"} 0+50x30");
  source.load(10'000, "b_bucket{le=\"0.5\"} 0+80x30");
  source.load(10'000, "b_bucket{le=\"1\"} 0+100x30");
  source.load(10'000, "b_bucket{le=\"+Inf\"} 0+100x30");
  CHECK(ask(source, "histogram_quantile(0.5, rate(b_bucket[1m]))", 5 * kMinute) == "{} 0.1");
  CHECK(ask(source, "histogram_quantile(0.9, sum by (le) (rate(b_bucket[1m])))", 5 * kMinute) ==
        "{} 0.75");
  CHECK(ask(source, "histogram_quantile(2, rate(b_bucket[1m]))", 5 * kMinute) == "{} +Inf");
  CHECK(ask(source, "histogram_fraction(0, 0.5, rate(b_bucket[1m]))", 5 * kMinute) == "{} 0.8");
}

TEST_CASE("promql: exponential histograms go through rate, sum and quantile") {
  MemorySource source;
  source.add(histogram_series("h{route=\"a\"}", 9, 30));
  source.add(histogram_series("h{route=\"b\"}", 99, 30));
  CHECK(ask(source, "histogram_count(rate(h{route=\"a\"}[1m]))", 5 * kMinute) == "{route=\"a\"} 1");
  CHECK(ask(source, "histogram_count(sum(increase(h[1m])))", 5 * kMinute) == "{} 660");
  CHECK(ask(source, "sum(rate(h[1m]))", 5 * kMinute).find("{} count:11 sum:") == 0);
  const auto between = [&](const std::string& expression, double low, double high) {
    const std::string got = ask(source, expression, 5 * kMinute);
    const double value = std::strtod(got.substr(got.find(' ') + 1).c_str(), nullptr);
    CHECK_MESSAGE((value > low && value < high), expression << " gave " << got);
  };
  between("histogram_quantile(0.5, rate(h{route=\"a\"}[1m]))", 0.0978, 0.1022);
  between("histogram_quantile(0.99, rate(h{route=\"a\"}[1m]))", 1.95, 2.05);
  between("histogram_fraction(0, 1, rate(h{route=\"a\"}[1m]))", 0.8999, 0.9001);
  between("histogram_avg(rate(h{route=\"a\"}[1m]))", 0.28, 0.3);
  between("histogram_stddev(rate(h{route=\"a\"}[1m]))", 0.56, 0.58);
  between("histogram_sum(h{route=\"a\"} * 2) / 30", 5.7, 5.9);
  between("histogram_count(avg(h))", 1649, 1651);
}

TEST_CASE("promql: a range is evaluated in one reading of each selector") {
  const MemorySource source = web();
  CHECK(ask_range(source, "sum by (job) (rate(requests_total[1m]))", 5 * kMinute, 7 * kMinute,
                  kMinute) ==
        "{job=\"api\"} 1.1@300000 1.1@360000 1.1@420000\n{job=\"web\"} 2@300000 2@360000 2@420000");
  CHECK(source.selects == 1);
  CHECK(ask_range(source, "1", 0, 2000, 1000) == "{} 1@0 1@1000 1@2000");
  CHECK(ask_range(source, "requests_total{code=\"500\"} @ end()", 0, 20'000, 10'000) ==
        "{__name__=\"requests_total\", code=\"500\", job=\"api\"} 2@0 2@10000 2@20000");
  CHECK(ask_range(source, "limit > 5000 or vector(time())", 0, 20'000, 10'000) ==
        "{} 0@0 10@10000 20@20000");
  CHECK(ask_range(source, "topk(1, requests_total{job=\"api\"})", 10'000, 20'000, 10'000) ==
        "{__name__=\"requests_total\", code=\"200\", job=\"api\"} 10@10000 20@20000");
}

TEST_CASE("promql: a range asks for sensible bounds") {
  const MemorySource source;
  CHECK(ask_range(source, "1", 0, 60'000'000, 1) ==
        "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query "
        "resolution (?step=XX)");
  CHECK(ask_range(source, "1", 10, 0, 1) == "end timestamp must not be before start time");
  CHECK(ask_range(source, "1", 0, 10, 0).find("zero or negative query resolution") == 0);
  CHECK(
      ask_range(source, "a[5m]", 0, 10, 1) ==
      "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector");
}

TEST_CASE("promql: a question of one series ends inside its steps when nobody waits for it") {
  const MemorySource source = web();
  // One series each, and 4,000 windows of 1,000 points: asked once a series this went on.
  for (const char* text :
       {"quantile_over_time(0.5, vector(1)[1000s:1s])", "mad_over_time(vector(1)[1000s:1s])",
        "stddev_over_time((limit + 1)[1000s:1s])", "deriv(vector(1)[1000s:1s])",
        "max_over_time(sum(limit)[1000s:1s])", "sum_over_time(vector(1)[1000s:1s] @ end()) + 1",
        "count_values(\"v\", vector(time()))", "topk(1, vector(1))", "quantile(0.5, vector(1))",
        "vector(1) + on() vector(2)", "absent_over_time(limit[1h])"}) {
    int looked = 0;
    QueryOptions all;
    all.cancelled = [&] {
      ++looked;
      return false;
    };
    const auto parsed = parse(text);
    REQUIRE(parsed.ok());
    const PromqlEngine engine(source);
    REQUIRE(engine.range(**parsed, 0, 4'000'000, 1'000, all).ok());
    // Wherever it is told, there it ends.
    const int at_most = looked;
    QueryOptions gone;
    looked = 0;
    gone.cancelled = [&] { return ++looked >= at_most; };
    const auto value = engine.range(**parsed, 0, 4'000'000, 1'000, gone);
    REQUIRE_FALSE(value.ok());
    CHECK(value.error().code == hms::net::Code::canceled);
    CHECK(looked <= at_most + 1);
    if (std::string_view(text).find("1000s") != std::string_view::npos &&
        std::string_view(text).find('@') == std::string_view::npos)
      CHECK_MESSAGE(looked > 20, text);
  }
}

TEST_CASE("promql: limits and cancellation stop a query with a clear sentence") {
  const MemorySource source = web();
  QueryOptions few;
  few.max_samples = 10;
  CHECK(ask(source, "sum(rate(requests_total[5m]))", 10 * kMinute, few)
            .find("too many samples into memory: the limit is 10") != std::string::npos);
  QueryOptions gone;
  gone.cancelled = [] { return true; };
  CHECK(ask(source, "1 + 1", 0, gone) == "query was canceled in expression evaluation");
  QueryOptions late;
  late.timeout = hms::net::Millis(-1);
  CHECK(ask(source, "sum(requests_total)", 0, late)
            .find("query timed out in expression evaluation") == 0);
  CHECK(ask(source, "sum_over_time(vector(1)[100000h:1ms])", 0).find("too many samples") !=
        std::string::npos);
}
