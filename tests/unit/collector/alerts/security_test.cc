#include "collector/alerts/security.h"

#include <doctest/doctest.h>

using namespace hms::collector;

TEST_CASE(
    "security: the first log of its kind is an alert with service, message and trace; the same "
    "again only counts") {
  SecurityAlerts alerts;
  const Alert* first = alerts.add("claims", "token reuse", "trace-1", 1000);
  REQUIRE(first != nullptr);
  CHECK(first->labels == LabelMap{{"alertname", "SecurityLog"},
                                  {"msg", "token reuse"},
                                  {"service", "claims"},
                                  {"severity", "critical"}});
  CHECK(first->annotations.at("traceId") == "trace-1");
  CHECK(first->annotations.at("msg") == "token reuse");
  CHECK(first->security);
  CHECK(alerts.add("claims", "token reuse", "trace-2", 2000) == nullptr);
  REQUIRE(alerts.active().size() == 1);
  CHECK(alerts.active()[0]->count == 2);
  CHECK(alerts.add("ui", "token reuse", "", 2000) != nullptr);
}

TEST_CASE("security: it ends ten minutes after the last such log, and is then news again") {
  SecurityAlerts alerts;
  REQUIRE(alerts.add("claims", "x", "", 0) != nullptr);
  REQUIRE(alerts.add("claims", "x", "", 500'000) == nullptr);
  CHECK(alerts.expire(1'000'000).empty());
  const auto over = alerts.expire(1'100'001);
  REQUIRE(over.size() == 1);
  CHECK(over[0].resolved_at == 1'100'001);
  CHECK(alerts.add("claims", "x", "", 1'200'000) != nullptr);
}

TEST_CASE("security: a flood of different ones is folded into one a service, and counted") {
  SecurityAlerts alerts;
  int raised = 0;
  for (int i = 0; i < 10'000; ++i)
    raised += alerts.add("claims", "user " + std::to_string(i), "", 1000) != nullptr ? 1 : 0;
  CHECK(raised == static_cast<int>(SecurityAlerts::kMaxNewPerMinute) + 1);
  CHECK(alerts.folded() == 10'000 - SecurityAlerts::kMaxNewPerMinute);
  CHECK(alerts.active().size() == SecurityAlerts::kMaxNewPerMinute + 1);
  CHECK(alerts.logs() == 10'000);
}

TEST_CASE("security: from many services the number of alerts stays bounded") {
  SecurityAlerts alerts;
  for (int i = 0; i < 5'000; ++i)
    (void)alerts.add("service " + std::to_string(i), "x", "", i * 60'000 / 5);
  CHECK(alerts.active().size() <= SecurityAlerts::kMaxActive + 200);
}

TEST_CASE("security: texts of any length are cut") {
  SecurityAlerts alerts;
  const Alert* alert =
      alerts.add(std::string(10'000, 's'), std::string(100'000, 'm'), std::string(10'000, 't'), 0);
  REQUIRE(alert != nullptr);
  CHECK(alert->labels.at("msg").size() == 256);
  CHECK(alert->annotations.at("msg").size() == 4096);
  CHECK(alert->annotations.at("traceId").size() == 256);
}
