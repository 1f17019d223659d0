#include "telemetry/spool.h"

#include <doctest/doctest.h>

using namespace hms::telemetry;

namespace {

SpooledBatch batch_of(Signal signal, uint64_t sequence, size_t bytes, uint64_t records = 1) {
  return {signal, sequence, records, std::string(bytes, 'x')};
}

}  // namespace

TEST_CASE("spool: first in, first out, and everything is accounted for") {
  Spool spool(1'000);
  spool.add(batch_of(Signal::traces, 1, 100, 7));
  spool.add(batch_of(Signal::metrics, 2, 200, 3));
  CHECK(spool.counters().bytes == 300);
  REQUIRE(spool.front() != nullptr);
  CHECK(spool.front()->sequence == 1);
  spool.acknowledge_front();
  CHECK(spool.front()->sequence == 2);
  spool.acknowledge_front(1);
  CHECK(spool.front() == nullptr);
  CHECK(spool.counters().bytes == 0);
  CHECK(spool.counters().records_added == 10);
  CHECK(spool.counters().records_acknowledged == 9);
  CHECK(spool.counters().batches_acknowledged == 2);
  CHECK(spool.counters().dropped_records.at("rejected") == 1);
  spool.acknowledge_front();
  spool.drop_front("rejected");
  CHECK(spool.counters().batches_acknowledged == 2);
}

TEST_CASE("spool: when full, the oldest traces go first, then the oldest of any kind") {
  Spool spool(300);
  spool.add(batch_of(Signal::metrics, 1, 100, 1));
  spool.add(batch_of(Signal::traces, 2, 100, 20));
  spool.add(batch_of(Signal::traces, 3, 100, 30));
  spool.add(batch_of(Signal::metrics, 4, 100, 4));
  CHECK(spool.counters().dropped_records.at("spool_full") == 20);
  spool.add(batch_of(Signal::metrics, 5, 100, 5));
  CHECK(spool.counters().dropped_records.at("spool_full") == 50);
  spool.add(batch_of(Signal::metrics, 6, 100, 6));
  CHECK(spool.counters().dropped_records.at("spool_full") == 51);
  CHECK(spool.counters().dropped_by_signal[static_cast<size_t>(Signal::traces)] == 50);
  CHECK(spool.counters().dropped_by_signal[static_cast<size_t>(Signal::metrics)] == 1);
  CHECK(spool.front()->sequence == 4);
  CHECK(spool.counters().bytes == 300);
  CHECK(spool.counters().batches == 3);
}

TEST_CASE("spool: a batch on its way is never dropped under the one who sends it") {
  Spool spool(300);
  spool.add(batch_of(Signal::traces, 1, 100));
  spool.pin_front(true);
  spool.add(batch_of(Signal::traces, 2, 100));
  spool.add(batch_of(Signal::traces, 3, 200));
  CHECK(spool.front()->sequence == 1);
  CHECK(spool.counters().batches == 2);
  spool.add(batch_of(Signal::traces, 4, 250, 9));  // does not fit beside the pinned one
  CHECK(spool.counters().dropped_records.at("too_large") == 9);
  spool.acknowledge_front();
  CHECK(spool.front()->sequence == 3);
  spool.add(batch_of(Signal::traces, 5, 250));  // the pin went with the front
  CHECK(spool.front()->sequence == 5);
}

TEST_CASE("spool: a batch larger than the spool is dropped as too large and drives nothing out") {
  Spool spool(100);
  spool.add(batch_of(Signal::metrics, 1, 50));
  spool.add(batch_of(Signal::traces, 2, 101, 8));
  CHECK(spool.front()->sequence == 1);
  CHECK(spool.counters().dropped_records.at("too_large") == 8);
  spool.count_dropped("spans_limit", 3);
  spool.count_dropped("nothing", 0);
  CHECK(spool.counters().dropped_records.at("spans_limit") == 3);
  CHECK(spool.counters().dropped_records.count("nothing") == 0);
}
