#include "collector/alerts/rules.h"

#include <doctest/doctest.h>

using namespace hms;
using namespace hms::collector;

namespace {

std::string faults_of(std::string_view text) {
  RuleSet set;
  net::YamlErrors errors;
  read_rules(text, "claims.yaml", set, errors);
  return errors.text();
}

RuleSet good(std::string_view text) {
  RuleSet set;
  net::YamlErrors errors;
  read_rules(text, "claims.yaml", set, errors);
  CHECK_MESSAGE(errors.empty(), errors.text());
  return set;
}

}  // namespace

TEST_CASE("rules: a Prometheus rule file is read with all its fields") {
  const RuleSet set = good(R"(
groups:
  - name: claims
    interval: 15s
    limit: 10
    labels: {team: storm}
    rules:
      - record: job:up:sum
        expr: sum(up)
      - alert: Down
        expr: up == 0
        for: 1m30s
        keep_firing_for: 5m
        labels: {severity: page, team: other}
        annotations: {summary: "{{ $labels.instance }} is down"}
)");
  REQUIRE(set.groups.size() == 1);
  const RuleGroup& group = set.groups[0];
  CHECK(group.interval == net::Millis(15'000));
  CHECK(group.limit == 10);
  REQUIRE(group.rules.size() == 2);
  CHECK(group.rules[0].kind == Rule::Kind::recording);
  CHECK(group.rules[0].labels.size() == 1);
  const Rule& down = group.rules[1];
  CHECK(down.hold == net::Millis(90'000));
  CHECK(down.keep_firing == net::Millis(300'000));
  REQUIRE(down.labels.size() == 2);
  CHECK(down.labels[1].second.text() == "other");
  CHECK(down.expression_text == "up == 0");
}

TEST_CASE("rules: the default rules are read without a fault and there are two") {
  REQUIRE(default_rules().groups.size() == 1);
  CHECK(default_rules().groups[0].rules.size() == 2);
}

TEST_CASE("rules: an empty document has no rules and no faults") {
  CHECK(good("").groups.empty());
  CHECK(good("groups: []").groups.empty());
}

TEST_CASE(
    "rules: every fault is told at once, with file, line and key; one in PromQL with its own "
    "place") {
  const std::string faults = faults_of(R"(groups:
  - name: a
    intervall: 5s
    rules:
      - alert: X
        expr: rate(up[5m]
        for: soon
      - alert: Y
        record: z
        expr: up
      - record: "1bad"
        expr: up
        for: 1s
  - name: a
    query_offset: 5m
    rules:
      - alert: Z
        expr: up
        labels: {alertname: other, "bad-name": x}
        annotations: {summary: "{{ nosuch }}"}
      - alert: Z
        expr: up
        labels: {alertname: other, "bad-name": x}
)");
  for (const char* part :
       {"claims.yaml:3:", "unknown key 'intervall'", "claims.yaml:6:", "/groups/0/rules/0/expr",
        "PromQL 1:", "\"soon\" is no duration", "a rule has either alert or record",
        "\"1bad\" is no metric name", "not in a recording rule", "the group \"a\" is there twice",
        "only 0s is supported", "the label alertname is set by the rule's own name",
        "\"bad-name\" is no label name", "unknown function \"nosuch\"",
        "the rule \"Z\" is there twice"}) {
    CHECK_MESSAGE(faults.find(part) != std::string::npos, part << " not in\n" << faults);
  }
}

TEST_CASE("rules: no YAML, a wrong shape and a missing file are faults, not accidents") {
  CHECK_FALSE(faults_of("groups: {").empty());
  CHECK_FALSE(faults_of("groups: 7").empty());
  CHECK_FALSE(faults_of("- 1").empty());
  CHECK_FALSE(faults_of("groups: [{name: x, rules: [7]}]").empty());
  net::YamlErrors errors;
  CHECK(load_rules("/nonexistent/rules.yaml", errors).groups.empty());
  CHECK_FALSE(errors.empty());
}

TEST_CASE("rules: durations are Prometheus' own") {
  CHECK(parse_rule_duration("1h30m").value() == net::Millis(5'400'000));
  CHECK(parse_rule_duration("0").value() == net::Millis(0));
  CHECK(parse_rule_duration("250ms").value() == net::Millis(250));
  for (const char* text : {"", "5", "m5", "5m1h", "1.5h", "-1s"})
    CHECK_FALSE(parse_rule_duration(text).ok());
}
