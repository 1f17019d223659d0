#include "collector/alerts/silences.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "tests/support/memory_engine.h"
#include "tests/unit/collector/live/batches.h"

using namespace hms;
using namespace hms::collector;
using nlohmann::json;

namespace {

struct Fixture {
  test::TestClock clock;  // 2023-11-14T22:13:20Z
  net::Loop loop;
  Silences silences{make_memory_table(loop), [this] { return clock.nanos; }};

  net::Result<std::string> put(const json& silence) {
    std::optional<net::Result<std::string>> answer;
    silences.put(silence, [&](net::Result<std::string> id) { answer = std::move(id); });
    loop.run_until([&] { return answer.has_value(); }, net::Millis(5000));
    REQUIRE(answer.has_value());
    return *answer;
  }
  std::string fault(const json& silence) {
    auto id = put(silence);
    return id.ok() ? "" : id.error().detail;
  }
};

json one(const char* name, const char* value, bool regex = false, bool equal = true) {
  return {
      {"matchers", {{{"name", name}, {"value", value}, {"isRegex", regex}, {"isEqual", equal}}}},
      {"startsAt", "2023-11-14T22:00:00Z"},
      {"endsAt", "2023-11-14T23:00:00Z"},
      {"createdBy", "night shift"},
      {"comment", "known"}};
}

}  // namespace

TEST_CASE("silences: one that is made is listed, holds matching alerts back, and ends") {
  Fixture f;
  const std::string id = f.put(one("service_name", "claims")).value();
  const json shown = f.silences.get(id).value();
  CHECK(shown["id"] == id);
  CHECK(shown["status"]["state"] == "active");
  CHECK(shown["createdBy"] == "night shift");
  CHECK(shown["startsAt"] == "2023-11-14T22:00:00.000Z");
  CHECK(f.silences.list().size() == 1);
  CHECK(f.silences.silencing({{"service_name", "claims"}}) == std::vector<std::string>{id});
  CHECK(f.silences.silencing({{"service_name", "ui"}}).empty());
  CHECK(f.silences.silencing({}).empty());
  f.clock.advance_millis(3'600'000);
  CHECK(f.silences.silencing({{"service_name", "claims"}}).empty());
  CHECK(f.silences.get(id).value()["status"]["state"] == "expired");
  f.clock.advance_millis(86'400'000);
  CHECK(f.silences.list().empty());
}

TEST_CASE("silences: regular expressions are anchored, and matchers can be negative") {
  Fixture f;
  REQUIRE(f.put(one("service_name", "claims|ui", true)).ok());
  CHECK(f.silences.silencing({{"service_name", "ui"}}).size() == 1);
  CHECK(f.silences.silencing({{"service_name", "ui2"}}).empty());
  json both = one("severity", "page");
  both["matchers"].push_back({{"name", "service_name"}, {"value", "store"}, {"isEqual", false}});
  REQUIRE(f.put(both).ok());
  CHECK(f.silences.silencing({{"severity", "page"}, {"service_name", "x"}}).size() == 1);
  CHECK(f.silences.silencing({{"severity", "page"}, {"service_name", "store"}}).empty());
}

TEST_CASE("silences: DELETE ends it now, POST with its id changes it") {
  Fixture f;
  const std::string id = f.put(one("a", "b")).value();
  json changed = one("a", "c");
  changed["id"] = id;
  CHECK(f.put(changed).value() == id);
  CHECK(f.silences.silencing({{"a", "c"}}).size() == 1);
  bool ended = false;
  f.silences.expire(id, [&](net::Result<void> result) { ended = result.ok(); });
  f.loop.run_until([&] { return ended; }, net::Millis(5000));
  CHECK(ended);
  CHECK(f.silences.silencing({{"a", "c"}}).empty());
  f.silences.expire("nobody", [&](net::Result<void> result) {
    CHECK(result.error().code == net::Code::not_found);
  });
  changed["id"] = "nobody";
  CHECK(f.put(changed).error().code == net::Code::not_found);
}

TEST_CASE("silences: each fault names its field") {
  Fixture f;
  CHECK(f.fault(json::array()) == "a silence is a JSON object");
  json wrong = one("a", "b");
  wrong.erase("endsAt");
  CHECK(f.fault(wrong) == "endsAt is missing");
  wrong = one("a", "b");
  wrong["startsAt"] = "yesterday";
  CHECK(f.fault(wrong).find("startsAt is \"yesterday\", expected a time like") == 0);
  wrong["startsAt"] = 17;
  CHECK(f.fault(wrong) == "startsAt is not a text");
  wrong = one("a", "b");
  wrong["endsAt"] = "2023-11-14T21:00:00Z";
  CHECK(f.fault(wrong) == "endsAt is not after startsAt");
  wrong["startsAt"] = "2023-11-14T20:00:00Z";
  CHECK(f.fault(wrong) == "endsAt is in the past");
  wrong = one("a", "b");
  wrong["matchers"] = json::array();
  CHECK(f.fault(wrong) == "matchers: at least one is needed");
  CHECK(f.fault(one("a", "")).find("matchers: at least one must not match the empty text") == 0);
  CHECK(f.fault(one("a", ".*", true)).find("matchers: at least one must not match") == 0);
  CHECK(f.fault(one("a", "(", true)).find("matchers[0]: ") == 0);
  CHECK(f.fault(one("", "x")) == "matchers[0]: name is empty");
  CHECK(f.silences.list().empty());
}

TEST_CASE("silences: what the disk refuses has no effect: a new one, a change, an end") {
  test::TestClock clock;
  net::Loop loop;
  test::MemoryEngine engine;
  Silences silences(make_durable_table(loop, engine, Table::silence), [&] { return clock.nanos; });
  const auto put = [&](const json& silence) {
    std::optional<net::Result<std::string>> answer;
    silences.put(silence, [&](net::Result<std::string> id) { answer = std::move(id); });
    loop.run_until([&] { return answer.has_value(); }, net::Millis(5000));
    REQUIRE(answer.has_value());
    return *answer;
  };
  const std::string id = put(one("service_name", "claims")).value();
  engine.fail = true;
  CHECK(put(one("service_name", "ui")).error().code == net::Code::no_space);
  json changed = one("service_name", "ui");
  changed["id"] = id;
  CHECK(put(changed).error().code == net::Code::no_space);
  std::optional<net::Result<void>> ended;
  silences.expire(id, [&](net::Result<void> result) { ended = std::move(result); });
  loop.run_until([&] { return ended.has_value(); }, net::Millis(5000));
  CHECK_FALSE(ended.value().ok());
  CHECK(silences.list().size() == 1);
  CHECK(silences.silencing({{"service_name", "ui"}}).empty());
  CHECK(silences.silencing({{"service_name", "claims"}}) == std::vector<std::string>{id});
}
