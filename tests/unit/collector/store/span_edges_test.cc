#include "collector/store/span_edges.h"

#include <doctest/doctest.h>

#include "tests/support/memory_kv.h"

namespace hms::collector {
namespace {

constexpr uint64_t kSecond = 1'000'000'000ULL;
constexpr uint64_t kDay = 86'400 * kSecond;
constexpr uint64_t kNow = 20'000 * kDay + kDay / 2;

struct Fixture {
  MemoryKv kv;
  std::unique_ptr<ServiceEdgeStore> edges = make_service_edge_store();
  uint64_t ids = 0;
  Fixture() {
    REQUIRE(edges->recover(kv).ok());
    maintain(kNow);
  }
  void maintain(uint64_t now) {
    REQUIRE(kv.commit([&](KvWriter& writer) { edges->maintain(now, writer); }).ok());
  }
  /// So many calls of "ui" that ended then and came now.
  void add(int calls, uint64_t ended, uint64_t arrived) {
    auto batch = std::make_shared<telemetry::TraceBatch>();
    batch->resources.push_back({batch->keep("ui"), "", "", {0, 0}});
    for (int i = 0; i < calls; ++i) {
      telemetry::SpanView span;
      ++ids;
      span.trace_id.bytes[15] = span.span_id.bytes[7] = static_cast<uint8_t>(ids);
      span.kind = telemetry::SpanKind::server;
      span.start_unix_nanos = ended - kSecond / 10;
      span.end_unix_nanos = ended;
      batch->spans.push_back(span);
    }
    commit(std::move(batch), arrived);
  }
  void commit(std::shared_ptr<telemetry::TraceBatch> batch, uint64_t arrived) const {
    AcceptedBatch accepted;
    accepted.arrived_unix_nanos = arrived;
    accepted.traces = std::move(batch);
    edges->committed(std::vector<AcceptedBatch>{accepted});
  }
  double requests(uint64_t start, uint64_t end) const {
    const auto map = edges->totals(start, end);
    REQUIRE(map.ok());
    return map->edges.empty() ? 0 : map->edges.front().requests;
  }
};

/// Named "service-0" and so on.
std::shared_ptr<telemetry::TraceBatch> batch_of_services(uint32_t services) {
  auto batch = std::make_shared<telemetry::TraceBatch>();
  for (uint32_t n = 0; n < services; ++n)
    batch->resources.push_back({batch->keep("service-" + std::to_string(n)), "", "", {0, 0}});
  return batch;
}

/// A call of that service, now.
telemetry::SpanView& add_call(telemetry::TraceBatch& batch, uint32_t service) {
  telemetry::SpanView& span = batch.spans.emplace_back();
  span.resource = service;
  span.trace_id.bytes[0] = span.span_id.bytes[7] = 1;
  span.kind = telemetry::SpanKind::server;
  span.start_unix_nanos = span.end_unix_nanos = kNow;
  return span;
}

TEST_CASE("service edges: calls that come after their slot left the memory are added to the disk") {
  Fixture f;
  const uint64_t then = kNow - 5 * 3600 * kSecond;
  for (int round = 1; round <= 3; ++round) {
    f.add(2, then, kNow);
    CHECK(f.requests(then - kSecond, then + kSecond) == 2 * round);  // counted at once, once
    f.maintain(kNow + kSecond);
    CHECK(f.requests(then - kSecond, then + kSecond) == 2 * round);
    f.maintain(kNow + 2 * kSecond);
    CHECK(f.requests(then - kSecond, then + kSecond) == 2 * round);  // from the disk alone
  }
  CHECK(f.requests(0, then - 20 * kSecond) == 0);
  CHECK(f.requests(0, UINT64_MAX) == 6);
}

TEST_CASE(
    "service edges: a sealed day's rows stay; what still comes for it goes with its own day") {
  Fixture f;
  const Family day{19'999};
  const uint64_t then = kNow - kDay;
  f.add(3, then, kNow);
  f.maintain(kNow);
  f.edges->seal_day(day);
  f.add(1, then, kNow);
  f.maintain(kNow + kSecond);
  f.maintain(kNow + 2 * kSecond);
  int rows = 0;
  const auto count = [&rows](const EdgeRow& row) { rows += static_cast<int>(row.totals.requests); };
  REQUIRE(each_edge_row(f.kv, day, 0, UINT32_MAX - 1, count).ok());
  CHECK(rows == 3);
  CHECK(f.requests(then - 60 * kSecond, then + 60 * kSecond) == 4);
  f.edges->forget_day(day);
  REQUIRE(f.kv.drop_day(day).ok());
  CHECK(f.requests(then - 60 * kSecond, then + 60 * kSecond) == 1);
  // Also over a restart, and counted on.
  f.edges = make_service_edge_store();
  REQUIRE(f.edges->recover(f.kv).ok());
  f.edges->seal_day(day);
  f.add(1, then, kNow);
  CHECK(f.requests(then - 60 * kSecond, then + 60 * kSecond) == 2);
}

TEST_CASE("service edges: what is forgotten with its day is not in memory either") {
  Fixture f;
  f.add(3, kNow, kNow);
  CHECK(f.requests(kNow - kSecond, kNow + kSecond) == 3);
  f.edges->seal_day(Family::of_unix_nanos(kNow));
  f.edges->forget_day(Family::of_unix_nanos(kNow));
  CHECK(f.requests(kNow - kSecond, kNow + kSecond) == 0);
  f.add(1, kNow, kNow);  // nowhere left to keep it
  CHECK(f.requests(kNow - kSecond, kNow + kSecond) == 0);
}

TEST_CASE("service edges: calls beyond the rows of closed slots of a second are counted") {
  Fixture f;
  const uint64_t slot = kSecondsPerSlot * kSecond;
  constexpr uint64_t kRows = 20'000;
  const uint64_t newest = kNow - 3 * 3600 * kSecond;
  for (uint64_t row = 0; row < kRows; ++row) f.add(1, newest - row * slot, kNow);
  CHECK(f.edges->left_out().late_rows == 0);
  f.add(1, newest, kNow);  // of a row that was taken in already
  f.add(2, newest - kRows * slot, kNow);
  CHECK(f.edges->left_out().late_rows == 2);
  CHECK(f.requests(0, newest - (kRows - 1) * slot - slot / 2) == 0);
  f.maintain(kNow + kSecond);
  f.add(1, newest - kRows * slot, kNow);  // a new second
  CHECK(f.edges->left_out().late_rows == 2);
  CHECK(f.requests(0, UINT64_MAX) == kRows + 2);
}

TEST_CASE("service edges: calls beyond the rows of a slot are counted") {
  Fixture f;
  constexpr uint32_t kServices = 5'003;
  auto batch = batch_of_services(kServices);
  for (uint32_t n = 0; n < kServices; ++n) add_call(*batch, n);
  f.commit(std::move(batch), kNow);
  CHECK(f.edges->left_out().rows == 3);
  CHECK(f.edges->totals(0, UINT64_MAX)->edges.size() == 5'000);
}

/// A commit, in the midst of which the counters are read.
struct ReadingWriter final : KvWriter {
  explicit ReadingWriter(const ServiceEdgeStore& store) : edges(store) {}
  void put(Family, std::string_view, std::string_view) override {
    seen = edges.left_out();
    ++puts;
  }
  void remove(Family, std::string_view) override {}
  void remove_range(Family, std::string_view, std::string_view) override {}
  const ServiceEdgeStore& edges;
  CallsLeftOut seen;
  int puts = 0;
};

TEST_CASE("service edges: calls that wait when names run over are counted, without a lock") {
  Fixture f;
  const auto send = [&f](uint32_t services, bool with_call) {
    auto batch = batch_of_services(services);
    if (with_call) add_call(*batch, 0).parent_span_id.bytes[0] = 2;
    f.commit(std::move(batch), kNow);
  };
  send(1, true);
  CHECK(f.edges->left_out().waiting == 0);
  send(20'000, false);
  CHECK(f.edges->left_out().waiting == 1);
  ReadingWriter writer(*f.edges);  // which is called under the lock of the store
  f.edges->maintain(kNow, writer);
  CHECK(writer.puts == 1);
  CHECK(writer.seen.waiting == 1);
}

}  // namespace
}  // namespace hms::collector
