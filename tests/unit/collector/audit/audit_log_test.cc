#include "collector/audit/audit_log.h"

#include <doctest/doctest.h>

#include "tests/support/memory_engine.h"

using namespace hms::collector;

namespace {

constexpr uint64_t kDay = 86'400'000'000'000ULL;

AuditSettings marks_claims(uint32_t keep_days = 400) {
  AuditSettings settings;
  settings.services = {"claims"};
  settings.keep_days = keep_days;
  return settings;
}

AuditRecord record_at(uint64_t time, const std::string& peer = "10.0.0.1:5") {
  AuditRecord record;
  record.time_unix_nanos = time;
  record.peer = peer;
  record.question = "logs";
  record.add_service("claims");
  return record;
}

}  // namespace

TEST_CASE("audit record: what is written is read back, and no text passes its bound") {
  AuditRecord record = record_at(1'234'567'890'123'456'789ULL);
  record.query = cut_text(std::string(5'000, 'q'), AuditRecord::kMaxQueryBytes);
  record.identity = "\xff\x00 not UTF-8";
  for (int i = 0; i < 300; ++i) record.add_trace("trace " + std::to_string(i));
  for (int i = 0; i < 40; ++i) record.add_service("service " + std::to_string(i));
  CHECK(record.query.size() <= AuditRecord::kMaxQueryBytes);
  const std::string text = encode_audit_record(record);
  CHECK(text.size() < 24'000);
  const auto back = decode_audit_record(text);
  REQUIRE(back.ok());
  CHECK(back->time_unix_nanos == record.time_unix_nanos);
  CHECK(back->trace_ids.size() == AuditRecord::kMaxTraces);
  CHECK(back->traces_total == 300);
  CHECK(back->services.size() == AuditRecord::kMaxServices);
  CHECK(back->services_total == 41);
  CHECK(!decode_audit_record("{\"time_unix_nanos\":7}").ok());
  CHECK(!decode_audit_record("[]").ok());
}

TEST_CASE("audit record: a text is cut between characters") {
  CHECK(cut_text("abcdef", 6) == "abcdef");
  CHECK(cut_text("abcdefg", 6) == "abc…");
  CHECK(cut_text("äääää", 6) == "ä…");
}

TEST_CASE("audit log: pages are newest first, each record once") {
  hms::test::MemoryEngine engine;
  AuditLog log(marks_claims());
  log.attach(engine);
  for (uint64_t n = 1; n <= 25; ++n) {
    bool stored = false;
    // Two a nanosecond.
    log.add(record_at(kDay + n / 2), [&](const hms::net::Result<void>& r) { stored = r.ok(); });
    CHECK(stored);
  }
  AuditQuery query;
  query.limit = 7;
  std::set<std::string> ids;
  uint64_t last = UINT64_MAX;
  size_t pages = 0;
  do {
    const auto page = AuditLog::search(engine.reader(), query);
    REQUIRE(page.ok());
    for (const AuditRecord& record : page->records) {
      CHECK(record.time_unix_nanos <= last);
      last = record.time_unix_nanos;
      ids.insert(record.id);
    }
    query.cursor = page->cursor;
    ++pages;
  } while (!query.cursor.empty());
  CHECK(ids.size() == 25);
  CHECK(pages == 4);
  query.cursor = "not one";
  CHECK(AuditLog::search(engine.reader(), query).error().code == hms::net::Code::bad_message);
}

TEST_CASE("audit log: a record that the disk refuses is told, and counted") {
  hms::test::MemoryEngine engine;
  engine.fail = true;
  AuditLog log(marks_claims());
  log.attach(engine);
  bool refused = false;
  log.add(record_at(5), [&](const hms::net::Result<void>& r) { refused = !r.ok(); });
  CHECK(refused);
  engine.fail = false;
  bool stored = false;
  log.add(record_at(6), [&](const hms::net::Result<void>& r) { stored = r.ok(); });
  CHECK(stored);
  CHECK(AuditLog::search(engine.reader(), {})->records.size() == 1);
}

TEST_CASE("audit log: records go after their days, some at a time, and no other") {
  MemoryKv kv;
  AuditLog log(marks_claims(2));
  REQUIRE(log.recover(kv).ok());
  const uint64_t now = 10 * kDay;
  REQUIRE(kv.commit([&](KvWriter& writer) {
              for (uint64_t n = 0; n < 1'500; ++n) {
                const auto [key, value] = AuditLog::encode(record_at(7 * kDay + n));
                writer.put(Family::meta(), key, value);
              }
              const auto [key, value] = AuditLog::encode(record_at(9 * kDay));
              writer.put(Family::meta(), key, value);
            }).ok());
  const auto upkeep = [&](uint64_t at) {
    REQUIRE(kv.commit([&](KvWriter& writer) { log.maintain(at, writer); }).ok());
  };
  upkeep(now);
  CHECK(kv.keys(Family::meta()) == 501);
  upkeep(now + 1'000'000'000);
  CHECK(kv.keys(Family::meta()) == 1);
  upkeep(now + 2'000'000'000);
  CHECK(kv.keys(Family::meta()) == 1);
}

TEST_CASE("audit log: who asked is found by address with or without port, certificate or header") {
  AuditRecord record = record_at(1, "[::1]:99");
  record.tls_name = "spiffe://mesh/oncall";
  record.identity = "ada";
  for (const char* who : {"[::1]:99", "[::1]", "spiffe://mesh/oncall", "ada", ""}) {
    AuditQuery query;
    query.who = who;
    CHECK(AuditLog::fits(record, query));
  }
  for (const char* who : {"[::1]:9", "spiffe://mesh", "ad", "::1"}) {
    AuditQuery query;
    query.who = who;
    CHECK(!AuditLog::fits(record, query));
  }
}
