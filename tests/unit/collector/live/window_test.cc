#include "collector/live/window.h"

#include <doctest/doctest.h>

#include "collector/live/packed_histogram.h"
#include "tests/unit/collector/live/batches.h"

using namespace hms;
using namespace hms::collector;
using hms::test::MetricsBuilder;
using hms::test::TracesBuilder;

namespace {

struct Fixture {
  test::TestClock clock;
  std::unique_ptr<LiveWindow> window;
  explicit Fixture(LiveWindowOptions options = {}) {
    options.clock = [this] { return clock.nanos; };
    window = make_live_window(std::move(options));
  }
  [[nodiscard]] int64_t now() const { return clock.second(); }
};

}  // namespace

TEST_CASE("window: a second's point has count, rate, error rate and quantiles in milliseconds") {
  Fixture f;
  f.window->add(MetricsBuilder()
                    .requests("claims", "/claims/{id}", f.now() - 1, 90, 0.1)
                    .requests("claims", "/claims/{id}", f.now() - 1, 10, 2.0, 500)
                    .accepted());
  const auto points = f.window->points(f.now() - 1);
  REQUIRE(points.size() == 1);
  CHECK(points[0].service == "claims");
  CHECK(points[0].route == "/claims/{id}");
  CHECK(points[0].ts_millis == (f.now() - 1) * 1000);
  CHECK(points[0].count == 100);
  CHECK(points[0].rps == doctest::Approx(100));
  CHECK(points[0].error_rate == doctest::Approx(0.1));
  CHECK(points[0].p50 == doctest::Approx(100).epsilon(0.025));
  CHECK(points[0].p99 == doctest::Approx(2000).epsilon(0.025));
  CHECK(f.window->services() == std::vector<std::string>{"claims"});
}

TEST_CASE(
    "window: what was measured in a second counts for it, however late it comes, and the second is "
    "told as changed") {
  Fixture f;
  f.window->add(MetricsBuilder().requests("claims", "/a", f.now() - 1, 5, 0.1).accepted());
  CHECK(f.window->take_changed_seconds() == std::vector<int64_t>{f.now() - 1});
  CHECK(f.window->take_changed_seconds().empty());
  const int64_t old = f.now() - 300;
  f.window->add(MetricsBuilder().requests("claims", "/a", old, 7, 0.1).accepted());
  CHECK(f.window->take_changed_seconds() == std::vector<int64_t>{old});
  REQUIRE(f.window->points(old).size() == 1);
  CHECK(f.window->points(old)[0].count == 7);
}

TEST_CASE(
    "window: a sidecar that flips at odd times counts for the second its interval's middle lies "
    "in") {
  Fixture f;
  MetricsBuilder metrics;
  metrics.requests("claims", "/a", f.now() - 2, 5, 0.1);
  metrics.batch().points[0].start_unix_nanos += 300'000'000;
  metrics.batch().points[0].time_unix_nanos += 300'000'000;
  f.window->add(metrics.accepted());
  CHECK(f.window->points(f.now() - 2).size() == 1);
  CHECK(f.window->points(f.now() - 1).empty());
}

TEST_CASE("window: a longer interval is spread over its seconds and nothing is lost") {
  Fixture f;
  MetricsBuilder metrics;
  metrics.requests("claims", "/a", f.now() - 11, 103, 0.1);
  metrics.batch().points[0].time_unix_nanos =
      metrics.batch().points[0].start_unix_nanos + 10'000'000'000ULL;
  f.window->add(metrics.accepted());
  const WindowTotals totals = f.window->totals({"claims", "", "", false}, f.now() - 60, f.now());
  CHECK(totals.requests == 103);
  for (int64_t second = f.now() - 11; second < f.now() - 1; ++second) {
    REQUIRE(f.window->points(second).size() == 1);
    CHECK(f.window->points(second)[0].count >= 10);
    CHECK(f.window->points(second)[0].count <= 11);
  }
}

TEST_CASE("window: totals are filtered by service, route and upstream, inbound or outbound") {
  Fixture f;
  MetricsBuilder metrics;
  metrics.requests("claims", "/a", f.now() - 1, 10, 0.1, 200, "v1")
      .requests("claims", "/a", f.now() - 1, 3, 0.2, 500, "v2")
      .requests("claims", "/b", f.now() - 2, 4, 0.1);
  metrics.requests("ui", "/a", f.now() - 1, 20, 0.1, 200, "v2", true);
  f.window->add(metrics.accepted());
  const auto requests = [&](WindowFilter filter) {
    return f.window->totals(filter, f.now() - 10, f.now()).requests;
  };
  CHECK(requests({"claims", "", "", false}) == 17);
  CHECK(requests({"claims", "/a", "", false}) == 13);
  CHECK(requests({"claims", "", "v2", false}) == 3);
  CHECK(requests({"", "", "v2", true}) == 20);
  CHECK(f.window->totals({"claims", "", "v2", false}, f.now() - 10, f.now()).errors == 3);
  CHECK(f.window->totals({"claims", "", "", false}, f.now() - 1, f.now()).requests == 13);
  // Outbound calls are no points of the caller.
  CHECK(f.window->points(f.now() - 1).size() == 1);
}

TEST_CASE("window: 5xx and error types are errors; a caller that left and a client's 4xx are not") {
  Fixture f;
  MetricsBuilder metrics;
  const auto with = [&](const test::Attributes& attributes, const char* name) {
    auto& point = metrics.add("claims", "i1", name, attributes);
    point.start_unix_nanos = static_cast<uint64_t>(f.now() - 1) * 1'000'000'000ULL;
    point.time_unix_nanos = point.start_unix_nanos + 1'000'000'000ULL;
    metrics.batch().histograms.back().record(0.1);
  };
  with({{"error.type", "timeout"}}, "http.server.request.duration");
  with({{"error.type", "client_disconnect"}}, "http.server.request.duration");
  with({{"http.response.status_code", "503"}}, "http.server.request.duration");
  with({{"error.type", "404"}}, "http.client.request.duration");
  f.window->add(metrics.accepted());
  CHECK(f.window->totals({"claims", "", "", false}, f.now() - 5, f.now()).requests == 3);
  CHECK(f.window->totals({"claims", "", "", false}, f.now() - 5, f.now()).errors == 2);
  CHECK(f.window->totals({"", "", "", true}, f.now() - 5, f.now()).errors == 0);
}

TEST_CASE(
    "window: spans stand in for a service without metrics, and are silent for one that has them") {
  Fixture f;
  const uint64_t end = static_cast<uint64_t>(f.now() - 1) * 1'000'000'000ULL + 500'000'000ULL;
  TracesBuilder spans;
  spans.span("legacy", "GET /old", telemetry::SpanKind::server, end, 50'000'000);
  spans.span("legacy", "GET /old", telemetry::SpanKind::unspecified, end, 50'000'000, true, 2,
             false);
  spans.span("legacy", "query", telemetry::SpanKind::internal, end, 50'000'000, false, 3, false);
  spans.span("claims", "GET /a", telemetry::SpanKind::server, end, 50'000'000);
  f.window->add(spans.accepted());
  REQUIRE(f.window->points(f.now() - 1).size() == 2);
  // The sidecar's metrics of the same second come a moment later: they alone count then.
  f.window->add(MetricsBuilder().requests("claims", "/a", f.now() - 1, 5, 0.1).accepted());
  const auto points = f.window->points(f.now() - 1);
  REQUIRE(points.size() == 2);
  CHECK(points[0].service == "claims");
  CHECK(points[0].count == 5);
  CHECK(points[1].service == "legacy");
  CHECK(points[1].count == 2);
  CHECK(points[1].error_rate == doctest::Approx(0.5));
}

TEST_CASE(
    "window: a timing metric is a point of its route, else of its name; other histograms are no "
    "requests") {
  Fixture f;
  MetricsBuilder metrics;
  const auto single = [&](const char* name, const test::Attributes& attributes) {
    auto& point = metrics.add("batch", "", name, attributes);
    point.start_unix_nanos = point.time_unix_nanos =
        static_cast<uint64_t>(f.now() - 1) * 1'000'000'000ULL + 1;
    metrics.batch().histograms.back().record(0.25);
  };
  single("import", {});
  single("import", {{"route", "/upload"}});
  auto& gc = metrics.add("batch", "", "jvm.gc.duration", {});
  gc.start_unix_nanos = static_cast<uint64_t>(f.now() - 2) * 1'000'000'000ULL;
  gc.time_unix_nanos = gc.start_unix_nanos + 1'000'000'000ULL;
  metrics.batch().histograms.back().record(0.25);
  f.window->add(metrics.accepted());
  const auto points = f.window->points(f.now() - 1);
  REQUIRE(points.size() == 2);
  CHECK(points[0].route == "/upload");
  CHECK(points[1].route == "import");
  CHECK(points[1].p50 == doctest::Approx(250).epsilon(0.025));
  CHECK(f.window->points(f.now() - 2).empty());
}

TEST_CASE(
    "window: cumulative histograms become differences, also after a restart of their sender") {
  Fixture f;
  const auto reading = [&](uint64_t count, int64_t second) {
    MetricsBuilder metrics;
    auto& point = metrics.add("sdk", "i9", "http.server.request.duration", {{"http.route", "/a"}});
    point.temporality = telemetry::Temporality::cumulative;
    point.start_unix_nanos = 1;
    point.time_unix_nanos = static_cast<uint64_t>(second) * 1'000'000'000ULL;
    for (uint64_t i = 0; i < count; ++i) metrics.batch().histograms.back().record(0.1);
    f.window->add(metrics.accepted());
  };
  const auto all = [&] {
    return f.window->totals({"sdk", "", "", false}, f.now() - 60, f.now() + 1).requests;
  };
  reading(1000, f.now() - 10);
  CHECK(all() == 0);  // when these were is not known
  reading(1005, f.now() - 9);
  CHECK(all() == 5);
  reading(3, f.now() - 8);
  CHECK(all() == 8);
}

TEST_CASE("window: a second is complete when every sidecar heard of lately has reported it") {
  Fixture f;
  const int64_t second = f.now() - 1;
  CHECK(f.window->completeness(second) == LiveWindow::Completeness::no_sender);
  f.window->add(MetricsBuilder()
                    .requests("a", "/", second, 1, 0.1, 200, "", false, "one")
                    .requests("b", "/", second - 1, 1, 0.1, 200, "", false, "two")
                    .accepted());
  CHECK(f.window->completeness(second) == LiveWindow::Completeness::waiting);
  CHECK(f.window->completeness(second - 1) == LiveWindow::Completeness::complete);
  f.window->add(
      MetricsBuilder().requests("b", "/", second, 1, 0.1, 200, "", false, "two").accepted());
  CHECK(f.window->completeness(second) == LiveWindow::Completeness::complete);
  // One that went silent is not waited for for ever.
  f.clock.advance_millis(10'000);
  f.window->add(
      MetricsBuilder().requests("a", "/", f.now() - 1, 1, 0.1, 200, "", false, "one").accepted());
  CHECK(f.window->completeness(f.now() - 1) == LiveWindow::Completeness::complete);
}

TEST_CASE("window: routes beyond the bound are counted under other") {
  LiveWindowOptions options;
  options.max_routes = 10;
  Fixture f(options);
  MetricsBuilder metrics;
  for (int i = 0; i < 50; ++i)
    metrics.requests("claims", "/r" + std::to_string(i), f.now() - 1, 1, 0.1);
  f.window->add(metrics.accepted());
  CHECK(f.window->totals({"claims", "", "", false}, f.now() - 5, f.now()).requests == 50);
  CHECK(f.window->totals({"claims", "other", "", false}, f.now() - 5, f.now()).requests == 40);
  CHECK(f.window->stats().routes_folded == 40);
}

TEST_CASE("window: over its memory the oldest seconds go, counted; the newest stays") {
  LiveWindowOptions options;
  options.max_bytes = 4000;
  Fixture f(options);
  for (int64_t back = 60; back >= 1; --back)
    f.window->add(MetricsBuilder().requests("claims", "/a", f.now() - back, 5, 0.1).accepted());
  CHECK(f.window->stats().bytes <= 4000);
  CHECK(f.window->stats().seconds_shed > 0);
  CHECK(f.window->points(f.now() - 1).size() == 1);
  CHECK(f.window->points(f.now() - 60).empty());
}

TEST_CASE("window: times beyond the window and far ahead are refused and counted") {
  Fixture f;
  f.window->add(MetricsBuilder()
                    .requests("a", "/", f.now() - 4000, 1, 0.1)
                    .requests("a", "/", f.now() + 1000, 1, 0.1)
                    .accepted());
  CHECK(f.window->stats().records_out_of_range == 2);
  CHECK(f.window->services().empty());
}

TEST_CASE("window: seconds of a clock that runs ahead count when they come") {
  Fixture f;
  f.window->add(MetricsBuilder().requests("a", "/", f.now() + 10, 3, 0.1).accepted());
  CHECK(f.window->totals({"a", "", "", false}, f.now(), f.now() + 1).requests == 3);
  CHECK(f.window->stats().records_out_of_range == 0);
}

TEST_CASE("window: failed traces are the first examples, then the slowest") {
  Fixture f;
  const uint64_t end = f.clock.nanos;
  TracesBuilder spans;
  for (uint8_t i = 1; i <= 20; ++i)
    spans.span("store", "GET /", telemetry::SpanKind::server, end, i * 100'000'000ULL, false, i);
  spans.span("store", "GET /", telemetry::SpanKind::server, end, 1'000'000, true, 99);
  f.window->add(spans.accepted());
  const auto examples = f.window->examples("store", f.now() - 60, 3);
  REQUIRE(examples.size() == 3);
  CHECK(examples[0].error);
  CHECK(examples[0].trace == "63636363636363636363636363636363");
  CHECK(examples[1].seconds == doctest::Approx(2.0));
  CHECK(examples[2].seconds == doctest::Approx(1.9));
  CHECK(f.window->examples("nobody", 0, 3).empty());
}

TEST_CASE("packed histogram: what is packed comes back, and adds up") {
  telemetry::Histogram one;
  for (int i = 0; i < 500; ++i) one.record(0.001 * i);
  HistogramSum sum;
  sum.add(pack_histogram(one));
  sum.add(pack_histogram(one));
  const telemetry::Histogram twice = sum.result();
  CHECK(twice.count == 1000);
  CHECK(twice.zero_count == 2);
  CHECK(twice.quantile(0.5) == doctest::Approx(one.quantile(0.5)));
  telemetry::Histogram coarse = one;
  coarse.lower_scale_to(2);
  HistogramSum spread;
  spread.add(pack_histogram(coarse));
  CHECK(spread.result().count == 500);
  CHECK(spread.result().quantile(0.5) == doctest::Approx(0.25).epsilon(0.2));
  CHECK(pack_histogram(one).size() < 700);
  spread.add("\x01\xff");  // cut: nothing breaks
}
