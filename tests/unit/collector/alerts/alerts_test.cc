#include "collector/alerts/alerts.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "collector/alerts/live_series.h"
#include "tests/unit/collector/live/batches.h"

using namespace hms;
using namespace hms::collector;
using hms::test::MetricsBuilder;
using nlohmann::json;

namespace {

struct Fixture {
  test::TestClock clock;
  net::Loop loop;
  std::unique_ptr<LiveWindow> window;
  LiveHub hub{loop};
  std::unique_ptr<Alerts> alerts;

  Fixture() {
    LiveWindowOptions options;
    options.clock = [this] { return clock.nanos; };
    window = make_live_window(options);
    AlertsOptions alert_options;
    alert_options.clock = options.clock;
    alerts = std::make_unique<Alerts>(loop, *window, hub, nullptr, nullptr, alert_options);
  }
  void rules(const char* text) {
    RuleSet set;
    net::YamlErrors errors;
    read_rules(text, "t.yaml", set, errors);
    REQUIRE_MESSAGE(errors.empty(), errors.text());
    alerts->set_rules(std::move(set));
  }
  /// A second with good and failed requests passes.
  void second(uint64_t good, uint64_t failed, double seconds = 0.1,
              const char* service = "claims") {
    const int64_t now = clock.second();
    clock.advance_millis(1000);
    MetricsBuilder metrics;
    if (good > 0) metrics.requests(service, "/a", now, good, seconds);
    if (failed > 0) metrics.requests(service, "/a", now, failed, 0.01, 500);
    window->add(metrics.accepted());
    alerts->on_batch(metrics.accepted());
    alerts->on_second(now);
  }
  std::string state(const char* name = "HighErrorRate") {
    const json shown = alerts->alerts_json();
    for (const auto& alert : shown["alerts"]) {
      if (alert["labels"]["alertname"] == name) return alert["state"];
    }
    return "inactive";
  }
};

}  // namespace

TEST_CASE(
    "alerts: the default rule fires in the second complete second of an incident and resolves "
    "afterwards") {
  Fixture f;
  f.alerts->set_rules(default_rules());
  for (int i = 0; i < 10; ++i) f.second(30, 0);
  CHECK(f.state() == "inactive");
  f.second(25, 5);
  CHECK(f.state() == "pending");
  f.second(25, 5);
  CHECK(f.state() == "firing");
  for (int i = 0; i < 20; ++i) f.second(25, 5);
  CHECK(f.state() == "firing");
  for (int i = 0; i < 3 + 5; ++i) f.second(30, 0);
  CHECK(f.state() == "inactive");
  CHECK(f.alerts->stats().evaluation_failures == 0);
}

TEST_CASE(
    "alerts: noise below the thresholds does not fire: few requests, few errors, callers that "
    "left") {
  Fixture f;
  f.alerts->set_rules(default_rules());
  for (int i = 0; i < 20; ++i) f.second(30, static_cast<uint64_t>(i % 2));
  CHECK(f.state() == "inactive");
  for (int i = 0; i < 10; ++i) f.second(0, 0, 0.1, "quiet");
  f.second(0, 2, 0.1, "quiet");
  f.second(0, 0, 0.1, "quiet");
  CHECK(f.state() == "inactive");
}

TEST_CASE("alerts: a service with little traffic is judged by its last minute") {
  Fixture f;
  f.alerts->set_rules(default_rules());
  for (int i = 0; i < 70; ++i) f.second(i % 3 == 0 ? 1 : 0, 0);
  CHECK(f.state() == "inactive");
  for (int i = 0; i < 20; ++i) f.second(0, i % 3 == 0 ? 1 : 0);
  CHECK(f.state() == "firing");
}

TEST_CASE("alerts: slow requests fire HighLatency with the p99 in the summary") {
  Fixture f;
  f.alerts->set_rules(default_rules());
  for (int i = 0; i < 5; ++i) f.second(30, 0);
  for (int i = 0; i < 3; ++i) f.second(30, 0, 4.0);
  CHECK(f.state("HighLatency") == "firing");
  const json alert = f.alerts->alerts_json()["alerts"][0];
  CHECK(alert["annotations"]["summary"].get<std::string>().find("claims: p99 is ") == 0);
  CHECK(alert["annotations"]["top_routes"].get<std::string>().find("/a: 0 % of") == 0);
}

TEST_CASE("alerts: a new status code weighs as much as one that has been there for long") {
  Fixture f;
  f.rules(
      R"(groups: [{name: g, rules: [{alert: A, expr: 'sum by (service_name) (histogram_count(increase(http_server_request_duration_seconds{http_response_status_code="500"}[4s]))) / sum by (service_name) (histogram_count(increase(http_server_request_duration_seconds[4s])))'}]}])");
  for (int i = 0; i < 10; ++i) f.second(30, 0);
  f.second(0, 30);
  const auto alerts = f.alerts->alerts_json()["alerts"];
  REQUIRE(alerts.size() == 1);
  CHECK(std::stod(alerts[0]["value"].get<std::string>()) == doctest::Approx(1.0 / 3));
}

TEST_CASE("alerts: a group's interval and limit hold, an error is shown and changes nothing") {
  Fixture f;
  f.rules(R"(
groups:
  - name: slow
    interval: 5s
    rules: [{alert: Always, expr: vector(1)}]
  - name: many
    limit: 1
    rules: [{alert: Two, expr: 'label_replace(vector(1), "x", "a", "", "") or label_replace(vector(1), "x", "b", "", "")'}]
)");
  for (int i = 0; i < 10; ++i) f.second(1, 0);
  const json groups = f.alerts->rules_json("")["groups"];
  CHECK(groups[0]["rules"][0]["state"] == "firing");
  CHECK(groups[0]["interval"] == 5.0);
  CHECK(groups[1]["rules"][0]["health"] == "err");
  CHECK(groups[1]["rules"][0]["lastError"].get<std::string>().find("at most 1") !=
        std::string::npos);
  CHECK(f.alerts->stats().evaluations == 2 + 10);
  CHECK(f.state("Two") == "inactive");
}

TEST_CASE("alerts: replaced rules keep the state of what stayed and resolve what went") {
  Fixture f;
  f.rules(
      "groups: [{name: g, rules: [{alert: Stays, expr: vector(1)}, {alert: Goes, expr: "
      "vector(1)}]}]");
  f.second(1, 0);
  const std::string since = f.alerts->alerts_json()["alerts"][0]["activeAt"];
  f.rules("groups: [{name: g, rules: [{alert: Stays, expr: vector(2)}]}]");
  f.second(1, 0);
  CHECK(f.state("Stays") == "firing");
  CHECK(f.state("Goes") == "inactive");
  CHECK(f.alerts->alerts_json()["alerts"][0]["activeAt"] == since);
}

TEST_CASE("alerts: a security log is an alert at once, whatever the rules, and only once") {
  Fixture f;
  f.alerts->on_batch(test::log_batch("claims", "security", "token reuse", "order-17"));
  f.alerts->on_batch(test::log_batch("claims", "security", "token reuse", "order-18"));
  f.alerts->on_batch(test::log_batch("claims", "", "all is well"));
  const json alerts = f.alerts->alerts_json()["alerts"];
  REQUIRE(alerts.size() == 1);
  CHECK(alerts[0]["labels"]["alertname"] == "SecurityLog");
  CHECK(alerts[0]["labels"]["service"] == "claims");
  CHECK(alerts[0]["annotations"]["traceId"] == "order-17");
  CHECK(alerts[0]["state"] == "firing");
  CHECK(f.alerts->stats().security_logs == 2);
}

namespace {

/// A log store with what was stored before the start.
class StoredLogs final : public LogStore {
 public:
  std::vector<StoredLog> logs;
  mutable LogQuery asked;
  net::Result<LogPage> search(const LogQuery& query, const std::function<bool()>&) const override {
    asked = query;
    return LogPage{logs, "", {}};
  }
  net::Result<void> recover(const KvReader&) override { return {}; }
  void prepare(std::span<const AcceptedBatch>, KvWriter&) override {}
  void committed(std::span<const AcceptedBatch>) override {}
  void failed(std::span<const AcceptedBatch>) override {}
  void maintain(uint64_t, KvWriter&) override {}
  void forget_day(Family) override {}
};

}  // namespace

TEST_CASE("alerts: a security log stored just before a kill is an alert after the start, once") {
  Fixture f;
  StoredLogs logs;
  StoredLog log;
  log.service = "claims";
  log.message = "token reuse";
  log.trace_text = "order-17";
  logs.logs = {log, log};
  f.alerts->recover_security_logs(logs);
  CHECK(logs.asked.severity == "security");
  CHECK(logs.asked.start_unix_nanos == f.clock.nanos - 600'000'000'000ULL);
  const json shown = f.alerts->alerts_json();
  REQUIRE(shown["alerts"].size() == 1);
  CHECK(shown["alerts"][0]["annotations"]["traceId"] == "order-17");
  CHECK(shown["alerts"][0]["annotations"]["count"] == "2");
}

TEST_CASE(
    "live series: one sample a second, filled where nothing came, from before the first request "
    "on") {
  test::TestClock clock;
  auto live = make_live_series(nullptr, [&] { return clock.nanos; });
  clock.advance_millis(60'000);
  const int64_t now = clock.second();
  live->add(MetricsBuilder().requests("claims", "/a", now - 3, 5, 0.1).accepted());
  live->add(MetricsBuilder().requests("claims", "/a", now - 1, 7, 0.1).accepted());
  const std::vector<LabelMatcher> name = {
      {"__name__", LabelMatcher::Kind::equal, "http_server_request_duration_seconds"}};
  auto series = live->select(name, (now - 6) * 1000, now * 1000, {});
  REQUIRE(series.ok());
  REQUIRE(series->size() == 1);
  const auto& samples = (*series)[0].histograms;
  REQUIRE(samples.size() == 6);
  std::vector<uint64_t> gained;
  for (size_t i = 1; i < samples.size(); ++i)
    gained.push_back(samples[i].value->count - samples[i - 1].value->count);
  CHECK(gained == std::vector<uint64_t>{0, 0, 5, 0, 7});
  CHECK(samples[0].t_millis == (now - 5) * 1000);
  // A late batch of an earlier second.
  live->add(MetricsBuilder().requests("claims", "/a", now - 4, 2, 0.1).accepted());
  series = live->select(name, (now - 6) * 1000, now * 1000, {});
  CHECK((*series)[0].histograms.back().value->count -
            (*series)[0].histograms.front().value->count ==
        14);
  // What reaches further back than we know, and other names, are the store's.
  CHECK(live->select(name, (now - 300) * 1000, now * 1000, {})->empty());
  CHECK(live->select({{"__name__", LabelMatcher::Kind::equal, "up"}}, (now - 6) * 1000, now * 1000,
                     {})
            ->empty());
  clock.advance_millis(300'000);
  live->add(MetricsBuilder().requests("ui", "/b", clock.second() - 1, 1, 0.1).accepted());
  CHECK(live->series_count() == 1);
}
