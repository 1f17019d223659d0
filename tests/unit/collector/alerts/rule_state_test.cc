#include "collector/alerts/rule_state.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

using namespace hms;
using namespace hms::collector;

namespace {

struct Fixture {
  RuleGroup group;
  Rule rule;
  RuleState state;
  explicit Fixture(int hold_ms = 0, int keep_ms = 0) {
    group.name = "g";
    rule.name = "Down";
    rule.hold = net::Millis(hold_ms);
    rule.keep_firing = net::Millis(keep_ms);
    rule.labels.emplace_back("severity", Template::parse("page").value());
    rule.annotations.emplace_back("summary",
                                  Template::parse("{{ $labels.job }} {{ $value }}").value());
  }
  std::string step(int64_t t, const std::vector<RuleResult>& results) {
    auto changes = state.update(group, rule, results, t);
    REQUIRE(changes.ok());
    std::string text;
    for (const AlertChange& change : *changes) {
      switch (change.kind) {
        case AlertChange::Kind::pending:
          text += "pending ";
          break;
        case AlertChange::Kind::firing:
          text += "firing ";
          break;
        case AlertChange::Kind::resolved:
          text += "resolved ";
          break;
        case AlertChange::Kind::dropped:
          text += "dropped ";
          break;
      }
    }
    return text;
  }
};

const std::vector<RuleResult> kBad = {{{{"job", "api"}}, 3}};

}  // namespace

TEST_CASE("rule state: without `for` a result fires at once and resolves when it is gone") {
  Fixture f;
  CHECK(f.step(1000, kBad) == "firing ");
  const Alert& alert = f.state.active().begin()->second;
  CHECK(alert.labels == LabelMap{{"alertname", "Down"}, {"job", "api"}, {"severity", "page"}});
  CHECK(alert.annotations.at("summary") == "api 3");
  CHECK(alert.active_at == 1000);
  CHECK(f.step(2000, kBad).empty());
  CHECK(f.step(3000, {}) == "resolved ");
  CHECK(f.state.active().empty());
}

TEST_CASE("rule state: with `for` it is pending first, and forgotten if it does not hold") {
  Fixture f(5000);
  CHECK(f.step(1000, kBad) == "pending ");
  CHECK(f.step(3000, {}) == "dropped ");
  CHECK(f.step(4000, kBad) == "pending ");
  CHECK(f.step(8000, kBad).empty());
  CHECK(f.step(9000, kBad) == "firing ");
  CHECK(f.state.active().begin()->second.active_at == 4000);
  CHECK(f.state.worst() == AlertState::firing);
}

TEST_CASE("rule state: keep_firing_for bridges a gap, and counts from the last result") {
  Fixture f(0, 5000);
  CHECK(f.step(1000, kBad) == "firing ");
  CHECK(f.step(2000, {}).empty());
  CHECK(f.step(6000, kBad).empty());
  CHECK(f.step(7000, {}).empty());
  CHECK(f.step(11'000, {}).empty());
  CHECK(f.step(12'000, {}) == "resolved ");
}

TEST_CASE("rule state: an alert from before a restart waits for data") {
  Fixture before;
  CHECK(before.step(1000, kBad) == "firing ");
  Alert alert = alert_from_json(to_json(before.state.active().begin()->second)).value();
  Fixture after;
  after.state.restore(alert, 20'000);
  CHECK(after.step(10'000, {}).empty());
  CHECK(after.step(12'000, kBad).empty());
  CHECK(after.state.active().begin()->second.fired_at == 1000);
  CHECK(after.step(21'000, {}) == "resolved ");
}

TEST_CASE(
    "rule state: two results of the same labels, and more than the limit, are errors that change "
    "nothing") {
  Fixture f;
  CHECK(f.step(1000, kBad) == "firing ");
  auto twice = f.state.update(f.group, f.rule,
                              {{{{"job", "a"}, {"severity", "x"}}, 1}, {{{"job", "a"}}, 1}}, 2000);
  REQUIRE_FALSE(twice.ok());
  CHECK(twice.error().detail.find("same labels") != std::string::npos);
  f.group.limit = 1;
  CHECK_FALSE(
      f.state.update(f.group, f.rule, {{{{"job", "a"}}, 1}, {{{"job", "b"}}, 1}}, 2000).ok());
  CHECK(f.state.active().size() == 1);
  CHECK(f.step(3000, kBad).empty());
}

TEST_CASE("rule state: a rule that goes resolves what fires") {
  Fixture f(0);
  CHECK(f.step(1000, kBad) == "firing ");
  const auto changes = f.state.clear(2000);
  REQUIRE(changes.size() == 1);
  CHECK(changes[0].kind == AlertChange::Kind::resolved);
  CHECK(changes[0].alert.resolved_at == 2000);
}

TEST_CASE("alert: the fingerprint is Prometheus' and does not change") {
  // labels.LabelSet.Fingerprint of {alertname="Always"}: FNV-1a 64 over "alertname" 0xFF "Always"
  // 0xFF
  CHECK(fingerprint({{"alertname", "Always"}}).size() == 16);
  CHECK(fingerprint({{"a", "bc"}}) != fingerprint({{"ab", "c"}}));
  CHECK(fingerprint({}) == "cbf29ce484222325");
}

TEST_CASE("alert: numbers are written as Prometheus writes them") {
  CHECK(api_number(1) == "1e+00");
  CHECK(api_number(0.055) == "5.5e-02");
  CHECK(api_number(-0.1) == "-1e-01");
}

TEST_CASE("alert: a stored record that is damaged is refused, not believed") {
  CHECK_FALSE(alert_from_json(nlohmann::json::array()).ok());
  CHECK_FALSE(alert_from_json(
                  nlohmann::json::parse(R"({"labels":{"a":1},"annotations":{},"state":"firing"})"))
                  .ok());
  CHECK_FALSE(alert_from_json(
                  nlohmann::json::parse(R"({"labels":{"a":"b"},"annotations":{},"state":"angry"})"))
                  .ok());
}
