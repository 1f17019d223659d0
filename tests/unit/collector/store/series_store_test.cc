// The series store through its two faces: batches in, selectors out; through seals, restarts and
// failures.
#include "tests/unit/collector/store/series_fixture.h"

using namespace hms::collector;
namespace telemetry = hms::telemetry;

TEST_CASE("series store: a point becomes a series in Prometheus form") {
  Fixture f;
  f.put(Batch().histogram("http.server.request.duration", kNow - 1000, kNow, {0.1, 0.2},
                          "/claims/{id}"));
  const auto found = f.select("http_server_request_duration_seconds");
  REQUIRE(found.size() == 1);
  CHECK(label_value(found[0].labels, "service_name") == "claims");
  CHECK(label_value(found[0].labels, "service_instance_id") == "i-1");
  CHECK(label_value(found[0].labels, "http_route") == "/claims/{id}");
  REQUIRE(found[0].histograms.size() == 2);  // nothing at its start, two at its end
  CHECK(found[0].histograms[0].t_millis == kNow - 1000);
  CHECK(found[0].histograms[0].value->count == 0);
  CHECK(found[0].histograms[1].value->count == 2);
  REQUIRE(f.store->metadata().size() == 1);
  CHECK(f.store->metadata()[0].type == "histogram");
}

TEST_CASE("series store: deltas add up, and a silence keeps its place") {
  Fixture f;
  f.put(Batch().delta("c", kNow - 1000, kNow, 5));
  f.put(Batch().delta("c", kNow, kNow + 1000, 7));
  f.put(Batch().delta("c", kNow + 59'000, kNow + 60'000, 1));
  CHECK(f.values("c_total") == "-1000:0 0:5 1000:12 59000:12 60000:13 ");
}

TEST_CASE("series store: a late delta is counted at the newest point, nothing is lost") {
  Fixture f;
  f.put(Batch().delta("c", kNow - 1000, kNow, 5));
  f.put(Batch().delta("c", kNow - 60'000, kNow - 59'000, 3));
  CHECK(f.values("c_total") == "-1000:0 0:8 ");
}

TEST_CASE("series store: late gauges go where they belong, and the last of one time wins") {
  Fixture f;
  f.put(Batch().gauge("g", kNow, 1));
  f.put(Batch().gauge("g", kNow - 5000, 2));
  f.put(Batch().gauge("g", kNow - 5000, 3).gauge("g", kNow, 4));
  CHECK(f.values("g") == "-5000:3 0:4 ");
  f.seal();
  CHECK(f.values("g") == "-5000:3 0:4 ");
  f.put(Batch().gauge("g", kNow - 6000, 6).gauge("g", kNow, 5));
  CHECK(f.values("g") == "-6000:6 -5000:3 0:5 ");
}

TEST_CASE("series store: a range is left-open") {
  Fixture f;
  f.put(Batch().gauge("g", kNow, 1).gauge("g", kNow + 1000, 2).gauge("g", kNow + 2000, 3));
  CHECK(f.values("g", kNow, kNow + 1000) == "1000:2 ");
}

TEST_CASE("series store: points too old, ahead of time or not countable are rejected and counted") {
  Fixture f;
  f.put(Batch()
            .gauge("g", kNow - 31 * kDay, 1)
            .gauge("g", kNow + 400'000, 1)
            .gauge("g", 86'400'000, 1));
  f.put(Batch().delta("c", kNow - 1000, kNow, -1).delta("c", kNow - 1000, kNow, HUGE_VAL));
  CHECK(f.values("g") == "");
  CHECK(f.values("c_total") == "");
  CHECK(f.store->stats().samples_rejected == 5);
  CHECK(f.store->stats().series == 0);
}

TEST_CASE("series store: the points survive a seal, a restart, and both") {
  Fixture f;
  for (int i = 0; i < 300; ++i) {
    f.put(Batch()
              .delta("c", kNow + (i - 1) * 1000, kNow + i * 1000, 2)
              .histogram("h", kNow + (i - 1) * 1000, kNow + i * 1000, {0.1, 0.001 * i}));
  }
  const std::string counts = f.values("c_total");
  const std::string histograms = f.values("h_seconds");
  CHECK(std::count(counts.begin(), counts.end(), ' ') == 301);
  f.restart();
  CHECK(f.values("c_total") == counts);
  CHECK(f.values("h_seconds") == histograms);
  f.seal();
  CHECK(f.keys(0x30) == 0);  // the log is cut
  CHECK(f.keys(0x31) == 2);
  CHECK(f.values("c_total") == counts);
  CHECK(f.values("h_seconds") == histograms);
  f.put(Batch().delta("c", kNow + 299'000, kNow + 300'000, 2));
  CHECK(f.values("c_total") == counts + "300000:602 ");
  f.restart();
  CHECK(f.values("c_total") == counts + "300000:602 ");
  CHECK(f.values("h_seconds") == histograms);
  CHECK(f.values("h_seconds", kNow, kNow + 2000) == "1000:h4 2000:h6 ");
}

TEST_CASE("series store: a crash in the middle of a seal shows no point twice") {
  Fixture f;
  f.put(Batch().gauge("g", kNow, 1).gauge("g", kNow + 1000, 2));
  f.maintain(kNow + 7200'000);  // chunks written, log not yet cut
  CHECK(f.keys(0x30) == 1);
  CHECK(f.keys(0x31) == 1);
  CHECK(f.values("g") == "0:1 1000:2 ");
  f.restart();
  CHECK(f.values("g") == "0:1 1000:2 ");
  f.seal();
  CHECK(f.values("g") == "0:1 1000:2 ");
}

TEST_CASE(
    "series store: after a restart without its total a counter starts anew, and its increase is "
    "whole") {
  Fixture f;
  f.put(Batch().delta("c", kNow - 1000, kNow, 5));
  f.seal();
  f.restart();
  f.put(Batch().delta("c", kNow + 1000, kNow + 2000, 3));
  CHECK(f.values("c_total") == "-1000:0 0:5 1000:0 2000:3 ");
}

TEST_CASE("series store: a group that failed leaves no trace, and comes again") {
  Fixture f;
  const auto lost = [&](Batch batch) {
    const std::vector<AcceptedBatch> group = {batch.accepted(kNow)};
    MemoryKv nowhere;
    REQUIRE(nowhere.commit([&](KvWriter& writer) { f.store->prepare(group, writer); }).ok());
    f.store->failed(group);
  };
  lost(Batch().delta("c", kNow - 1000, kNow, 5).histogram("h", kNow - 1000, kNow, {0.5}));
  CHECK(f.values("c_total") == "");
  f.put(Batch().delta("c", kNow - 1000, kNow, 5).histogram("h", kNow - 1000, kNow, {0.5}));
  lost(Batch().histogram("h", kNow, kNow + 1000, {0.5}));
  f.put(Batch().histogram("h", kNow, kNow + 1000, {0.5}));
  CHECK(f.values("c_total") == "-1000:0 0:5 ");
  f.restart();
  CHECK(f.values("c_total") == "-1000:0 0:5 ");
  CHECK(f.values("h_seconds") == "-1000:h0 0:h1 1000:h2 ");
}

TEST_CASE("series store: classic series are made from histograms when asked for by name") {
  Fixture f;
  f.put(Batch().histogram("h", kNow - 1000, kNow, {0.001, 0.02, 0.3, 20}));
  CHECK(f.values("h_seconds_count") == "-1000:0 0:4 ");
  const auto sums = f.select("h_seconds_sum");
  REQUIRE(sums.size() == 1);
  CHECK(sums[0].samples.back().value == doctest::Approx(20.321));
  const auto buckets = f.select("h_seconds_bucket");
  REQUIRE(buckets.size() == 15);
  const auto count_at = [&](const std::string& le) {
    for (const Series& series : buckets) {
      if (label_value(series.labels, "le") == le) return series.samples.back().value;
    }
    return -1.0;
  };
  CHECK(count_at("0.005") == 1);
  CHECK(count_at("0.025") == 2);
  CHECK(count_at("0.5") == 3);
  CHECK(count_at("10") == 3);
  CHECK(count_at("+Inf") == 4);
  const auto one = f.store->select({{"__name__", LabelMatcher::Kind::equal, "h_seconds_bucket"},
                                    {"le", LabelMatcher::Kind::matches, "0.5|10"}},
                                   0, kNow, {});
  REQUIRE(one.ok());
  CHECK(one->size() == 2);
  const auto named =
      f.store->series({{"__name__", LabelMatcher::Kind::equal, "h_seconds_count"}}, 0, kNow, {});
  REQUIRE(named.ok());
  CHECK(named->size() == 1);
}

TEST_CASE("series store: matchers") {
  Fixture f;
  for (const char* route : {"/a", "/b", "/c"}) f.put(Batch().gauge("g", kNow, 1, route));
  f.put(Batch("store", "i-2").gauge("g", kNow, 1));
  const auto count = [&](std::vector<LabelMatcher> matchers) {
    auto found = f.store->select(matchers, 0, kNow, {});
    REQUIRE(found.ok());
    return found->size();
  };
  using Kind = LabelMatcher::Kind;
  CHECK(count({{"__name__", Kind::equal, "g"}}) == 4);
  CHECK(count({{"__name__", Kind::equal, "g"}, {"http_route", Kind::equal, ""}}) == 1);
  CHECK(count({{"__name__", Kind::equal, "g"}, {"http_route", Kind::not_equal, "/a"}}) == 3);
  CHECK(count({{"http_route", Kind::matches, "/[ab]"}}) == 2);
  CHECK(count({{"http_route", Kind::matches, "/a|/c"}, {"service_name", Kind::equal, "claims"}}) ==
        2);
  CHECK(count({{"http_route", Kind::not_matches, "/a.*"}, {"service_name", Kind::matches, ".+"}}) ==
        3);
  CHECK(count({{"nothing", Kind::equal, "x"}}) == 0);
  CHECK_FALSE(f.store->select({{"a", Kind::matches, "("}}, 0, 1, {}).ok());
}

TEST_CASE(
    "series store: beyond the limit, new series are counted in the overflow series and the known "
    "ones go on") {
  SeriesStoreOptions options;
  options.max_series = 3;
  Fixture f(options);
  for (int i = 0; i < 10; ++i) f.put(Batch().gauge("g", kNow + i, i, "/" + std::to_string(i)));
  f.put(Batch().gauge("g", kNow + 20, 20, "/0"));
  CHECK(f.select("g").size() == 3);
  CHECK(f.values("hms_overflow").find(":7 ") != std::string::npos);
  CHECK(f.store->stats().overflowed == 7);
}

TEST_CASE("series store: a limit on samples or series, and a caller that left, end a selection") {
  Fixture f;
  for (int i = 0; i < 10; ++i) f.put(Batch().gauge("g", kNow + i, i, "/" + std::to_string(i)));
  SelectLimits limits;
  limits.max_samples = 5;
  const std::vector<LabelMatcher> all = {{"__name__", LabelMatcher::Kind::equal, "g"}};
  CHECK(f.store->select(all, 0, kNow + 100, limits).error().code == hms::net::Code::too_large);
  limits = {};
  limits.max_series = 5;
  CHECK(f.store->select(all, 0, kNow + 100, limits).error().code == hms::net::Code::too_large);
  limits = {};
  limits.cancelled = [] { return true; };
  CHECK(f.store->select(all, 0, kNow + 100, limits).error().code == hms::net::Code::canceled);
}

TEST_CASE("series store: a day that is dropped takes its series with it") {
  Fixture f;
  f.put(Batch().gauge("old", kNow - 3 * kDay, 1), kNow - 3 * kDay);
  f.put(Batch().gauge("new", kNow, 1));
  f.seal();
  const Family day{static_cast<uint32_t>((kNow - 3 * kDay) / kDay)};
  f.store->forget_day(day);
  REQUIRE(f.kv.drop_day(day).ok());
  f.maintain();
  CHECK(f.store->stats().series == 1);
  CHECK(f.values("old") == "");
  CHECK(f.values("new") == "0:1 ");
  f.restart();
  CHECK(f.store->stats().series == 1);
}

TEST_CASE(
    "series store: a corrupt chunk is an error that names its day and series, not a wrong answer") {
  Fixture f;
  f.put(Batch().gauge("g", kNow, 1));
  f.seal();
  const Family day{static_cast<uint32_t>(kNow / kDay)};
  std::string key, value;
  REQUIRE(f.kv.scan(
                  day, "\x31", "\x32",
                  [&](std::string_view k, std::string_view v) {
                    key = k;
                    value = v;
                    return true;
                  },
                  false)
              .ok());
  value.back() = static_cast<char>(value.back() ^ 1);
  REQUIRE(f.kv.commit([&](KvWriter& writer) { writer.put(day, key, value); }).ok());
  const auto found = f.store->select({{"__name__", LabelMatcher::Kind::equal, "g"}}, 0, kNow, {});
  REQUIRE_FALSE(found.ok());
  CHECK(found.error().code == hms::net::Code::corrupt);
  CHECK(found.error().detail.find("day 20779, series 1") != std::string::npos);
}

TEST_CASE("series store: a stale point is kept as Prometheus's marker") {
  Fixture f;
  f.put(Batch().gauge("g", kNow, 1));
  f.put(Batch().gauge("g", kNow + 1000, 0).stale());
  const auto found = f.select("g");
  REQUIRE(found.size() == 1);
  REQUIRE(found[0].samples.size() == 2);
  CHECK(std::isnan(found[0].samples[1].value));
}

/// A Kv that readers on other threads may use, as RocksDB may be used.
class SharedKv final : public KvReader {
 public:
  hms::net::Result<std::string> get(Family family, std::string_view key) const override {
    const std::lock_guard lock(mutex_);
    return kv_.get(family, key);
  }
  hms::net::Result<void> scan(Family family, std::string_view begin, std::string_view end,
                              const Visitor& visit, bool backwards) const override {
    const std::lock_guard lock(mutex_);
    return kv_.scan(family, begin, end, visit, backwards);
  }
  std::vector<Family> days() const override {
    const std::lock_guard lock(mutex_);
    return kv_.days();
  }
  void commit(const std::function<void(KvWriter&)>& fill) {
    const std::lock_guard lock(mutex_);
    REQUIRE(kv_.commit(fill).ok());
  }

 private:
  mutable std::mutex mutex_;
  MemoryKv kv_;
};

TEST_CASE("series store: questions may be asked while points come in and are sealed") {
  SeriesStoreOptions options;
  options.seal_bytes = 0;  // each call of maintain() begins to seal
  const auto store = make_series_store(options);
  SharedKv kv;
  REQUIRE(store->recover(kv).ok());
  std::atomic<bool> stop{false};
  std::atomic<int> asked{0};
  std::thread reader([&] {
    size_t last = 0;
    while (!stop) {
      const auto found =
          store->select({{"__name__", LabelMatcher::Kind::equal, "c_total"}}, 0, kNow + kDay, {});
      REQUIRE(found.ok());
      const size_t points = found->empty() ? 0 : (*found)[0].samples.size();
      CHECK(points >= last);  // nothing that was seen goes away
      last = points;
      CHECK(store->series({{"service_name", LabelMatcher::Kind::matches, ".+"}}, 0, kNow + kDay, {})
                .ok());
      CHECK(store->stats().series <= 52);
      CHECK(store->metadata().size() <= 2);
      ++asked;
    }
  });
  for (int i = 0; i < 400 || asked < 20; ++i) {
    const std::vector<AcceptedBatch> group = {
        Batch()
            .delta("c", kNow + (i - 1) * 10, kNow + i * 10, 1)
            .gauge("g", kNow + i * 10, i, "/" + std::to_string(i % 50))
            .accepted(kNow)};
    kv.commit([&](KvWriter& writer) { store->prepare(group, writer); });
    store->committed(group);
    if (i % 10 == 0)
      kv.commit([&](KvWriter& writer) {
        store->maintain(static_cast<uint64_t>(kNow) * 1'000'000, writer);
      });
  }
  stop = true;
  reader.join();
  const auto found =
      store->select({{"__name__", LabelMatcher::Kind::equal, "c_total"}}, 0, kNow + kDay, {});
  REQUIRE(found.ok());
  CHECK((*found)[0].samples.back().value >= 400);
  CHECK((*found)[0].samples.size() == static_cast<size_t>((*found)[0].samples.back().value) + 1);
}

TEST_CASE(
    "series store: points past the retention are not shown even before their day is dropped") {
  SeriesStoreOptions options;
  options.retention_days = 2;
  Fixture f(options);
  const int64_t today = kNow / kDay * kDay;
  f.put(Batch().gauge("g", today - 2 * kDay, 1).gauge("g", kNow, 2));
  f.put(Batch().gauge("g", today - 2 * kDay - 1, 1));  // of the day before: not taken
  SelectLimits limits;
  limits.hide_expired = true;
  const auto points = [&] {
    auto found = f.store->select({{"__name__", LabelMatcher::Kind::equal, "g"}}, 0, kNow, limits);
    REQUIRE(found.ok());
    return found->front().samples.size();
  };
  f.maintain(kNow);
  CHECK(points() == 2);
  f.maintain(today + kDay - 1);
  CHECK(points() == 2);
  f.maintain(today + kDay);
  CHECK(points() == 1);
  CHECK(f.select("g").front().samples.size() == 2);  // the lake reads all there is
}
