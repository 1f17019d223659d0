#include "proxy/config/parse.h"

#include <doctest/doctest.h>

#include "proxy/config/keys.h"
#include "proxy/config/snapshot.h"
#include "tests/unit/proxy/support.h"

using namespace hms::proxy;
using hms::net::YamlErrors;

namespace {

Config read(const std::string& text, YamlErrors& errors) {
  Config config;
  read_config_text(text, "test.yaml", config, errors);
  check_config(config, errors);
  return config;
}

/// The YAML that sets one key of the registry to its example.
std::string sample(const ConfigKey& key) {
  const std::string path(key.path), example(key.example);
  const auto last = path.substr(path.rfind('.') + 1);
  const std::string upstream = "upstreams: {u: {endpoints: [\"127.0.0.1:1\"]}}\n";
  const std::string mutual =
      "listeners: {inbound: {tls: {certificate: a, key: b, ca: c, verify: required}";
  if (path == "listeners.inbound.allow") return mutual + ", allow: " + example + "}}\n";
  if (path == "routes[].allow") return mutual + "}}\nroutes: [{allow: " + example + "}]\n";
  for (const std::string map : {"outlier", "health_check"}) {
    if (path.rfind("upstreams.*." + map + ".", 0) == 0)
      return "upstreams: {u: {endpoints: [\"127.0.0.1:1\"], " + map + ": {" + last + ": " +
             example + "}}}\n";
  }
  if (path.rfind("upstreams.*.", 0) == 0)
    return last == "endpoints"
               ? "upstreams: {u: {endpoints: " + example + "}}\n"
               : "upstreams: {u: {endpoints: [\"127.0.0.1:1\"], " + last + ": " + example + "}}\n";
  if (path == "routes[].split[].upstream")
    return upstream + "routes: [{split: [{upstream: " + example + ", weight: 1}]}]\n";
  if (path == "routes[].split[].weight")
    return upstream + "routes: [{split: [{upstream: u, weight: " + example + "}]}]\n";
  if (path.rfind("routes[].match.", 0) == 0)
    return "routes: [{match: {" + last + ": " + example + "}}]\n";
  if (path.rfind("routes[].retries.", 0) == 0)
    return "routes: [{retries: {" + last + ": " + example + "}}]\n";
  if (path.rfind("routes[].", 0) == 0)
    return upstream + "routes: [{" + last + ": " + example + "}]\n";
  std::string text = example;
  size_t end = path.size();
  while (end != std::string::npos) {
    const size_t dot = path.rfind('.', end - 1);
    const std::string part =
        dot == std::string::npos ? path.substr(0, end) : path.substr(dot + 1, end - dot - 1);
    text = dot == std::string::npos ? part + ": " + text + "\n" : "{" + part + ": " + text + "}";
    end = dot;
  }
  return text;
}

}  // namespace

TEST_CASE("config: the parser takes the example of every key of the registry") {
  for (const ConfigKey& key : kConfigKeys) {
    CAPTURE(std::string(key.path));
    YamlErrors errors;
    (void)read(sample(key), errors);
    CHECK(errors.text() == "");
  }
}

TEST_CASE(
    "config: docs/config.md has a row with the default for every key of the registry, and no "
    "other") {
  const std::string doc = read_repository_file("docs/config.md");
  for (const ConfigKey& key : kConfigKeys) {
    CAPTURE(std::string(key.path));
    CHECK(doc.find("| `" + std::string(key.path) + "` | " + std::string(key.unit) + " | " +
                   std::string(key.default_value) + " |") != std::string::npos);
  }
}

TEST_CASE("config: documented defaults are the ones in force") {
  const Config config;
  CHECK(config.inbound_address == "127.0.0.1:15006");
  CHECK(config.admin_address == "127.0.0.1:15000");
  CHECK(config.timeouts.connect == Millis{1'000});
  CHECK(config.timeouts.connect_loopback == Millis{250});
  CHECK(config.timeouts.header == Millis{10'000});
  CHECK(config.timeouts.idle == Millis{75'000});
  CHECK(config.limits.head == 64 * 1024);
  CHECK(config.limits.fields == 128);
  CHECK(config.drain.deadline == Millis{25'000});
  CHECK_FALSE(config.trust_forwarded);
}

TEST_CASE("config: the example of the page is read as it says") {
  YamlErrors errors;
  const Config config = read(R"(
service: claims
upstreams:
  claims-v1: {endpoints: ["10.0.0.11:8080", "10.0.0.12:8080"], balance: peak_ewma}
  claims-v2: {endpoints: ["10.0.0.21:8080"]}
routes:
  - match: {host: "Claims", path: "/claims/{id}", methods: [GET, POST]}
    split: [{upstream: claims-v1, weight: 95}, {upstream: claims-v2, weight: 5}]
    timeout: 15s
    retries: {attempts: 2, on: [connect, reset, 503], budget: 20%}
)",
                             errors);
  REQUIRE(errors.text() == "");
  CHECK(config.upstreams.size() == 2);
  CHECK(config.upstreams[0].endpoints.size() == 2);
  const RouteConfig& route = config.routes.at(0);
  CHECK(route.host == "claims");
  CHECK(route.timeout == Millis{15'000});
  CHECK(route.retries.attempts == 2);
  CHECK(route.retries.on_connect);
  CHECK(route.retries.on_reset);
  CHECK(route.retries.on_status.test(503));
  CHECK(route.retries.budget == doctest::Approx(0.2));
}

TEST_CASE("config: every fault is reported, each with its place") {
  YamlErrors errors;
  (void)read(
      "services: x\nthreads: 0\nroutes:\n  - match: {path: claims}\n  - upstream: nobody\nlimits: "
      "{head: 1}\n",
      errors);
  CHECK(errors.all().size() == 5);
  const std::string text = errors.text();
  CHECK(text.find("test.yaml:1:") != std::string::npos);
  CHECK(text.find("test.yaml:2:") != std::string::npos);
  CHECK(text.find("test.yaml:4:") != std::string::npos);
  CHECK(text.find("test.yaml:5") != std::string::npos);
  CHECK(text.find("nobody") != std::string::npos);
}

TEST_CASE("config: path patterns take whole segments") {
  CHECK(path_matches(compile_path("/claims/{id}"), "/claims/7"));
  CHECK_FALSE(path_matches(compile_path("/claims/{id}"), "/claims/"));
  CHECK_FALSE(path_matches(compile_path("/claims/{id}"), "/claims/7/parts"));
  CHECK_FALSE(path_matches(compile_path("/claims/{id}"), "/claims"));
  CHECK(path_matches(compile_path("/claims/*"), "/claims/7/parts"));
  CHECK(path_matches(compile_path("/*"), "/"));
  CHECK(path_matches(compile_path("/"), "/"));
  CHECK_FALSE(path_matches(compile_path("/"), "/a"));
  CHECK_FALSE(path_matches(compile_path("/a"), "*"));
  CHECK(path_matches(compile_path(""), "anything"));
}
