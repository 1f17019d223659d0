// The small pieces: balancers, retry budget, names of services, counters, the collector's weights,
// the access log.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "net/core/random.h"
#include "proxy/access_log.h"
#include "proxy/balance/balancer.h"
#include "proxy/config_stream.h"
#include "proxy/counters.h"
#include "proxy/metrics.h"
#include "proxy/retry_budget.h"
#include "proxy/service_name.h"
#include "tests/unit/proxy/support.h"

using namespace hms::proxy;

namespace {

struct Balanced {
  UpstreamPlan plan;
  std::vector<std::unique_ptr<Endpoint>> endpoints;
  Cluster cluster;
  Balanced(Balance balance, size_t count) {
    plan.balance = balance;
    cluster.plan = &plan;
    for (size_t i = 0; i < count; ++i) {
      endpoints.push_back(std::make_unique<Endpoint>());
      cluster.endpoints.push_back(endpoints.back().get());
    }
  }
  size_t pick(const Endpoint* avoid = nullptr) {
    Endpoint* chosen = pick_endpoint(cluster, avoid, 1'000);
    for (size_t i = 0; i < endpoints.size(); ++i) {
      if (endpoints[i].get() == chosen) return i;
    }
    return endpoints.size();
  }
};

}  // namespace

TEST_CASE("balancer: the registry is in the order of the enum and documented") {
  const std::string doc = read_repository_file("docs/config.md");
  for (size_t i = 0; i < kBalancers.size(); ++i) {
    CHECK(static_cast<size_t>(kBalancers[i].balance) == i);
    CHECK(kBalancers[i].name == balance_name(kBalancers[i].balance));
    CHECK(doc.find(std::string(kBalancers[i].name)) != std::string::npos);
  }
}

TEST_CASE("balancer: round_robin takes turns and avoids the endpoint that failed") {
  Balanced b(Balance::round_robin, 3);
  CHECK(b.pick() == 0);
  CHECK(b.pick() == 1);
  CHECK(b.pick() == 2);
  for (int i = 0; i < 6; ++i) CHECK(b.pick(b.endpoints[1].get()) != 1);
}

TEST_CASE("balancer: least_request takes the one with the fewest in flight") {
  Balanced b(Balance::least_request, 3);
  b.endpoints[0]->in_flight = 5;
  b.endpoints[1]->in_flight = 1;
  b.endpoints[2]->in_flight = 3;
  CHECK(b.pick() == 1);
  CHECK(b.pick(b.endpoints[1].get()) == 2);
}

TEST_CASE("balancer: peak_ewma prefers the faster, and of many picks between two") {
  Balanced b(Balance::peak_ewma, 2);
  b.endpoints[0]->latency.observe(50'000'000, 1'000);
  b.endpoints[1]->latency.observe(1'000'000, 1'000);
  CHECK(b.pick() == 1);
  b.endpoints[1]->in_flight = 100;
  CHECK(b.pick() == 0);
  hms::net::seed_random_for_test(7);
  Balanced many(Balance::least_request, 20);
  many.endpoints[4]->in_flight = 1'000;
  for (int i = 0; i < 200; ++i) CHECK(many.pick() != 4);
}

TEST_CASE(
    "balancer: an empty cluster gives nothing, a single endpoint is taken even if it failed") {
  Balanced none(Balance::round_robin, 0);
  CHECK(pick_endpoint(none.cluster, nullptr, 0) == nullptr);
  Balanced one(Balance::peak_ewma, 1);
  CHECK(one.pick(one.endpoints[0].get()) == 0);
}

TEST_CASE("peak_ewma: rises at once and is forgiven over time") {
  PeakEwma ewma;
  ewma.observe(1'000, 1'000);
  ewma.observe(9'000, 1'001);
  CHECK(ewma.nanos(1'001) == doctest::Approx(9'000));
  ewma.observe(1'000, 11'001);
  CHECK(ewma.nanos(11'001) < 5'000);
  CHECK(ewma.nanos(60'000) < 100);
}

TEST_CASE("retry_budget: a share of the route's requests") {
  RetryShare share, none;
  CHECK(!share.take());
  for (int i = 0; i < 100; ++i) {
    share.request(0.25);
    none.request(0.0);
  }
  int taken = 0;
  while (share.take()) ++taken;
  CHECK(taken == 25);
  CHECK(!none.take());
  for (int i = 0; i < 1'000; ++i) share.request(0.25);
  taken = 0;
  while (share.take()) ++taken;
  CHECK(taken == 100);
}

TEST_CASE("retry_budget: ten a second beside, however long nobody asked") {
  for (const uint64_t start : {uint64_t{0}, uint64_t{1'000'000'000}}) {
    RetryFloor floor;
    int taken = 0;
    while (floor.take(start)) ++taken;
    CHECK(taken == 10);
    while (floor.take(start + 500)) ++taken;
    CHECK(taken == 15);
    while (floor.take(start + 3'600'000)) ++taken;
    CHECK(taken == 25);
  }
}

TEST_CASE("service_name: labels, commands, interpreters") {
  CHECK(name_from_labels("app=\"shop\"\napp.kubernetes.io/name=\"claims\"\n") == "claims");
  CHECK(name_from_labels("app=\"shop\"\n") == "shop");
  CHECK(name_from_labels("") == "");
  using namespace std::string_literals;
  CHECK(name_from_command("python3\n", "python3\0-u\0/srv/claims/server.py\0"s) == "server");
  CHECK(name_from_command("python3\n", "python3\0-m\0http.server\0"s) == "http");
  CHECK(name_from_command("node\n", "/usr/bin/node\0dist/main.js\0"s) == "main");
  CHECK(name_from_command("java\n", "java\0-jar\0/opt/claims.jar\0"s) == "claims");
  CHECK(name_from_command("claims\n", "/usr/bin/claims\0--port\0"s) == "claims");
}

TEST_CASE("counters: adding adds every member") {
  Counters a, b;
  a.tunnels = 1;
  b.tunnels = 2;
  b.requests[1] = 5;
  b.spans_unsampled = 7;
  a.add(b);
  CHECK(a.tunnels == 3);
  CHECK(a.requests[1] == 5);
  CHECK(a.spans_unsampled == 7);
}

TEST_CASE("metrics: every own metric has a help text and a row in docs/config.md") {
  OwnNumbers numbers;
  numbers.counters.local_replies[1] = 1;
  numbers.spool.dropped_records["spool_full"] = 1;
  const std::string doc = read_repository_file("docs/config.md");
  for (const auto& metric : own_metrics(numbers)) {
    CAPTURE(metric.name);
    bool helped = false;
    for (const MetricHelp& help : metric_helps()) helped = helped || help.name == metric.name;
    CHECK(helped);
    CHECK(doc.find("| `" + metric.name + "` |") != std::string::npos);
  }
}

TEST_CASE("config_stream: weights are read, and nonsense is named") {
  const auto good = parse_canary_weights(
      R"({"version":12,"splits":[{"name":"r","service":"claims","baseline":"v1","canary":"v2","weight":10,"future":1}]})");
  REQUIRE(good.ok());
  CHECK(good->version == 12);
  CHECK(good->weights.at(0).weight == 10);
  CHECK_FALSE(parse_canary_weights("").ok());
  CHECK_FALSE(parse_canary_weights("[]").ok());
  CHECK_FALSE(parse_canary_weights(R"({"version":-1,"splits":[]})").ok());
  const auto heavy = parse_canary_weights(
      R"({"version":1,"splits":[{"name":"r","service":"c","baseline":"a","canary":"b","weight":101}]})");
  REQUIRE_FALSE(heavy.ok());
  CHECK(heavy.error().detail.find("r: weight") != std::string::npos);
}

TEST_CASE("access_log: a line is one JSON object whatever the values hold") {
  AccessEntry entry;
  entry.method = "GET";
  entry.target = "/\"\\\r\n\x01\x7f\xff<script>";
  entry.status = 200;
  entry.flags = "-";
  entry.duration_nanos = 1'234'567;
  entry.head_nanos = 2'000;
  std::string scratch;
  const auto line = format_access_line(entry, scratch);
  CHECK(line.find('\n') == std::string_view::npos);
  const auto json = nlohmann::json::parse(line);
  CHECK(json["status"] == 200);
  CHECK(json["Ta"].get<double>() == doctest::Approx(1.234));
  CHECK(json["TR"].get<double>() == doctest::Approx(0.002));
  CHECK(json["Tc"] == -1);
}
