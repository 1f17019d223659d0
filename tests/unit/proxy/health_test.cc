#include <doctest/doctest.h>

#include <string>

#include "net/core/log.h"
#include "proxy/balance/balancer.h"
#include "proxy/cluster/outlier.h"
#include "proxy/endpoint_state.h"
#include "proxy/policy.h"
#include "proxy/route_learner.h"

using namespace hms::proxy;

namespace {

struct Group {
  UpstreamPlan plan;
  std::vector<std::unique_ptr<Endpoint>> endpoints;
  Cluster cluster;
  uint64_t generation = 1;
  OutlierCounts counts;

  explicit Group(size_t size) {
    hms::net::log_set_level(hms::net::LogLevel::error);
    plan.balance = Balance::round_robin;
    cluster.plan = &plan;
    cluster.health_generation = &generation;
    for (size_t i = 0; i < size; ++i) {
      endpoints.push_back(std::make_unique<Endpoint>());
      cluster.endpoints.push_back(endpoints.back().get());
    }
  }
  void fail(size_t index, uint32_t times, uint64_t now) {
    for (uint32_t i = 0; i < times; ++i) note_failure(cluster, *endpoints[index], now, counts);
  }
  [[nodiscard]] bool asked(size_t index, uint64_t now) {
    for (size_t i = 0; i < 2 * endpoints.size(); ++i) {
      if (pick_endpoint(cluster, nullptr, now) == endpoints[index].get()) return true;
    }
    return false;
  }
};

}  // namespace

TEST_CASE("outlier: failures in a row eject, a success between them does not") {
  Group group(3);
  group.fail(0, 4, 1'000);
  note_success(*group.endpoints[0]);
  group.fail(0, 4, 1'000);
  CHECK(group.asked(0, 1'000));
  group.fail(0, 1, 1'000);
  CHECK(!group.asked(0, 1'000));
  CHECK(!group.asked(0, 10'999));
  CHECK(group.asked(0, 11'000));
}

TEST_CASE("outlier: each ejection is twice as long, up to the longest, and is forgiven in time") {
  Group group(3);
  group.plan.outlier.longest = Millis{30'000};
  uint64_t now = 1'000;
  for (const uint64_t expected : {10'000U, 20'000U, 30'000U, 30'000U}) {
    group.fail(0, 5, now);
    CHECK(group.endpoints[0]->ejected_until_millis - now == expected);
    now = group.endpoints[0]->ejected_until_millis;
  }
  now += 30'001;
  group.fail(0, 5, now);
  CHECK(group.endpoints[0]->ejected_until_millis - now == 10'000);
}

TEST_CASE("outlier: never more than the share are out, but one of two may be") {
  Group group(4);
  for (size_t i = 0; i < 4; ++i) group.fail(i, 5, 1'000);
  CHECK(group.counts.ejections == 2);
  CHECK(group.counts.kept == 2);
  CHECK(group.asked(2, 1'000));
  Group pair(2);
  pair.fail(0, 5, 1'000);
  CHECK(!pair.asked(0, 1'000));
  Group alone(1);
  alone.fail(0, 50, 1'000);
  CHECK(alone.asked(0, 1'000));
}

TEST_CASE("outlier: below the panic share everybody is asked again") {
  Group group(4);
  group.fail(0, 5, 1'000);
  group.cluster.check_failed.push_back(group.endpoints[1].get());
  ++group.generation;
  CHECK(!group.asked(0, 1'000));
  CHECK(!group.asked(1, 1'000));
  group.cluster.check_failed.push_back(group.endpoints[2].get());
  ++group.generation;
  for (size_t i = 0; i < 4; ++i) CHECK(group.asked(i, 1'000));
  CHECK(group.cluster.panic);
}

TEST_CASE("endpoint_state: what the workers know of an endpoint is added up") {
  EndpointState all, other;
  all.latency_ms = 10;
  all.in_flight = 1;
  all.requests = 5;
  other.latency_ms = 40;
  other.in_flight = 2;
  other.requests = 7;
  other.stale = 3;
  other.ejected_millis = 900;
  other.check_failed = true;
  all.add(other);
  all.add(other);
  CHECK(all.workers == 3);
  CHECK(all.latency_ms == doctest::Approx(30));
  CHECK(all.in_flight == 5);
  CHECK(all.requests == 19);
  CHECK(all.stale == 6);
  CHECK(all.ejected_millis == 900);
  CHECK(all.check_failed);
  CHECK(!all.panic);
}

TEST_CASE("policy: an empty list allows everybody, another one needs a name of the caller's") {
  const hms::net::CertificateNames cart{.uris = {"spiffe://mesh/cart"}, .dns = {"cart.mesh"}};
  CHECK(is_allowed({}, {}));
  CHECK(!is_allowed({"cart.mesh"}, {}));
  CHECK(is_allowed({"shop.mesh", "cart.mesh"}, cart));
  CHECK(!is_allowed({"shop.mesh", "spiffe://mesh/shop"}, cart));
}

TEST_CASE("route_learner: workers that share what they learn give the same names") {
  hms::telemetry::NameTable first_names, second_names, all_names;
  RouteLearner first(first_names), second(second_names), all(all_names);
  const auto name = [](const std::string& word) { return "/shops/name-" + word + "/stock"; };
  for (int i = 0; i < 20; ++i) {
    (void)first.route("", name(std::string(1, static_cast<char>('a' + i))), true);
    (void)second.route("", name("z" + std::string(1, static_cast<char>('a' + i))), true);
  }
  for (auto* learner : {&first, &second}) {
    for (const std::string& news : learner->take_news()) all.learn(news);
  }
  CHECK(first.templates().size() == 20);
  first.adopt(all.learned());
  second.adopt(all.learned());
  CHECK(first.templates() == second.templates());
  CHECK(first.templates() == std::vector<std::string>{"/shops/{value}/stock"});
  CHECK(first_names.name(first.route("", name("new"), true)) == "/shops/{value}/stock");
  CHECK(first.take_news().empty());
  CHECK(first.learned() == all.learned());
}
