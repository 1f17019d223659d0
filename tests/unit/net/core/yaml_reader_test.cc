#include "net/core/yaml_reader.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace hms::net {
namespace {

bool mentions(const YamlErrors& errors, std::string_view text) {
  return errors.text().find(text) != std::string::npos;
}

constexpr const char* kRoutes = R"(service: claims
listeners:
  inbound: {address: "0.0.0.0:15006"}
routes:
  - match: {path: "/claims/{id}"}
    split:
      - {upstream: v1, wieght: 95}
      - {upstream: v2, weight: 500}
    timeout: 15
    retries: [1]
)";

}  // namespace

TEST_CASE(
    "yaml: every fault is reported at once, with file, line, column, path and what is allowed") {
  YamlErrors errors;
  const YamlNode root = parse_yaml(kRoutes, "claims.yaml", errors);
  std::string service;
  CHECK(root.get("service").read(service));
  CHECK(service == "claims");
  for (const YamlNode& route : root.get("routes").items()) {
    for (const YamlNode& split : route.get("split").items()) {
      std::string upstream;
      CHECK(split.require("upstream").read(upstream));
      int64_t weight = -1;
      split.get("weight").read_integer(weight, 0, 100);
      CHECK(weight == -1);
      split.finish();
    }
    Millis timeout{1};
    CHECK(!route.get("timeout").read_duration(timeout, Millis(1), Millis(60'000)));
    CHECK(timeout == Millis(1));
    route.get("retries").require("attempts");
    route.get("retries").finish();
    route.get("match");
    route.finish();
  }
  root.require("collector");
  root.finish();
  CHECK(errors.all().size() == 6);
  CHECK(mentions(
      errors,
      "claims.yaml:7:24: /routes/0/split/0: unknown key 'wieght'; allowed: upstream, weight"));
  CHECK(mentions(errors,
                 "claims.yaml:8:32: /routes/0/split/1/weight: must be from 0 to 100, found '500'"));
  CHECK(mentions(errors, "claims.yaml:9:14: /routes/0/timeout: expected a duration with its unit"));
  CHECK(mentions(errors, "claims.yaml:10:14: /routes/0/retries: expected a mapping, found a list"));
  CHECK(mentions(errors, "claims.yaml:1:1: required key 'collector' is missing"));
  CHECK(mentions(errors,
                 "claims.yaml:2:1: unknown key 'listeners'; allowed: collector, routes, service"));
}

TEST_CASE("yaml: a key given twice is a fault, in read and in listed mappings") {
  YamlErrors errors;
  const YamlNode root = parse_yaml("a: 1\nb: {x: 1, x: 2}\na: 3\n", "f", errors);
  root.get("a");
  CHECK(root.get("b").entries().size() == 2);
  CHECK(root.get("b").entries().size() == 2);
  root.finish();
  CHECK(errors.all().size() == 2);
  CHECK(mentions(errors, "f:3:1: key 'a' is given twice"));
  CHECK(mentions(errors, "f:2:11: /b: key 'x' is given twice"));
}

TEST_CASE("yaml: what is absent or null leaves its target and is no fault; required, it is one") {
  YamlErrors errors;
  const YamlNode root = parse_yaml("here:\nquoted: \"\"\n", "f", errors);
  std::string text = "before";
  bool flag = true;
  CHECK(!root.get("here").read(text));
  CHECK(!root.get("gone").read(flag));
  CHECK(!root.get("gone").get("deeper").get("still").read(text));
  CHECK(root.get("gone").items().empty());
  CHECK(root.get("gone").entries().empty());
  CHECK(!root.get("here").present());
  CHECK(text == "before");
  CHECK(errors.empty());
  CHECK(root.get("quoted").read(text));
  CHECK(text.empty());
  root.require("here");
  root.require("gone");
  CHECK(errors.all().size() == 2);
  std::string nothing;
  CHECK(!YamlNode().read(nothing));
  CHECK(!YamlNode().get("x").present());
  CHECK(YamlNode().path().empty());
}

TEST_CASE("yaml: scalars in all their forms") {
  YamlErrors errors;
  const auto node = [&](const std::string& value) {
    return parse_yaml("v: " + value, "f", errors).get("v");
  };
  const auto duration = [&](const std::string& value) {
    Millis target{-1};
    node(value).read_duration(target, Millis(0), std::chrono::hours(24 * 30));
    return target.count();
  };
  CHECK(duration("250ms") == 250);
  CHECK(duration("15s") == 15'000);
  CHECK(duration("1.5s") == 1'500);
  CHECK(duration("2m") == 120'000);
  CHECK(duration("1h") == 3'600'000);
  CHECK(duration("30d") == 2'592'000'000);
  CHECK(duration("0s") == 0);
  const auto size = [&](const std::string& value) {
    uint64_t target = 7;
    node(value).read_size(target, 0, uint64_t{1} << 40);
    return target;
  };
  CHECK(size("512") == 512);
  CHECK(size("512B") == 512);
  CHECK(size("64KiB") == 65'536);
  CHECK(size("1MiB") == 1'048'576);
  CHECK(size("2GiB") == 2'147'483'648);
  CHECK(size("1kB") == 1'000);
  CHECK(size("3 MB") == 3'000'000);
  CHECK(size("0.5KiB") == 512);
  double number = 0;
  CHECK(node("20%").read_fraction(number, 0, 1));
  CHECK(number == doctest::Approx(0.2));
  CHECK(node("0.2").read_fraction(number, 0, 1));
  CHECK(number == doctest::Approx(0.2));
  CHECK(node("-1.5e2").read_number(number, -1000, 0));
  CHECK(number == -150);
  int64_t integer = 0;
  CHECK(node("-9223372036854775808").read_integer(integer, INT64_MIN, INT64_MAX));
  CHECK(integer == INT64_MIN);
  bool flag = false;
  CHECK(node("true").read(flag));
  CHECK(flag);
  std::string choice;
  CHECK(node("peak_ewma").read_choice(choice, {"round_robin", "peak_ewma"}));
  CHECK(choice == "peak_ewma");
  CHECK(errors.empty());
}

TEST_CASE("yaml: wrong scalars name what is expected") {
  const auto fault = [](const std::string& value, auto read) {
    YamlErrors errors;
    const YamlNode root = parse_yaml("v: " + value, "f", errors);
    CHECK(!read(root.get("v")));
    CHECK(errors.all().size() == 1);
    return errors.text();
  };
  const auto has = [](const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
  };
  Millis millis{};
  const auto duration = [&](const YamlNode& n) {
    return n.read_duration(millis, Millis(1), Millis(60'000));
  };
  for (const char* bad :
       {"15", "s", "1.2.3s", "-1s", "15 parsecs", "9999999999999999d", "0.0001ms", "[1s]"}) {
    CAPTURE(bad);
    fault(bad, duration);
  }
  CHECK(has(fault("2h", duration), "must be from 1ms to 1m, found '2h'"));
  CHECK(has(fault("15", duration), "ms, s, m, h or d"));
  uint64_t bytes = 0;
  const auto size = [&](const YamlNode& n) { return n.read_size(bytes, 1024, 1 << 20); };
  CHECK(has(fault("12", size), "must be from 1KiB to 1MiB"));
  CHECK(has(fault("1KB", size), "KiB"));
  CHECK(has(fault("99999999999999999999GiB", size), "expected a size"));
  int64_t integer = 0;
  const auto whole = [&](const YamlNode& n) { return n.read_integer(integer, 1, 9); };
  for (const char* bad : {"1.5", "x", "0x10", "99999999999999999999", "''", "1 "})
    fault(bad == std::string("1 ") ? "'1 '" : bad, whole);
  bool flag = false;
  for (const char* bad : {"yes", "1", "True", "{}"})
    fault(bad, [&](const YamlNode& n) { return n.read(flag); });
  double number = 0;
  for (const char* bad : {"nan", "inf", "-5%", "120%", "%"}) {
    fault(bad, [&](const YamlNode& n) { return n.read_fraction(number, 0, 1); });
  }
  std::string choice;
  CHECK(has(fault("random",
                  [&](const YamlNode& n) {
                    return n.read_choice(choice, {"a", "b"});
                  }),
            "expected one of a, b, found 'random'"));
  std::string text;
  CHECK(has(fault("[a, b]", [&](const YamlNode& n) { return n.read(text); }),
            "expected a single value, found a list"));
}

TEST_CASE("yaml: syntax faults have their place and give an absent node") {
  for (const char* bad :
       {"a: [1, 2", "a: b: c", "\t- x", "a: 'x", "&a [*b]", "%YAML 9.9\n%YAML 1.1\n---\n",
        "a: 1\n---\nb: 2\n", "- *nowhere", "{a: &x [*x]}", "? [a, b]\n: {c: *y}"}) {
    CAPTURE(bad);
    YamlErrors errors;
    CHECK(!parse_yaml(bad, "bad.yaml", errors).present());
    REQUIRE(errors.all().size() == 1);
    CHECK(errors.all()[0].line > 0);
    CHECK(errors.all()[0].message.size() > 5);
  }
}

TEST_CASE("yaml: an empty document is absent without a fault") {
  for (const char* empty : {"", "\n\n", "# only a comment\n", "---\n", "~"}) {
    YamlErrors errors;
    const YamlNode root = parse_yaml(empty, "f", errors);
    CHECK(!root.present());
    CHECK(!root.get("x").present());
    root.finish();
    CHECK(errors.empty());
  }
}

TEST_CASE("yaml: hostile documents end at the limits instead of eating the machine") {
  const auto fault = [](const std::string& text) {
    YamlErrors errors;
    CHECK(!parse_yaml(text, "f", errors).present());
    REQUIRE(errors.all().size() == 1);
    return errors.all()[0].message;
  };
  CHECK(fault(std::string(500'000, '[')).find("deeper than 64") != std::string::npos);
  CHECK(fault(std::string(500'000, '{')).size() > 0);
  std::string dashes;
  for (int i = 0; i < 100'000; ++i) dashes += "- ";
  CHECK(fault(dashes).find("deeper than 64") != std::string::npos);
  std::string questions;
  for (int i = 0; i < 100'000; ++i) questions += "? ";
  CHECK(fault(questions).size() > 0);
  CHECK(fault(std::string(2 * 1024 * 1024, 'a')).find("1024 KiB") != std::string::npos);
  std::string wide = "[";
  for (int i = 0; i < 150'000; ++i) wide += "1,";
  CHECK(fault(wide + "]").find("100000 nodes") != std::string::npos);
  std::string laughs = "a: &a [x,x,x,x,x,x,x,x,x,x]\n";
  for (char c = 'b'; c <= 'i'; ++c) {
    const std::string before(1, static_cast<char>(c - 1));
    laughs += std::string(1, c) + ": &" + c + " [";
    for (int i = 0; i < 10; ++i) laughs += "*" + before + ",";
    laughs += "]\n";
  }
  CHECK(fault(laughs).find("100000 nodes") != std::string::npos);
  std::string aliases = "- &a x\n";
  for (int i = 0; i < 1'001; ++i) aliases += "- *a\n";
  CHECK(fault(aliases).find("1000 aliases") != std::string::npos);
  std::string chain = "- &a0 [x]\n";
  for (int i = 1; i < 70; ++i)
    chain += "- &a" + std::to_string(i) + " [*a" + std::to_string(i - 1) + "]\n";
  CHECK(fault(chain).find("deeper than 64") != std::string::npos);
}

TEST_CASE("yaml: an alias reads as what it stands for") {
  YamlErrors errors;
  const YamlNode root = parse_yaml("base: &b {weight: 5}\nother: *b\n", "f", errors);
  int64_t weight = 0;
  CHECK(root.get("other").get("weight").read_integer(weight, 0, 9));
  CHECK(weight == 5);
  CHECK(errors.empty());
}

TEST_CASE("yaml: more than 100 faults are counted, not kept") {
  YamlErrors errors;
  std::string text;
  for (int i = 0; i < 250; ++i) text += "key" + std::to_string(i) + ": 1\n";
  parse_yaml(text, "f", errors).finish();
  CHECK(errors.all().size() == 101);
  CHECK(errors.all().back().message == "150 more faults are not listed");
}

TEST_CASE("yaml: what a person wrote is quoted short and without control characters") {
  YamlErrors errors;
  const YamlNode root =
      parse_yaml("\"" + std::string(500, 'k') + "\\n\": 1\n\"a\\nb\": 2\n[1]: 3\n", "f", errors);
  root.finish();
  for (const YamlError& error : errors.all()) {
    CHECK(error.message.size() < 200);
    CHECK(error.message.find('\n') == std::string::npos);
  }
  CHECK(mentions(errors, "a key must be a single value, found a list"));
}

TEST_CASE("yaml: files are read, and one that cannot be says why") {
  char name[] = "/tmp/hms_yaml_XXXXXX";
  const int descriptor = mkstemp(name);
  REQUIRE(descriptor >= 0);
  close(descriptor);
  std::ofstream(name) << "a: 1\n";
  YamlErrors errors;
  CHECK(load_yaml(name, errors).get("a").present());
  CHECK(errors.empty());
  unlink(name);
  CHECK(!load_yaml(name, errors).present());
  CHECK(mentions(errors, "No such file or directory"));
  CHECK(!load_yaml("/tmp", errors).present());
  CHECK(mentions(errors, "/tmp: cannot read the file: Is a directory"));
}

}  // namespace hms::net
