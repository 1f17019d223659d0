#include "collector/store/span_store.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "collector/store/chunk_columns.h"
#include "collector/store/keys.h"
#include "collector/store/span_chunk.h"
#include "collector/store/span_chunk_reader.h"
#include "collector/store/span_edges.h"
#include "tests/support/memory_kv.h"

namespace hms::collector {
namespace {

using telemetry::SpanId;
using telemetry::SpanKind;
using telemetry::SpanStatus;
using telemetry::TraceId;

constexpr uint64_t kSecond = 1'000'000'000ULL;
constexpr uint64_t kNow = 1'795'000'000ULL * kSecond;

TraceId trace_of(uint64_t n) {
  TraceId id;
  for (size_t i = 0; i < 8; ++i) id.bytes[15 - i] = static_cast<uint8_t>(n >> (8 * i));
  id.bytes[0] = 0x01;
  return id;
}
SpanId span_of(uint64_t n) {
  SpanId id;
  for (size_t i = 0; i < 8; ++i) id.bytes[7 - i] = static_cast<uint8_t>(n >> (8 * i));
  return id;
}

/// Builds a batch one span at a time.
struct Builder {
  telemetry::TraceBatch batch;
  uint32_t service(const std::string& name) {
    for (uint32_t i = 0; i < batch.resources.size(); ++i) {
      if (batch.resources[i].service_name == name) return i;
    }
    const auto begin = static_cast<uint32_t>(batch.attributes.size());
    attribute("service.name", name);
    batch.resources.push_back({batch.keep(name), "", "", {begin, begin + 1}});
    return static_cast<uint32_t>(batch.resources.size() - 1);
  }
  void attribute(const std::string& key, const std::string& text) {
    telemetry::Attribute a;
    a.key = batch.keep(key);
    a.value.kind = telemetry::AttributeValue::Kind::text;
    a.value.text = batch.keep(text);
    batch.attributes.push_back(a);
  }
  telemetry::SpanView& span(uint64_t trace, uint64_t id, uint64_t parent,
                            const std::string& service_name, const std::string& name,
                            uint64_t start, uint64_t duration) {
    telemetry::SpanView span;
    span.resource = service(service_name);
    span.trace_id = trace_of(trace);
    span.span_id = span_of(id);
    if (parent != 0) span.parent_span_id = span_of(parent);
    span.kind = SpanKind::server;
    span.name = batch.keep(name);
    span.start_unix_nanos = start;
    span.end_unix_nanos = start + duration;
    span.attributes = {static_cast<uint32_t>(batch.attributes.size()),
                       static_cast<uint32_t>(batch.attributes.size())};
    return batch.spans.emplace_back(span);
  }
  void tag(const std::string& key, const std::string& text) {
    attribute(key, text);
    ++batch.spans.back().attributes.end;
  }
  AcceptedBatch accept(uint64_t arrived = kNow) {
    AcceptedBatch accepted;
    accepted.arrived_unix_nanos = arrived;
    accepted.traces = std::make_shared<const telemetry::TraceBatch>(std::move(batch));
    return accepted;
  }
};

struct Fixture {
  MemoryKv kv;
  std::unique_ptr<SpanStore> store = make_span_store();
  Fixture() { REQUIRE(store->recover(kv).ok()); }
  bool add(std::vector<AcceptedBatch> group) {
    const auto done = kv.commit([&](KvWriter& writer) { store->prepare(group, writer); });
    done.ok() ? store->committed(group) : store->failed(group);
    return done.ok();
  }
};

TraceQuery all_of(const std::string& service) {
  TraceQuery query;
  query.service = service;
  query.start_unix_nanos = kNow - 3600 * kSecond;
  query.end_unix_nanos = kNow + 3600 * kSecond;
  return query;
}

TEST_CASE(
    "span store: a trace comes back whole from several groups, by start time, each span once") {
  Fixture f;
  Builder first, second;
  first.span(7, 2, 1, "claims", "GET /claims/{id}", kNow + 10, 500).status = SpanStatus::error;
  first.tag("http.route", "/claims/{id}");
  second.span(7, 1, 0, "ui", "GET /", kNow, 1000);
  second.span(7, 2, 1, "claims", "GET /claims/{id}", kNow + 10, 500);
  second.span(8, 3, 0, "ui", "GET /", kNow, 1000);
  CHECK(f.add({first.accept(), second.accept()}));
  Builder third;
  third.span(7, 4, 2, "store", "GET /documents/{id}", kNow + 20, 400);
  CHECK(f.add({third.accept()}));

  const auto trace = f.store->trace(trace_of(7));
  REQUIRE(trace.ok());
  REQUIRE(trace->spans.size() == 3);
  CHECK(trace->spans[0].service == "ui");
  CHECK(trace->spans[1].service == "claims");
  CHECK(trace->spans[1].parent_span_id == span_of(1));
  CHECK(trace->spans[2].service == "store");
  CHECK(trace->spans[2].parent_span_id == span_of(2));  // a parent in another chunk
  CHECK(trace->spans[1].resource_attributes.size() == 1);
  CHECK(f.store->trace(trace_of(9)).error().code == net::Code::not_found);
}

TEST_CASE(
    "span store: search filters by service, operation, duration, error, tag and time, newest "
    "first") {
  Fixture f;
  Builder b;
  for (uint64_t i = 0; i < 50; ++i) {
    auto& span = b.span(100 + i, 1000 + i, 0, i % 2 ? "ui" : "claims", i % 3 ? "GET /a" : "GET /b",
                        kNow + i * kSecond, i * 100'000'000ULL);
    if (i % 10 == 0) span.status = SpanStatus::error;
    b.tag("user", "u" + std::to_string(i % 5));
  }
  CHECK(f.add({b.accept()}));
  const auto count = [&](const TraceQuery& query) { return f.store->search(query, {})->size(); };

  TraceQuery query = all_of("claims");
  query.limit = 100;
  CHECK(count(query) == 25);
  const auto traces = f.store->search(query, {});
  CHECK(std::is_sorted(traces->begin(), traces->end(), [](const Trace& a, const Trace& b2) {
    return a.spans[0].start_unix_nanos > b2.spans[0].start_unix_nanos;
  }));
  query.error = true;
  CHECK(count(query) == 5);
  query.error = false;
  CHECK(count(query) == 20);
  query.error.reset();
  query.operation = "GET /b";
  CHECK(count(query) == 9);  // 0, 6, 12, ... 48
  query.operation.clear();
  query.min_duration_nanos = 4'000'000'000ULL;
  CHECK(count(query) == 5);  // 40, 42, ... 48
  query.max_duration_nanos = 4'300'000'000ULL;
  CHECK(count(query) == 2);
  query = all_of("claims");
  query.limit = 100;
  query.tags = {{"user", "u0"}};
  CHECK(count(query) == 5);
  query.tags = {{"user", "nobody"}};
  CHECK(count(query) == 0);
  query = all_of("");
  query.limit = 7;
  CHECK(count(query) == 7);
  query = all_of("claims");
  query.start_unix_nanos = kNow + 40 * kSecond;
  CHECK(count(query) == 5);
  CHECK(f.store->search(query, [] { return true; }).error().code == net::Code::canceled);
}

TEST_CASE("span store: a failed group leaves nothing behind, and its repetition is stored once") {
  Fixture f;
  f.kv.fail_commits = true;
  Builder b;
  b.span(7, 1, 0, "ui", "GET /", kNow, 1000);
  const AcceptedBatch batch = b.accept();
  CHECK_FALSE(f.add({batch}));
  CHECK_FALSE(f.store->trace(trace_of(7)).ok());
  f.kv.fail_commits = false;
  CHECK(f.add({batch}));
  CHECK(f.store->trace(trace_of(7))->spans.size() == 1);
}

TEST_CASE("span store: after a restart it reads what was stored and goes on numbering") {
  Fixture f;
  Builder b;
  b.span(7, 1, 0, "ui", "GET /", kNow, 1000);
  CHECK(f.add({b.accept()}));
  f.store = make_span_store();
  REQUIRE(f.store->recover(f.kv).ok());
  Builder c;
  c.span(7, 2, 1, "claims", "GET /claims", kNow + 1, 10);
  CHECK(f.add({c.accept()}));
  CHECK(f.store->trace(trace_of(7))->spans.size() == 2);
  CHECK(f.store->services() == std::vector<std::string>{"claims", "ui"});
  CHECK(f.store->operations("ui") ==
        std::vector<std::pair<std::string, std::string>>{{"GET /", "server"}});
}

TEST_CASE("span store: a trace that was named by a text of its own keeps it") {
  Fixture f;
  Builder b;
  b.span(1, 1, 0, "ui", "GET /", kNow, 10).trace_text = "order-17";
  CHECK(f.add({b.accept()}));
  CHECK(f.store->trace(trace_of(1))->x_trace == "order-17");
}

TEST_CASE("span store: odd times are kept with the day of arrival and still found") {
  Fixture f;
  Builder b;
  b.span(1, 1, 0, "ui", "from 1970", 5, 10);
  b.span(2, 2, 0, "ui", "from 2300", 10'413'792'000ULL * kSecond, 10);
  b.span(3, 3, 0, "ui", "backwards", kNow, 0).end_unix_nanos = kNow - 5;
  CHECK(f.add({b.accept()}));
  CHECK(f.kv.days().size() == 1);
  CHECK(f.store->trace(trace_of(1))->spans[0].start_unix_nanos == 5);
  CHECK(f.store->trace(trace_of(2)).ok());
  CHECK(f.store->trace(trace_of(3))->spans[0].end_unix_nanos == kNow - 5);
  TraceQuery query = all_of("ui");
  query.start_unix_nanos = 0;
  query.end_unix_nanos = UINT64_MAX;
  CHECK(f.store->search(query, {})->size() == 3);
}

TEST_CASE(
    "span store: small groups become one full chunk, and every trace is found before, after and "
    "over a restart") {
  Fixture f;
  const Family day = Family::of_unix_nanos(kNow);
  const auto chunks = [&] {
    size_t count = 0;
    for (const auto& [key, value] : f.kv.table(day))
      count += key[0] == static_cast<char>(Table::span_chunk) ? 1 : 0;
    return count;
  };
  constexpr uint64_t kGroups = 100, kTraces = 80;  // 8,000 spans in all: the last group fills it
  for (uint64_t group = 0; group < kGroups; ++group) {
    Builder b;
    for (uint64_t trace = 0; trace < kTraces; ++trace) {
      b.span(trace, 1 + group * 1'000 + trace, 0, "s" + std::to_string(trace % 4), "op",
             kNow + group * kSecond + trace, 1'000 * trace);
      b.tag("user", "u" + std::to_string(trace));
    }
    CHECK(f.add({b.accept()}));
    if (group == 40) {
      CHECK(chunks() == 41);
      f.store = make_span_store();
      REQUIRE(f.store->recover(f.kv).ok());
    }
    if (group % 33 == 0 || group + 1 == kGroups)
      CHECK(f.store->trace(trace_of(group % kTraces))->spans.size() == group + 1);
  }
  CHECK(chunks() == 1);
  CHECK(f.store->trace(trace_of(79))->spans.size() == kGroups);
  TraceQuery query = all_of("s3");
  query.limit = 1'000;
  CHECK(f.store->search(query, {})->size() == kTraces / 4);
  query.tags = {{"user", "u7"}};
  CHECK(f.store->search(query, {})->size() == 1);
  query.tags = {{"user", "u8"}};  // of another service
  CHECK(f.store->search(query, {})->empty());
  query.tags.clear();
  query.service.clear();
  CHECK(f.store->search(query, {})->size() == kTraces);
  query.limit = 5;
  CHECK(f.store->search(query, {})->front().id == trace_of(79));
  f.store = make_span_store();
  REQUIRE(f.store->recover(f.kv).ok());
  CHECK(f.store->trace(trace_of(0))->spans.size() == kGroups);
}

TEST_CASE(
    "span store: upkeep seals the head of a day that is over, and nothing is read twice "
    "meanwhile") {
  Fixture f;
  Builder b;
  b.span(7, 1, 0, "ui", "GET /", kNow, 1000);
  CHECK(f.add({b.accept()}));
  const uint64_t tomorrow = kNow + 86'400 * kSecond;
  REQUIRE(f.kv.commit([&](KvWriter& writer) { f.store->maintain(tomorrow, writer); }).ok());
  CHECK(f.store->trace(trace_of(7))->spans.size() == 1);
  CHECK(f.store->search(all_of("ui"), {})->size() == 1);
  REQUIRE(f.kv.commit([&](KvWriter& writer) { f.store->maintain(tomorrow, writer); }).ok());
  Builder late;
  late.span(7, 2, 1, "ui", "late", kNow + 5, 10);
  CHECK(f.add({late.accept(tomorrow)}));
  CHECK(f.store->trace(trace_of(7))->spans.size() == 2);
}

TEST_CASE(
    "service edges: counted whichever of parent and child comes first, and kept over a restart") {
  MemoryKv kv;
  auto edges = make_service_edge_store();
  REQUIRE(edges->recover(kv).ok());
  Builder parents, children;
  for (uint64_t i = 0; i < 10; ++i) {
    parents.span(i, 100 + i, 0, "ui", "GET /", kNow, kSecond);
    parents.span(i, 200 + i, 100 + i, "ui", "call", kNow, kSecond).kind = SpanKind::client;
    auto& child = children.span(i, 300 + i, 200 + i, "claims", "GET /claims", kNow, kSecond / 2);
    if (i == 0) child.status = SpanStatus::error;
  }
  const std::vector<AcceptedBatch> early = {children.accept()}, late = {parents.accept()};
  edges->committed(early);
  edges->committed(late);
  const auto check = [&](const ServiceEdgeStore& store) {
    const auto totals = store.totals(kNow - 60 * kSecond, kNow + 60 * kSecond);
    REQUIRE(totals.ok());
    const std::vector<ServiceEdge>& rows = totals->edges;
    REQUIRE(rows.size() == 3);  // two nodes, one edge
    const auto edge = std::find_if(rows.begin(), rows.end(),
                                   [](const ServiceEdge& e) { return !e.from.empty(); });
    CHECK(edge->from == "ui");
    CHECK(edge->to == "claims");
    CHECK(edge->requests == 10);
    CHECK(edge->errors == 1);
    CHECK(edge->duration.quantile(0.5) == doctest::Approx(0.5).epsilon(0.03));
  };
  check(*edges);
  REQUIRE(kv.commit([&](KvWriter& writer) { edges->maintain(kNow, writer); }).ok());
  auto again = make_service_edge_store();
  REQUIRE(again->recover(kv).ok());
  check(*again);
}

TEST_CASE(
    "span store: a search looks through as many chunks as it must, newest first, by any service") {
  MemoryKv kv;
  const auto store = make_span_store(1);  // no head: each group becomes a full chunk
  REQUIRE(store->recover(kv).ok());
  std::mt19937_64 random(11);
  struct Sent {
    uint64_t trace, start;
    std::string service;
    bool slow;
  };
  std::vector<Sent> sent;
  for (uint64_t group = 0; group < 300; ++group) {
    Builder builder;
    for (uint64_t i = 0; i < 3; ++i) {
      const uint64_t trace = group * 3 + i;
      // Out of order by up to twenty groups.
      const Sent one{trace, kNow + (group + random() % 20) * kSecond + trace,
                     "service-" + std::to_string(random() % 5), random() % 50 == 0};
      builder.span(trace, trace + 1, 0, one.service, "op", one.start, one.slow ? kSecond : 1'000);
      sent.push_back(one);
    }
    const std::vector<AcceptedBatch> accepted{builder.accept()};
    REQUIRE(kv.commit([&](KvWriter& writer) { store->prepare(accepted, writer); }).ok());
    store->committed(accepted);
  }
  std::sort(sent.begin(), sent.end(),
            [](const Sent& a, const Sent& b) { return a.start > b.start; });
  for (const std::string service : {"", "service-2"}) {
    for (const bool slow : {false, true}) {
      for (const uint32_t limit : {1U, 20U, 1'000U}) {
        TraceQuery query = all_of(service);
        query.min_duration_nanos = slow ? kSecond / 2 : 0;
        query.limit = limit;
        std::vector<TraceId> expected;
        for (const Sent& one : sent) {
          if ((service.empty() || one.service == service) && (!slow || one.slow) &&
              expected.size() < limit)
            expected.push_back(trace_of(one.trace));
        }
        const auto found = store->search(query, {});
        REQUIRE(found.ok());
        std::vector<TraceId> ids;
        for (const Trace& trace : *found) ids.push_back(trace.id);
        CHECK(ids == expected);
      }
    }
  }
  TraceQuery query = all_of("");
  CHECK(store->search(query, [] { return true; }).error().code == net::Code::canceled);
}

TEST_CASE("span store: a trace larger than an answer is cut, and says how far") {
  Fixture f;
  f.store = make_span_store(1, kChunkCacheBytes, {}, 1ULL << 20);
  REQUIRE(f.store->recover(f.kv).ok());
  Builder b;
  for (uint64_t n = 1; n <= 5'000; ++n) b.span(7, n, 0, "ui", "tick", kNow + n, 5);
  CHECK(f.add({b.accept()}));
  for (int time = 0; time < 2; ++time) {  // the second time from what was looked at lately
    const auto trace = f.store->trace(trace_of(7));
    REQUIRE(trace.ok());
    CHECK(trace->cut);
    CHECK(trace->spans.size() > 1'000);
    CHECK(trace->spans.size() < 5'000);
    REQUIRE(trace->warnings.size() == 1);
    CHECK(trace->warnings[0] == "only the first " + std::to_string(trace->spans.size()) +
                                    " spans are shown: an answer has room for 1 MiB of spans (a "
                                    "sixteenth of --memory)");
  }
}

TEST_CASE("span store: a search whose traces fill the answer ends there and says so") {
  Fixture f;
  f.store = make_span_store(kHeadsWeight, kChunkCacheBytes, {}, 1ULL << 20);
  REQUIRE(f.store->recover(f.kv).ok());
  Builder b;
  for (uint64_t n = 1; n <= 5'000; ++n)
    b.span(n % 10 + 1, n, 0, "ui", "tick", kNow + n % 10 * kSecond, 5);
  CHECK(f.add({b.accept()}));
  const auto traces = f.store->search(all_of("ui"), nullptr);
  REQUIRE(traces.ok());
  CHECK(traces->size() > 1);
  CHECK(traces->size() < 10);
  CHECK(traces->front().id == trace_of(10));  // the newest is whole
  CHECK(traces->front().spans.size() == 500);
  CHECK_FALSE(traces->front().cut);
  CHECK(traces->back().cut);
  REQUIRE(traces->front().warnings.size() == 1);
  CHECK(traces->front().warnings[0].find("further traces are left out") == 0);
  TraceQuery few = all_of("ui");
  few.limit = 2;
  CHECK(f.store->search(few, nullptr)->front().warnings.empty());
}

TEST_CASE("span store: a span larger than the answer is shown") {
  Fixture f;
  f.store = make_span_store(kHeadsWeight, kChunkCacheBytes, {}, 1'000);
  REQUIRE(f.store->recover(f.kv).ok());
  Builder b;
  for (uint64_t n = 1; n <= 3; ++n) {
    b.span(1, n, 0, "ui", "tick", kNow + n, 5);
    b.tag("note", std::string(60'000, 'x'));
  }
  CHECK(f.add({b.accept()}));
  CHECK(f.store->trace(trace_of(1))->spans.size() == 1);
  CHECK(f.store->search(all_of("ui"), nullptr)->size() == 1);
}

}  // namespace
}  // namespace hms::collector
