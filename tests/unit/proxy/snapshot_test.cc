#include "proxy/config/snapshot.h"

#include <doctest/doctest.h>

#include "proxy/config/parse.h"

using namespace hms::proxy;

namespace {

SnapshotPtr snapshot_of(const std::string& text, const std::vector<CanaryWeight>& canaries = {}) {
  Config config;
  hms::net::YamlErrors errors;
  read_config_text(text, "test.yaml", config, errors);
  REQUIRE(errors.text() == "");
  return make_snapshot(config, {}, canaries, 1, 1);
}

const std::string kUpstreams =
    "upstreams: {v1: {endpoints: ['127.0.0.1:1']}, v2: {endpoints: ['127.0.0.1:2']}, v3: "
    "{endpoints: ['127.0.0.1:3']}}\n";

std::vector<double> weights(const RoutePlan& route) {
  std::vector<double> all;
  for (const SplitPlan& entry : route.split) all.push_back(entry.weight);
  return all;
}

}  // namespace

TEST_CASE("snapshot: weights are shares of what they add up to") {
  const auto snapshot = snapshot_of(
      kUpstreams + "routes: [{split: [{upstream: v1, weight: 3}, {upstream: v2, weight: 1}]}]\n");
  CHECK(weights(snapshot->routes[0]) == std::vector<double>{75, 25});
  CHECK(snapshot->routes[0].is_split);
  CHECK(snapshot->routes[0].split.back().end == doctest::Approx(1.0));
}

TEST_CASE("snapshot: a canary takes its percent of what baseline and canary have together") {
  const CanaryWeight canary{"c", "s", "v1", "v2", 10};
  const auto snapshot = snapshot_of(kUpstreams +
                                        "routes: [{split: [{upstream: v1, weight: 60}, {upstream: "
                                        "v2, weight: 20}, {upstream: v3, weight: 20}]}]\n",
                                    {canary});
  const auto all = weights(snapshot->routes[0]);
  CHECK(all[0] == doctest::Approx(72));
  CHECK(all[1] == doctest::Approx(8));
  CHECK(all[2] == doctest::Approx(20));
}

TEST_CASE("snapshot: a route to the baseline alone becomes a split, a route to others does not") {
  const CanaryWeight canary{"c", "s", "v1", "v2", 25};
  const auto snapshot =
      snapshot_of(kUpstreams + "routes: [{upstream: v1}, {upstream: v3}]\n", {canary});
  CHECK(weights(snapshot->routes[0]) == std::vector<double>{75, 25});
  CHECK(snapshot->routes[1].split.size() == 1);
}

TEST_CASE(
    "snapshot: what comes in is moved by the service's own canaries only, what goes out by "
    "anyone's") {
  const std::string route =
      "routes: [{split: [{upstream: v1, weight: 90}, {upstream: v2, weight: 10}]}]\n";
  const std::string listeners = "service: ui\nlisteners: {outbound: {address: '127.0.0.1:0'}}\n";
  const CanaryWeight own{"c", "ui", "v1", "v2", 50}, foreign{"d", "claims", "v1", "v2", 25};

  const auto inbound_only = snapshot_of("service: ui\n" + kUpstreams + route, {foreign});
  REQUIRE(inbound_only->routes.size() == 1);
  CHECK(weights(inbound_only->routes[0]) == std::vector<double>{90, 10});

  const auto both = snapshot_of(listeners + kUpstreams + route, {own});
  REQUIRE(both->routes.size() == 1);
  CHECK(weights(both->routes[0]) == std::vector<double>{50, 50});

  const auto apart = snapshot_of(listeners + kUpstreams + route, {foreign});
  REQUIRE(apart->routes.size() == 2);
  CHECK(apart->routes[0].config.listener == ListenerChoice::outbound);
  CHECK(weights(apart->routes[0]) == std::vector<double>{75, 25});
  CHECK(apart->routes[1].config.listener == ListenerChoice::inbound);
  CHECK(weights(apart->routes[1]) == std::vector<double>{90, 10});
}

TEST_CASE("snapshot: a canary of upstreams that do not exist changes nothing") {
  const auto snapshot = snapshot_of(kUpstreams + "routes: [{upstream: v1}]\n",
                                    {{"c", "s", "v1", "v9", 50}, {"d", "s", "v9", "v1", 50}});
  CHECK(snapshot->routes[0].split.size() == 1);
}

TEST_CASE("snapshot: a key's share is even, the same for ever, and independent between splits") {
  CHECK(share_of_key(1, "user-1") == share_of_key(1, "user-1"));
  CHECK(share_of_key(1, "user-1") != share_of_key(2, "user-1"));
  int below = 0, both = 0;
  constexpr int kKeys = 20'000;
  for (int i = 0; i < kKeys; ++i) {
    const std::string key = "user-" + std::to_string(i);
    const bool first = share_of_key(0x1234, key) < 0.1;
    below += first ? 1 : 0;
    both += first && share_of_key(0x9876, key) < 0.1 ? 1 : 0;
  }
  CHECK(below > kKeys / 10 * 9 / 10);
  CHECK(below < kKeys / 10 * 11 / 10);
  CHECK(both < kKeys / 50);
}

TEST_CASE("snapshot: names wait to be resolved, literals do not") {
  Config config;
  config.app = "localhost:80";
  config.upstreams.push_back(
      {"u", {{"127.0.0.1", 1}, {"claims", 8080}, {"::1", 2}}, Balance::round_robin, Millis{0}});
  const auto names = names_to_resolve(config);
  REQUIRE(names.size() == 2);
  CHECK(text_of(names[1]) == "claims:8080");
  const Resolved resolved = {{"claims:8080",
                              {*hms::net::SocketAddress::parse("10.0.0.1:8080"),
                               *hms::net::SocketAddress::parse("10.0.0.2:8080")}}};
  const auto snapshot = make_snapshot(config, resolved, {}, 0, 1);
  CHECK(snapshot->upstreams[1].endpoints.size() == 4);
  CHECK(snapshot->upstreams[0].endpoints.empty());
}
