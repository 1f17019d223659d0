#include "collector/store/log_chunk.h"

#include <doctest/doctest.h>

#include <random>

#include "collector/store/chunk_attributes.h"
#include "collector/store/chunk_messages.h"
#include "collector/store/chunk_resources.h"

namespace hms::collector {
namespace {

using telemetry::Attribute;
using telemetry::LogBatch;
using telemetry::LogView;
using Kind = telemetry::AttributeValue::Kind;

std::vector<std::string> read_back(const std::vector<std::string>& messages, Packing packing) {
  MessagesWriter writer;
  for (const std::string& message : messages) writer.add(message);
  ColumnWriter out;
  writer.write(out, packing);
  ColumnReader in(out.bytes());
  BlockArena arena;
  std::vector<std::string_view> read;
  read_messages(in, messages.size(), arena, read);
  CHECK_FALSE(in.failed());
  return {read.begin(), read.end()};
}

TEST_CASE(
    "log messages: numbers, padded numbers, ids, marks and odd bytes come back as they were") {
  const std::vector<std::string> messages = {"",
                                             "0",
                                             "00",
                                             "007",
                                             "18446744073709551616",
                                             "000000000000000000000000000001",
                                             "order 3fa9c2d4e5b60718 of 000123 in 17 ms",
                                             "order 3FA9C2D4 of 123456 in 0 ms",
                                             "deadbeef",
                                             "dead",
                                             "dea1",
                                             "de1",
                                             "uuid 3fa85f64-5717-4562-b3fc-2c963f66afa6",
                                             std::string("\x01", 1),
                                             std::string("a\x01"
                                                         "d\x01",
                                                         4),
                                             std::string("nul \0 in 5", 10),
                                             "\xff\xfe 12 \xc3",
                                             "p99=12.5ms",
                                             "2026-11-22T10:00:00.123Z",
                                             std::string(70, 'a') + "1",
                                             std::string(64, '1') + "a"};
  CHECK(read_back(messages, Packing::none) == messages);
  CHECK(read_back(messages, Packing::each_block) == messages);
}

TEST_CASE("log messages: any mixture of frequent and rare templates comes back") {
  std::mt19937_64 random(3);
  constexpr char kBytes[] = "0123456789abcdefxyz .-\x01";
  std::vector<std::string> messages;
  for (int i = 0; i < 3'000; ++i) {
    std::string message = i % 2 == 0 ? "handled order " + std::to_string(random() % 1'000) : "";
    for (uint64_t n = i % 3 == 0 ? random() % 40 : 0; n > 0; --n)
      message += kBytes[random() % (sizeof kBytes - 1)];
    messages.push_back(message);
  }
  CHECK(read_back(messages, Packing::each_block) == messages);
}

/// Lines with and without ids, texts of traces, attributes of each kind.
LogBatch mixture(size_t lines) {
  LogBatch batch;
  std::mt19937_64 random(11);
  const auto attribute = [&](const std::string& key, Kind kind) {
    Attribute a;
    a.key = batch.keep(key);
    a.value.kind = kind;
    a.value.text = kind == Kind::text ? batch.keep(std::to_string(random() % 20)) : "";
    if (kind == Kind::integer) a.value.integer = static_cast<int64_t>(random() % 1'000);
    batch.attributes.push_back(a);
  };
  for (size_t i = 0; i < 3; ++i) {
    const auto begin = static_cast<uint32_t>(batch.attributes.size());
    attribute("host", Kind::text);
    batch.resources.push_back({batch.keep("s" + std::to_string(i)), "", "", {begin, begin + 1}});
  }
  for (size_t i = 0; i < lines; ++i) {
    LogView log;
    log.resource = static_cast<uint32_t>(random() % 3);
    log.time_unix_nanos = i % 60 == 9 ? random() : 1'795'000'000'000'000'000ULL + random() % 5'000;
    log.severity_number = static_cast<uint8_t>(random() % 25);
    log.level = i % 2 == 0 ? "info" : "error";
    if (i % 9 == 0) log.severity = "security";
    log.message = batch.keep("line " + std::to_string(i) + (i % 4 == 0 ? " of many" : ""));
    if (i % 3 == 0) log.trace_id.bytes[5] = static_cast<uint8_t>(1 + random() % 200);
    if (i % 6 == 0) log.span_id.bytes[1] = static_cast<uint8_t>(1 + random() % 200);
    if (i % 30 == 0) log.trace_text = batch.keep("order-" + std::to_string(i));
    log.attributes.begin = static_cast<uint32_t>(batch.attributes.size());
    if (i % 5 != 0) attribute("user", Kind::text);
    if (i % 7 == 0) attribute("size", Kind::integer);
    log.attributes.end = static_cast<uint32_t>(batch.attributes.size());
    batch.logs.push_back(log);
  }
  return batch;
}

bool same(const StoredLog& a, const StoredLog& b) {
  const auto same_attributes = [](const auto& x, const auto& y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end(), [](const auto& p, const auto& q) {
      return p.key == q.key && p.kind == q.kind && p.text == q.text && p.integer == q.integer;
    });
  };
  return a.time_unix_nanos == b.time_unix_nanos && a.severity_number == b.severity_number &&
         a.service == b.service && a.level == b.level && a.severity == b.severity &&
         a.message == b.message && a.trace_id == b.trace_id && a.span_id == b.span_id &&
         a.trace_text == b.trace_text && same_attributes(a.attributes, b.attributes) &&
         same_attributes(a.resource_attributes, b.resource_attributes);
}

TEST_CASE("log chunk: what was written is read again, small or full") {
  for (const size_t lines : {1UL, 2UL, 100UL, 4'000UL}) {
    const LogBatch batch = mixture(lines);
    std::vector<LogSource> sources;
    for (const LogView& log : batch.logs) sources.push_back({&batch, &log});
    sort_newest_first(sources);
    for (const Packing packing : {Packing::none, Packing::each_block}) {
      const auto chunk = decode_log_chunk(encode_log_chunk(sources, packing));
      REQUIRE(chunk.ok());
      REQUIRE((*chunk)->logs.size() == lines);
      for (size_t i = 0; i < lines; ++i)
        CHECK(same(stored_log(**chunk, (*chunk)->logs[i]), stored_log(batch, *sources[i].log)));
    }
  }
}

TEST_CASE("log chunk: version 2 is still read") {
  const LogBatch batch = mixture(1);
  DictionaryWriter dictionary;
  ResourceColumns resources(dictionary);
  AttributeColumnsWriter attributes(dictionary);
  ColumnWriter body, columns;
  const uint32_t sender = resources.add(batch, 1);
  attributes.add({});
  resources.write(body);
  body.varint(1);
  body.zigzag(77);
  body.u8(9);
  for (const char* text : {"info", "", ""}) body.varint(dictionary.add(text));
  body.varint(sender);
  body.text("an old line");
  body.u8(2);
  body.raw("8 bytes!");
  attributes.write(body);
  dictionary.write(columns);
  columns.raw(body.bytes());
  const auto chunk = decode_log_chunk(seal_chunk(2, columns.bytes()));
  REQUIRE(chunk.ok());
  const StoredLog log = stored_log(**chunk, (*chunk)->logs.front());
  CHECK(log.message == "an old line");
  CHECK(log.service == "s1");
  CHECK(log.level == "info");
  CHECK(log.time_unix_nanos == 77);
  CHECK(log.span_id.bytes[0] == '8');
}

TEST_CASE("log chunk: cut or changed bytes are an error or a readable chunk, never a crash") {
  const LogBatch batch = mixture(300);
  std::vector<LogSource> sources;
  for (const LogView& log : batch.logs) sources.push_back({&batch, &log});
  sort_newest_first(sources);
  for (const Packing packing : {Packing::none, Packing::each_block}) {
    const std::string stored = encode_log_chunk(sources, packing);
    for (size_t cut = 0; cut < stored.size(); cut += 7)
      CHECK_FALSE(decode_log_chunk(stored.substr(0, cut)).ok());
    std::mt19937_64 random(42);
    for (int round = 0; round < 2'000; ++round) {
      std::string changed = stored;
      for (int n = 0; n < 3; ++n)
        changed[2 + random() % (changed.size() - 2)] = static_cast<char>(random());
      const auto chunk = decode_log_chunk(changed);
      if (!chunk.ok()) continue;
      for (const auto& log : (*chunk)->logs) (void)stored_log(**chunk, log);
    }
  }
}

}  // namespace
}  // namespace hms::collector
