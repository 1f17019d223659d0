// What the PromQL parser takes, what it refuses and where it points.
#include <doctest/doctest.h>

#include <string>

#include "collector/query/promql/ast.h"
#include "collector/query/promql/engine.h"
#include "collector/query/promql/functions.h"
#include "collector/query/promql/lexer.h"

using namespace hms::collector::promql;

namespace {

std::string text_of(const std::string& input) {
  auto parsed = parse(input);
  return parsed ? to_text(**parsed) : parsed.error().detail;
}

}  // namespace

TEST_CASE("promql parser: operators bind as Prometheus binds them") {
  CHECK(text_of("1 + 2 * 3") == "(1 + (2 * 3))");
  CHECK(text_of("2 ^ 3 ^ 2") == "(2 ^ (3 ^ 2))");
  CHECK(text_of("-2 ^ 2") == "(-(2 ^ 2))");
  CHECK(text_of("-foo * 2") == "((-{\"__name__\"=\"foo\"}) * 2)");
  CHECK(text_of("1 - 2 - 3") == "((1 - 2) - 3)");
  CHECK(text_of("1 atan2 2 + 1") == "((1 atan2 2) + 1)");
  CHECK(text_of("a or b and c unless d") ==
        "({\"__name__\"=\"a\"} or (({\"__name__\"=\"b\"} and {\"__name__\"=\"c\"}) unless "
        "{\"__name__\"=\"d\"}))");
  CHECK(text_of("a > bool b + 1") == "({\"__name__\"=\"a\"} > bool ({\"__name__\"=\"b\"} + 1))");
  CHECK(text_of("a ^ b offset 5m") == "({\"__name__\"=\"a\"} ^ {\"__name__\"=\"b\"} offset 5m)");
}

TEST_CASE("promql parser: numbers in every form") {
  CHECK(text_of("0x1F") == "31");
  CHECK(text_of("1e3") == "1000");
  CHECK(text_of(".5") == "0.5");
  CHECK(text_of("5.") == "5");
  CHECK(text_of("-Inf") == "-Inf");
  CHECK(text_of("+inf") == "+Inf");
  CHECK(text_of("NaN") == "NaN");
  CHECK(text_of("1_000_000") == "1000000");
  CHECK(text_of("1m30s") == "90");
  CHECK(text_of("1e400") == "+Inf");
  CHECK(text_of("# a comment\n1 # another") == "1");
}

TEST_CASE("promql parser: selectors, ranges, offsets and @") {
  CHECK(text_of("up") == "{\"__name__\"=\"up\"}");
  CHECK(text_of("job:up:rate5m{a!=\"b\",c=~'d.*',e!~`f`,}") ==
        "{\"__name__\"=\"job:up:rate5m\",\"a\"!=\"b\",\"c\"=~\"d.*\",\"e\"!~\"f\"}");
  CHECK(text_of("{\"http.requests\", job=\"x\"}") ==
        "{\"__name__\"=\"http.requests\",\"job\"=\"x\"}");
  CHECK(text_of("rate(up[1h30m])") == "rate({\"__name__\"=\"up\"}[1h30m])");
  CHECK(text_of("rate(up[90] offset -5m @ 10.5)") ==
        "rate({\"__name__\"=\"up\"}[1m30s] @ 10.5 offset -5m)");
  CHECK(text_of("max_over_time(rate(up[5m])[1h:1m] @ end())") ==
        "max_over_time((rate({\"__name__\"=\"up\"}[5m]))[1h:1m] @ end())");
  CHECK(text_of("up[5m:] offset 1d").find("[5m:]") != std::string::npos);
  CHECK(text_of("sum{on=\"a\"}") == "{\"__name__\"=\"sum\",\"on\"=\"a\"}");
  CHECK(text_of("start + end + by") ==
        "(({\"__name__\"=\"start\"} + {\"__name__\"=\"end\"}) + {\"__name__\"=\"by\"})");
  CHECK(text_of(R"({a="\u00e9\x41\101\n\"'"})") ==
        "{\"a\"=\"\xC3\xA9"
        "AA\\n\\\"'\"}");
}

TEST_CASE("promql parser: aggregations with their grouping on either side") {
  const std::string wanted = "sum by(\"a\", \"b\") ({\"__name__\"=\"x\"})";
  CHECK(text_of("sum by (b, a) (x)") == wanted);
  CHECK(text_of("SUM(x) BY (a,b,)") == wanted);
  CHECK(text_of("topk without() (3, x)") == "topk without() (3, {\"__name__\"=\"x\"})");
  CHECK(text_of("count_values(\"v\", x)") == "count_values(\"v\", {\"__name__\"=\"x\"})");
  CHECK(text_of("a * on(x) group_left(y, z) b") ==
        "({\"__name__\"=\"a\"} * on(\"x\") group_left(\"y\", \"z\") {\"__name__\"=\"b\"})");
}

TEST_CASE("promql parser: what it writes it reads back the same") {
  for (const char* text :
       {"sum by (le) (rate(a_bucket{x=~\"a|b\"}[5m] offset 1h)) / 2", "a == bool on(x) b",
        "(-a) ^ 2 ^ -b", "quantile(0.9, avg_over_time(a[5m:30s] @ start()))",
        "label_replace(a, \"b\", \"$1\", \"c\", \"(.*)\")",
        "a and on() vector(1) or b unless ignoring(x) c", "1 - -1", "topk(3, a) without (b)"}) {
    const std::string once = text_of(text);
    CHECK_MESSAGE(text_of(once) == once, text);
  }
}

TEST_CASE("promql parser: an error points at its place and says what is expected") {
  const auto starts = [](const std::string& input, const std::string& wanted) {
    const std::string got = text_of(input);
    CHECK_MESSAGE(got.rfind(wanted, 0) == 0, input << " gave " << got);
  };
  starts("", "1:1: parse error: no expression found in input");
  starts("sum(", "1:5: parse error: unexpected end of input");
  starts("sum(a))", "1:7: parse error: unexpected \")\"");
  starts("a +\n  * b", "2:3: parse error: unexpected \"*\"");
  starts("rate(up)",
         "1:6: parse error: expected type range vector in call to function \"rate\", got instant "
         "vector");
  starts("rate(up[5m], 1)", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 2");
  starts("nothing(up)", "1:1: parse error: unknown function with name \"nothing\"");
  starts("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher");
  starts("{a=\"\"}",
         "1:1: parse error: vector selector must contain at least one non-empty matcher");
  starts("{a=~\".*\"}",
         "1:1: parse error: vector selector must contain at least one non-empty matcher");
  starts("a{b=~\"(\"}", "1:6: parse error: error parsing regexp");
  starts("a{__name__=\"b\"}", "1:1: parse error: metric name must not be set twice");
  starts("1 == 2", "1:3: parse error: comparisons between scalars must use BOOL modifier");
  starts("1 and a",
         "1:3: parse error: set operator \"and\" not allowed in binary scalar expression");
  starts("a + on(x) 1", "1:3: parse error: vector matching only allowed between instant vectors");
  starts("a and on(x) group_left b",
         "1:13: parse error: no grouping allowed for \"and\" operation");
  starts("a * on(x) group_left(x) b",
         "1:11: parse error: label \"x\" must not occur in ON and GROUP clause at once");
  starts("a + bool b", "1:5: parse error: bool modifier can only be used on comparison operators");
  starts("a[5m] + 1",
         "1:1: parse error: binary expression must contain only scalar and instant vector types");
  starts("-\"a\"",
         "1:2: parse error: unary expression only allowed on expressions of type scalar or instant "
         "vector");
  starts("(a + b)[5m]", "1:8: parse error: ranges only allowed for vector selectors");
  starts("a[5m][5m:1m]",
         "1:6: parse error: subquery is only allowed on instant vector, got range vector instead");
  starts("a offset 5m[5m]", "1:12: parse error: no offset modifiers allowed before range");
  starts("(a) offset 5m", "1:5: parse error: offset modifier must be preceded by");
  starts("a offset 5m offset 5m", "1:13: parse error: offset may not be set multiple times");
  starts("a[0s]", "1:3: parse error: duration must be greater than 0");
  starts("a[5q]", "1:3: parse error: bad number or duration syntax: \"5q\"");
  starts("a[5m", "1:5: parse error: unexpected end of input in range, expected \"]\"");
  starts("\"abc", "1:1: parse error: unterminated quoted string");
  starts("\"\\q\"", "1:2: parse error: unknown escape sequence");
  starts("a ! b", "1:3: parse error: unexpected character after \"!\"");
  starts("a $ b", "1:3: parse error: unexpected character: \"$\"");
  starts("topk(a)",
         "1:1: parse error: wrong number of arguments for aggregate expression provided, expected "
         "2, got 1");
  starts("topk(\"a\", b)",
         "1:6: parse error: expected type scalar in aggregation parameter, got string");
  starts("sum by (5) (a)",
         "1:9: parse error: unexpected number \"5\" in grouping opts, expected label");
  starts("abs(a,)", "1:7: parse error: trailing commas not allowed in function call args");
  starts("a @ b", "1:5: parse error: unexpected identifier \"b\" in @, expected timestamp");
}

TEST_CASE("promql parser: nesting and length are bounded") {
  CHECK(text_of(std::string(100, '(') + "1" + std::string(100, ')')).find("error") ==
        std::string::npos);
  CHECK(text_of(std::string(5000, '(') + "1" + std::string(5000, ')'))
            .find("nested deeper than 256") != std::string::npos);
  CHECK(text_of(std::string(5000, '-') + "a").find("nested deeper than 256") != std::string::npos);
  std::string powers = "1";
  for (int i = 0; i < 5000; ++i) powers += "^1";
  CHECK(text_of(powers).find("nested deeper than 256") != std::string::npos);
  CHECK(text_of(std::string(70000, ' ')).find("over the limit of 65536") != std::string::npos);
}

TEST_CASE("promql parser: a chain of operators may be as long as an expression") {
  std::string chain = "1";
  while (chain.size() + 4 < kMaxExpressionBytes) chain += "+1-0";
  const auto parsed = parse(chain);
  REQUIRE(parsed.ok());
  CHECK((*parsed)->depth == 2);
  CHECK(to_text(**parsed).ends_with(" + 1) - 0)"));
  const std::string mixed = text_of("a and b or c unless d * 2 ^ 3 ^ 4 + 5");
  CHECK(text_of(mixed) == mixed);
}

TEST_CASE("promql durations: units fall and come once") {
  int64_t millis = 0;
  CHECK(parse_duration("1y2w3d4h5m6s7ms", millis));
  CHECK(millis == ((((365LL + 14 + 3) * 24 + 4) * 60 + 5) * 60 + 6) * 1000 + 7);
  CHECK_FALSE(parse_duration("1s1m", millis));
  CHECK_FALSE(parse_duration("1m1m", millis));
  CHECK_FALSE(parse_duration("", millis));
  CHECK_FALSE(parse_duration("5", millis));
  CHECK_FALSE(parse_duration("999999999999y", millis));
}

TEST_CASE("promql functions: every one of the table is found by its name") {
  for (const Function& function : all_functions()) CHECK(find_function(function.name) == &function);
}
