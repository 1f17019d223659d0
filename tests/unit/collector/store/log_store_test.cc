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
    store->committed(group);
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

/// Messages of all pages.
std::vector<std::string> all_pages(const LogStore& store, LogQuery query) {
  std::vector<std::string> found;
  do {
    const auto page = store.search(query, {});
    REQUIRE(page.ok());
    for (const StoredLog& log : page->logs) found.push_back(log.message);
    query.cursor = page->cursor;
  } while (!query.cursor.empty());
  return found;
}

TEST_CASE(
    "log store: a cursor stays good while small chunks become a full one, also among lines of one "
    "time") {
  Fixture f;
  size_t sent = 0;
  const auto add_lines = [&](size_t count) {
    Builder b;
    for (size_t i = 0; i < count; ++i, ++sent)
      b.log(kNow + (sent / 50) * 1'000'000, "line " + std::to_string(sent));
    f.add(b.accept());
  };
  for (int group = 0; group < 70; ++group) add_lines(100);
  LogQuery query;
  query.limit = 33;
  const auto first = f.store->search(query, {});
  REQUIRE(first.ok());
  CHECK(first->logs.front().message == "line 6999");
  CHECK(first->logs.back().message == "line 6967");
  add_lines(9'500);  // fills the first chunk and the next, and begins a third
  query.cursor = first->cursor;
  std::vector<std::string> rest = all_pages(*f.store, query);
  REQUIRE(rest.size() == 6'967);
  for (size_t i = 0; i < rest.size(); ++i) REQUIRE(rest[i] == "line " + std::to_string(6'966 - i));
  f.store = make_log_store();
  REQUIRE(f.store->recover(f.kv).ok());
  query.limit = 5'000;
  CHECK(all_pages(*f.store, query) == rest);
  query.cursor.clear();
  CHECK(all_pages(*f.store, query).size() == sent);
}

TEST_CASE("log store: words, substrings and attributes are found in full chunks and in the head") {
  Fixture f;
  const auto mark = [](size_t i) { return i % 8'000 == 1'234; };
  for (int group = 0; group < 3; ++group) {
    Builder b;
    for (size_t i = 0; i < 7'000; ++i) {
      const size_t n = static_cast<size_t>(group) * 7'000 + i;
      b.log(kNow + n, "request " + std::to_string(n) + (mark(n) ? " met a Quagga#" : " went well"));
    }
    f.add(b.accept());
  }
  Builder b;
  telemetry::Attribute a;
  a.key = "order";
  a.value.kind = telemetry::AttributeValue::Kind::text;
  a.value.text = "7f3a9c0d12e4";
  auto& log = b.log(kNow, "kept");
  b.batch.attributes.push_back(a);
  log.attributes = {0, 1};
  f.add(b.accept());
  const auto count = [&](const std::string& text) {
    LogQuery query;
    query.text = text;
    return all_pages(*f.store, query).size();
  };
  CHECK(count("quagga") == 3);
  CHECK(count("UAGG") == 3);
  CHECK(count("a#") == 3);
  CHECK(count("zebra") == 0);
  CHECK(count("7f3a9c0d12e4") == 1);
  CHECK(count("3A9C0D12E") == 1);
  CHECK(count("request 20999 went well") == 1);
  CHECK(count("went") == 20'997);
  LogQuery query;
  query.attributes = {{"order", "7f3a9c0d12e4"}};
  CHECK(all_pages(*f.store, query) == std::vector<std::string>{"kept"});
}

}  // namespace
}  // namespace hms::collector
