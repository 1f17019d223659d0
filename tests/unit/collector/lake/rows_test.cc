#include "collector/lake/rows.h"

#include <doctest/doctest.h>

#include <map>
#include <random>

#include "collector/lake/attributes_json.h"
#include "collector/lake/block_cache.h"
#include "collector/lake/external_sort.h"
#include "collector/lake/manifest.h"
#include "tests/support/temporary_directory.h"

using namespace hms;
using namespace hms::collector;
using Kind = telemetry::AttributeValue::Kind;

namespace {

StoredAttribute attribute(std::string key, Kind kind) {
  StoredAttribute out;
  out.key = std::move(key);
  out.kind = kind;
  return out;
}

std::vector<StoredAttribute> every_kind() {
  std::vector<StoredAttribute> out;
  out.push_back(attribute("text", Kind::text));
  out.back().text = "quote\" and\nline";
  out.push_back(attribute("flag", Kind::boolean));
  out.back().boolean = true;
  out.push_back(attribute("whole", Kind::integer));
  out.back().integer = INT64_MIN;
  out.push_back(attribute("real", Kind::real));
  out.back().real = 2.0;
  out.push_back(attribute("list", Kind::json));
  out.back().text = R"([1,{"a":null}])";
  out.push_back(attribute("nothing", Kind::empty));
  return out;
}

}  // namespace

TEST_CASE("lake: attributes of every kind survive their JSON") {
  const auto before = every_kind();
  const auto after = attributes_of_json(attributes_json(before));
  REQUIRE(after.size() == before.size());
  for (size_t i = 0; i < before.size(); ++i) {
    CHECK(after[i].key == before[i].key);
    CHECK(after[i].kind == before[i].kind);
    CHECK(attribute_text(after[i]) == attribute_text(before[i]));
  }
  CHECK(attributes_of_json("not json").empty());
  CHECK(attributes_of_json("[1]").empty());
}

TEST_CASE("lake: equal rows give equal totals in any order, others do not") {
  const TableSpec& spec = table_spec(LakeTable::logs);
  StoredLog a, b;
  a.service = "claims";
  a.message = "one \xFF broken";  // repaired on the way
  a.time_unix_nanos = 5;
  b.service = "ledger";
  b.time_unix_nanos = 9;
  RowWriter first, second;
  std::string key;
  log_row(a, first, key);
  log_row(b, second, key);
  TableTotals forward, backward, other;
  forward.add(spec, first.bytes());
  forward.add(spec, second.bytes());
  backward.add(spec, second.bytes());
  backward.add(spec, first.bytes());
  CHECK(forward == backward);
  CHECK(forward.columns[log_column::time].sum == 14);
  other.add(spec, first.bytes());
  b.message = "else";
  log_row(b, second, key);
  other.add(spec, second.bytes());
  CHECK_FALSE(forward == other);
}

TEST_CASE("lake: more records than fit into memory come out in order") {
  const test::TemporaryDirectory folder;
  ExternalSorter sorter(folder.path(), "sort", 20'000);
  std::mt19937_64 random(3);
  std::multimap<std::string, std::string> expected;
  for (int i = 0; i < 20'000; ++i) {
    std::string key = std::to_string(random() % 1'000'000);
    std::string payload = "p" + std::to_string(i);
    REQUIRE(sorter.add(key, payload).ok());
    expected.emplace(std::move(key), std::move(payload));
  }
  CHECK(sorter.bytes_spilled() > 0);
  std::string last;
  std::multimap<std::string, std::string> found;
  REQUIRE(sorter
              .finish([&](std::string_view key, std::string_view payload) -> net::Result<void> {
                CHECK(last <= key);
                last = key;
                found.emplace(key, payload);
                return {};
              })
              .ok());
  CHECK(found.size() == expected.size());
  for (const auto& [key, payload] : expected) {
    const auto [begin, end] = found.equal_range(key);
    CHECK(std::any_of(begin, end, [&p = payload](const auto& one) { return one.second == p; }));
  }
}

TEST_CASE("lake: a manifest is read as it was written, and distrusted") {
  LakeManifest manifest;
  manifest.day = *parse_day("2026-11-01");
  manifest.store = "0190a0b0-0000-7000-8000-000000000001";
  manifest.services = {"claims"};
  LakeTableManifest& spans = manifest.table(LakeTable::spans);
  RowWriter row;
  std::string key;
  StoredSpan span;
  span.start_unix_nanos = 77;
  span_row(span, row, key);
  spans.totals.add(table_spec(LakeTable::spans), row.bytes());
  spans.files.push_back({"day=2026-11-01/spans-00000.parquet", 100, 1, "aa", 77, 77});
  spans.trace_index = LakeObject{"day=2026-11-01/trace-index-spans.parquet", 5, 1, "bb", 0, 0};
  const std::string text = encode_manifest(manifest);
  const auto read = decode_manifest(text);
  REQUIRE_MESSAGE(read.ok(), (read.ok() ? "" : read.error().detail));
  CHECK(read->day == manifest.day);
  CHECK(read->table(LakeTable::spans).totals == spans.totals);
  CHECK(read->table(LakeTable::spans).files[0].bytes == 100);
  CHECK(read->table(LakeTable::spans).trace_index->sha256 == "bb");
  CHECK(read->bytes() == 105);

  std::string outside = text;
  outside.replace(outside.find("day=2026-11-01/spans"), 20, "day=2026-11-01/../..");
  CHECK_FALSE(decode_manifest(outside).ok());
  for (const char* bad : {"", "[]", "{}", R"({"format":1})", R"({"format":2,"day":"2026-11-01"})"})
    CHECK_FALSE(decode_manifest(bad).ok());
  CHECK_FALSE(parse_day("2026-02-30"));
  CHECK_FALSE(parse_day("2026-2-03"));
  CHECK(day_text(*parse_day("1970-01-02")) == "1970-01-02");
}

TEST_CASE("lake: the block cache gives what was read, and stays within its bound") {
  const test::TemporaryDirectory folder;
  const auto cache = std::make_shared<BlockCache>(folder / "cache", 3ULL * 1024 * 1024);
  std::string bytes;
  for (int i = 0; i < 5 * 1024 * 1024; ++i) bytes.push_back(static_cast<char>(i * 31 >> 3));
  const auto file = cached_file(std::make_shared<MemoryFile>(bytes), "x", cache);
  for (const uint64_t offset : {0U, 1'048'570U, 3'000'000U, 0U, 5'242'870U}) {
    const uint64_t length = std::min<uint64_t>(2'000'000, bytes.size() - offset);
    CHECK(file->read(offset, length).value() == bytes.substr(offset, length));
    CHECK(cache->bytes() <= 3ULL * 1024 * 1024);
  }
  CHECK_FALSE(file->read(bytes.size(), 1).ok());
}
