#include "collector/store/log_store.h"

#include <doctest/doctest.h>

#include <set>

#include "tests/support/memory_kv.h"

namespace hms::collector {
namespace {

constexpr uint64_t kSecond = 1'000'000'000ULL;
constexpr uint64_t kNow = 1'795'000'000ULL * kSecond;

struct Builder {
  telemetry::LogBatch batch;
  Builder() { batch.resources.push_back({"claims", "", "", {0, 0}}); }
  telemetry::LogView& log(uint64_t time, const std::string& message,
                          const std::string& level = "info") {
    telemetry::LogView log;
    log.time_unix_nanos = time;
    log.message = batch.keep(message);
    log.level = batch.keep(level);
    return batch.logs.emplace_back(log);
  }
  AcceptedBatch accept() {
    AcceptedBatch accepted;
    accepted.arrived_unix_nanos = kNow;
    accepted.logs = std::make_shared<const telemetry::LogBatch>(std::move(batch));
    return accepted;
  }
};

struct Fixture {
  MemoryKv kv;
  std::unique_ptr<LogStore> store = make_log_store();
  Fixture() { REQUIRE(store->recover(kv).ok()); }
  void add(AcceptedBatch batch) {
    const std::vector<AcceptedBatch> group = {std::move(batch)};
    REQUIRE(kv.commit([&](KvWriter& writer) { store->prepare(group, writer); }).ok());
  }
};

TEST_CASE(
    "log store: newest first over chunks that overlap in time, page by page, each line once") {
  Fixture f;
  std::set<std::string> sent;
  for (uint64_t chunk = 0; chunk < 20; ++chunk) {
    Builder b;
    for (uint64_t i = 0; i < 30; ++i) {
      // Chunks interleave, lines tie, and one chunk is late.
      const uint64_t time =
          kNow + ((chunk * 7 + i * 13) % 100) * kSecond - (chunk == 19 ? 500 * kSecond : 0);
      const std::string message = std::to_string(chunk) + "/" + std::to_string(i);
      b.log(time, message);
      sent.insert(message);
    }
    f.add(b.accept());
  }
  LogQuery query;
  query.limit = 37;
  std::set<std::string> seen;
  uint64_t last = UINT64_MAX;
  do {
    const auto page = f.store->search(query, {});
    REQUIRE(page.ok());
    for (const StoredLog& log : page->logs) {
      CHECK(log.time_unix_nanos <= last);
      last = log.time_unix_nanos;
      CHECK(seen.insert(log.message).second);
    }
    query.cursor = page->cursor;
  } while (!query.cursor.empty());
  CHECK(seen == sent);
}

TEST_CASE("log store: filters by level, severity, trace, text and time") {
  Fixture f;
  telemetry::TraceId trace;
  trace.bytes[15] = 9;
  Builder b;
  b.log(kNow, "card declined", "error").trace_id = trace;
  b.log(kNow + 1, "login failed", "warn").severity = "security";
  b.log(kNow + 2, "Cache WARM", "info");
  f.add(b.accept());
  const auto messages = [&](LogQuery query) {
    std::vector<std::string> found;
    const auto page = f.store->search(query, {});
    REQUIRE(page.ok());
    for (const StoredLog& log : page->logs) found.push_back(log.message);
    return found;
  };
  LogQuery query;
  query.level = "error";
  CHECK(messages(query) == std::vector<std::string>{"card declined"});
  query = {};
  query.severity = "security";
  CHECK(messages(query) == std::vector<std::string>{"login failed"});
  query = {};
  query.trace_id = trace;
  CHECK(messages(query) == std::vector<std::string>{"card declined"});
  query = {};
  query.text = "warm";
  CHECK(messages(query) == std::vector<std::string>{"Cache WARM"});
  query = {};
  query.start_unix_nanos = kNow;
  query.end_unix_nanos = kNow + 1;
  CHECK(messages(query) == std::vector<std::string>{"login failed"});
  query = {};
  query.cursor = "not one of ours";
  CHECK(f.store->search(query, {}).error().code == net::Code::bad_message);
}

}  // namespace
}  // namespace hms::collector
