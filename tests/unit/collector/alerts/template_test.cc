#include "collector/alerts/template.h"

#include <doctest/doctest.h>

#include <limits>

using namespace hms::collector;

namespace {

std::string expanded(std::string_view text, double value = 0.1234,
                     const LabelMap& labels = {{"service_name", "claims"}, {"n", "12"}}) {
  auto parsed = Template::parse(text);
  if (!parsed) return "fault: " + parsed.error().detail;
  return parsed->expand(labels, value);
}

}  // namespace

TEST_CASE("template: labels and values are put in, what is missing is empty") {
  CHECK(expanded("plain") == "plain");
  CHECK(expanded("{{ $labels.service_name }} has {{ $value }}") == "claims has 0.1234");
  CHECK(expanded("{{$labels.service_name}}{{ .Labels.n }}{{ .Value }}") == "claims120.1234");
  CHECK(expanded("<{{ $labels.nothing }}>") == "<>");
}

TEST_CASE("template: trim marks take the blanks beside them") {
  CHECK(expanded("a  {{- $labels.n -}}  b") == "a12b");
  CHECK(expanded("a \n {{- $labels.n }} b") == "a12 b");
  CHECK(expanded("a {{ $labels.n -}} \n b") == "a 12b");
}

TEST_CASE("template: numbers are made readable as Prometheus does") {
  CHECK(expanded("{{ $value | humanizePercentage }}") == "12.34%");
  CHECK(expanded("{{ humanizePercentage $value }}", 0.17) == "17%");
  CHECK(expanded("{{ $value | humanize }}", 1234567) == "1.235M");
  CHECK(expanded("{{ $value | humanize }}", 0.0012) == "1.2m");
  CHECK(expanded("{{ $value | humanize }}", 0) == "0");
  CHECK(expanded("{{ $value | humanize1024 }}", 1048576) == "1Mi");
  CHECK(expanded("{{ $value | humanizeDuration }}", 4.0123) == "4.012s");
  CHECK(expanded("{{ $value | humanizeDuration }}", 0.0123) == "12.3ms");
  CHECK(expanded("{{ $value | humanizeDuration }}", 93784) == "1d 2h 3m 4s");
  CHECK(expanded("{{ $value | humanizeDuration }}", -65) == "-1m 5s");
  CHECK(expanded("{{ $value | humanizeTimestamp }}", 1435065584) ==
        "2015-06-23 13:19:44 +0000 UTC");
  CHECK(expanded("{{ $value }}", 1e21) == "1e+21");
  CHECK(expanded("{{ $value | humanize }}", std::numeric_limits<double>::infinity()) == "inf");
}

TEST_CASE("template: printf takes texts and numbers, and no format can run away") {
  CHECK(expanded("{{ printf \"%.2f\" $value }}") == "0.12");
  CHECK(expanded("{{ printf \"%s is %d %%\" $labels.service_name $value }}", 7.6) ==
        "claims is 8 %");
  CHECK(expanded("{{ $labels.service_name | printf \"%q!\" }}") == "\"claims\"!");
  CHECK(expanded("{{ printf \"%5s|%-5s|\" \"ab\" \"ab\" }}") == "   ab|ab   |");
  CHECK(expanded("{{ printf \"%s %s\" $value }}", 1) == "1 %!s(MISSING)");
  CHECK(expanded("{{ printf \"%9999f\" $value }}", 1).size() == 200);
  CHECK(expanded("{{ printf \"%n\" $value }}").find("fault: at character") == 0);
  CHECK(expanded("{{ printf $value }}").find("printf takes its format as a text first") !=
        std::string::npos);
}

TEST_CASE("template: what is not known is a fault with its place") {
  CHECK(expanded("{{ humanise $value }}")
            .find("fault: at character 4: unknown function \"humanise\"; known: humanize") == 0);
  CHECK(expanded("x {{ $value").find("fault: at character 3: {{ without }}") == 0);
  CHECK(expanded("{{ }}").find("expected a value or a function") != std::string::npos);
  CHECK(expanded("{{ $lables.x }}").find("unknown variable") != std::string::npos);
  CHECK(expanded("{{ if $value }}").find("unknown function \"if\"") != std::string::npos);
  CHECK(expanded("{{ $value | }}").find("expected a value or a function") != std::string::npos);
  CHECK(expanded("{{ $value $value }}").find("expected | or }}") != std::string::npos);
  CHECK(expanded("{{ humanize }}").find("takes 1 values, found 0") != std::string::npos);
  CHECK(expanded("{{ \"}}\" }}") == "}}");
  CHECK(expanded("{{ `a\\` }}") == "a\\");
}

TEST_CASE("template: what is expanded is bounded") {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "{{ $labels.long }}";
  CHECK(expanded(text, 1, {{"long", std::string(1000, 'x')}}).size() == 4096);
  CHECK(expanded(std::string(70'000, 'x')).find("fault") == 0);
}
