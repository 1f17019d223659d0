#include "collector/canary/plan.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

using namespace hms::collector;
using nlohmann::json;

namespace {

json good() {
  return json::parse(
      R"({"service":"claims","baseline":"claims-v1","canary":"claims-v2","steps":[5,10,25,50,100],"step_seconds":30,"limits":{"error_rate":0.05,"p99_ms":2000}})");
}

std::string fault_of(json value, std::string_view name = "claims-v2") {
  auto plan = read_plan(name, value);
  return plan ? "" : plan.error().detail;
}

json with(const char* key, json value) {
  json out = good();
  out[key] = std::move(value);
  return out;
}

}  // namespace

TEST_CASE("plan: what the page shows is read and written back the same") {
  auto plan = read_plan("claims-v2", good());
  REQUIRE(plan.ok());
  CHECK(plan->steps == std::vector<int>{5, 10, 25, 50, 100});
  CHECK(plan->step_seconds == 30);
  nlohmann::ordered_json out;
  write_plan(*plan, out);
  json expected = good();
  expected["name"] = "claims-v2";
  CHECK(json(out) == expected);
  CHECK(*read_plan("claims-v2", json(out)) == *plan);
}

TEST_CASE("plan: steps, times and limits have defaults") {
  auto plan = read_plan("c", json::parse(R"({"service":"s","baseline":"a","canary":"b"})"));
  REQUIRE(plan.ok());
  CHECK(plan->steps.back() == 100);
  CHECK(plan->limits.error_rate == 0.05);
}

TEST_CASE("plan: each fault names its field and what is allowed") {
  CHECK(fault_of(json::array()).find("JSON object") != std::string::npos);
  json missing = good();
  missing.erase("service");
  CHECK(fault_of(missing) == "service is missing");
  CHECK(fault_of(with("service", 7)) == "service is 7, expected a text");
  CHECK(fault_of(with("canary", "claims-v1")) ==
        "baseline and canary are both \"claims-v1\", expected two upstreams");
  CHECK(fault_of(with("steps", json::array())).find("steps is []") == 0);
  CHECK(fault_of(with("steps", {5, 5})) == "steps[1] is 5, expected more than the one before (5)");
  CHECK(fault_of(with("steps", {5, 101})) ==
        "steps[1] is 101, expected a whole number from 1 to 100");
  CHECK(fault_of(with("steps", {5, 7.5})) ==
        "steps[1] is 7.5, expected a whole number from 1 to 100");
  CHECK(fault_of(with("step_seconds", 0)) ==
        "step_seconds is 0, expected a whole number from 1 to 86400");
  CHECK(fault_of(with("limits", {{"error_rate", 1.5}})) ==
        "limits.error_rate is 1.5, expected 0.0 to 1.0");
  CHECK(fault_of(with("limits", {{"p99", 1}})) ==
        "limits: unknown field \"p99\"; allowed: error_rate, p99_ms");
  CHECK(fault_of(with("wieght", 1)).find("unknown field \"wieght\"; allowed: name, service") == 0);
  CHECK(fault_of(good(), "a/b").find("a canary's name") == 0);
  CHECK(fault_of(with("name", "other")).find("name is \"other\"") == 0);
  CHECK(fault_of(with("service", std::string(300, 'x'))).find("service has 300 bytes") == 0);
}
