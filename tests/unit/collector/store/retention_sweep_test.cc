// What a service's own retention leaves of a day: few chunks, and everything that is kept in them.
#include "collector/store/retention_sweep.h"

#include <doctest/doctest.h>

#include <set>

#include "collector/store/log_store.h"
#include "collector/store/span_store.h"
#include "tests/support/memory_kv.h"

using namespace hms;
using namespace hms::collector;

namespace {

constexpr uint64_t kSecond = 1'000'000'000ULL, kDay = 86'400 * kSecond;
constexpr uint64_t kToday = 20'779 * kDay;
constexpr uint64_t kBegin = kToday - 3 * kDay;  // of the day that is swept
constexpr size_t kGroups = 60, kOfChat = 9;     // of each group, and one line or span of claims

Retention chat_two_days() {
  Retention retention;
  retention.services["chat"].logs = 2;
  retention.services["chat"].traces = 2;
  return retention;
}

uint32_t resource_of(telemetry::BatchStorage& batch, const std::string& service) {
  telemetry::ResourceView resource;
  resource.service_name = batch.keep(service);
  batch.resources.push_back(resource);
  return static_cast<uint32_t>(batch.resources.size() - 1);
}

telemetry::TraceId trace_of(uint64_t number) {
  telemetry::TraceId id;
  std::memcpy(id.bytes.data() + 8, &number, sizeof number);
  id.bytes[0] = 1;
  return id;
}

template <class Store>
struct Fixture {
  MemoryKv kv;
  std::unique_ptr<Store> store;
  const Table chunks;

  Fixture(std::unique_ptr<Store> made, Table table) : store(std::move(made)), chunks(table) {
    REQUIRE(store->recover(kv).ok());
  }
  void add(AcceptedBatch batch) {
    batch.arrived_unix_nanos = kBegin + kDay / 2;
    const std::vector<AcceptedBatch> group{std::move(batch)};
    REQUIRE(kv.commit([&](KvWriter& writer) { store->prepare(group, writer); }).ok());
    store->committed(group);
  }
  void sweep() {
    for (uint64_t now = kToday; store->sweep_counters().days == 0; now += kSecond)
      REQUIRE(kv.commit([&](KvWriter& writer) { store->maintain(now, writer); }).ok());
  }
  size_t stored_chunks() {
    size_t count = 0;
    const std::string begin = table_key(chunks);
    REQUIRE(kv.scan(
                  Family::of_unix_nanos(kBegin), begin,
                  std::string(1, static_cast<char>(begin.front() + 1)),
                  [&count](std::string_view, std::string_view) {
                    ++count;
                    return true;
                  },
                  false)
                .ok());
    return count;
  }
};

}  // namespace

TEST_CASE("retention sweep: a cursor among lines meets each once while their chunks are merged") {
  // No head: each group becomes a chunk.
  Fixture<LogStore> f(make_log_store(1, kChunkCacheBytes, chat_two_days().logs()),
                      Table::log_chunk);
  for (size_t group = 0; group < kGroups; ++group) {
    auto batch = std::make_shared<telemetry::LogBatch>();
    const uint32_t claims = resource_of(*batch, "claims"), chat = resource_of(*batch, "chat");
    for (size_t i = 0; i <= kOfChat; ++i) {
      telemetry::LogView log;
      log.resource = i == 4 ? claims : chat;
      log.time_unix_nanos = kBegin + (group * 10 + i) * kSecond;
      log.message = batch->keep("line " + std::to_string(group * 10 + i));
      batch->logs.push_back(log);
    }
    AcceptedBatch accepted;
    accepted.logs = std::move(batch);
    f.add(std::move(accepted));
  }
  CHECK(f.stored_chunks() == kGroups);
  std::vector<std::string> met;
  LogQuery query;
  query.limit = 7;
  query.service = "claims";
  for (size_t page = 0;; ++page) {
    if (page == 2) f.sweep();
    const auto found = f.store->search(query, {});
    REQUIRE(found.ok());
    for (const StoredLog& log : found->logs) met.push_back(log.message);
    query.cursor = found->cursor;
    if (query.cursor.empty()) break;
  }
  std::vector<std::string> expected;
  for (size_t group = kGroups; group-- > 0;)
    expected.push_back("line " + std::to_string(group * 10 + 4));
  CHECK(met == expected);
  CHECK(f.store->sweep_counters().records == kGroups * kOfChat);
  CHECK(f.stored_chunks() < kGroups / 3);  // 40 ms of work are merged at a time
  LogQuery all;
  all.limit = 5'000;
  CHECK(f.store->search(all, {})->logs.size() == kGroups);
}

TEST_CASE("retention sweep: the spans that stay are in few chunks, by trace and by service") {
  Fixture<SpanStore> f(make_span_store(1, kChunkCacheBytes, chat_two_days().traces()),
                       Table::span_chunk);
  for (size_t group = 0; group < kGroups; ++group) {
    auto batch = std::make_shared<telemetry::TraceBatch>();
    const uint32_t claims = resource_of(*batch, "claims"), chat = resource_of(*batch, "chat");
    for (size_t i = 0; i <= kOfChat; ++i) {
      telemetry::SpanView span;
      span.resource = i == 4 ? claims : chat;
      // Traces in no order, and half of them with a second span in a later group.
      span.trace_id = trace_of((i == 4 ? group / 2 : group * 10 + i + 1'000) * 7'919 % 104'729 + 1);
      const uint64_t id = group * 10 + i + 1;
      std::memcpy(span.span_id.bytes.data(), &id, sizeof id);
      span.name = "op";
      span.start_unix_nanos = kBegin + (group * 10 + i) * kSecond;
      span.end_unix_nanos = span.start_unix_nanos + kSecond;
      batch->spans.push_back(span);
    }
    AcceptedBatch accepted;
    accepted.traces = std::move(batch);
    f.add(std::move(accepted));
  }
  CHECK(f.stored_chunks() == kGroups);
  f.sweep();
  CHECK(f.store->sweep_counters().records == kGroups * kOfChat);
  CHECK(f.stored_chunks() < kGroups / 3);
  for (size_t pair = 0; pair < kGroups / 2; ++pair) {
    const auto trace = f.store->trace(trace_of(pair * 7'919 % 104'729 + 1));
    REQUIRE(trace.ok());
    CHECK(trace->spans.size() == 2);
  }
  TraceQuery query;
  query.service = "claims";
  query.start_unix_nanos = kBegin;
  query.end_unix_nanos = kToday;
  query.limit = 100;
  const auto found = f.store->search(query, {});
  REQUIRE(found.ok());
  CHECK(found->size() == kGroups / 2);
  CHECK(f.store->trace(trace_of(1'001 * 7'919 % 104'729 + 1)).error().code == net::Code::not_found);
}
