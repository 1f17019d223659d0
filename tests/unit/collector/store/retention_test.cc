#include "collector/store/retention.h"

#include <doctest/doctest.h>

using namespace hms::collector;

namespace {

Retention example() {
  Retention retention;
  retention.days = 30;
  retention.trace_days = 14;
  retention.metric_days = 60;
  retention.services["claims"].logs = 90;
  retention.services["chat"].logs = 2;
  retention.services["chat"].traces = 2;
  return retention;
}

}  // namespace

TEST_CASE("retention: what is not said is the signal's, then everybody's") {
  const Retention retention = example();
  CHECK(retention.traces().keeps("claims", 14));
  CHECK_FALSE(retention.traces().keeps("claims", 15));
  CHECK_FALSE(retention.traces().keeps("chat", 3));
  CHECK(retention.logs().keeps("edge", 30));
  CHECK_FALSE(retention.logs().keeps("edge", 31));
  CHECK(retention.logs().keeps("claims", 90));
  CHECK(retention.metrics() == 60);
  CHECK(retention.widest() == 90);
  CHECK(retention.traces().widest() == 14);
  CHECK(Retention{}.widest() == 30);
}

TEST_CASE("retention: the state of a day changes when what is kept does, and only then") {
  const SignalRetention logs = example().logs();
  CHECK(logs.state_at(0) == 0);
  CHECK(logs.state_at(2) == 0);
  const uint64_t without_chat = logs.state_at(3);
  CHECK(without_chat != 0);
  CHECK(logs.state_at(30) == without_chat);
  const uint64_t claims_alone = logs.state_at(31);
  CHECK(claims_alone != without_chat);
  CHECK(logs.state_at(90) == claims_alone);
  CHECK(logs.state_at(91) != claims_alone);
  CHECK(logs.drops_all(91));
  CHECK_FALSE(logs.drops_all(90));
  // Another service at that age, or the opposite, is another state.
  SignalRetention other = logs;
  other.services["edge"] = 2;
  CHECK(other.state_at(3) != without_chat);
  CHECK(SignalRetention{}.state_at(400) == 0);
}

TEST_CASE("retention: with a lake only what is shorter than the hot days is deleted") {
  const Retention retention = example().with_lake();
  CHECK_FALSE(retention.traces().keeps("edge", 15));
  CHECK(retention.logs().state_at(2) == 0);
  CHECK(retention.logs().keeps("edge", 1'000));
  CHECK(retention.logs().keeps("claims", 1'000));
  CHECK_FALSE(retention.logs().keeps("chat", 3));
  CHECK(retention.metrics() == UINT32_MAX);
  const Retention plain = Retention{}.with_lake();
  CHECK(plain.traces().state_at(1'000) == 0);
  CHECK(plain.logs().state_at(1'000) == 0);
}
