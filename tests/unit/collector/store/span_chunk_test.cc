#include "collector/store/span_chunk.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "collector/store/chunk_attributes.h"
#include "collector/store/chunk_filter.h"
#include "collector/store/chunk_ids.h"
#include "collector/store/chunk_resources.h"
#include "collector/store/span_chunk_reader.h"
#include "collector/store/span_match.h"
#include "collector/store/span_room.h"
#include "collector/store/span_summary.h"

namespace hms::collector {
namespace {

using telemetry::Attribute;
using telemetry::SpanId;
using telemetry::SpanKind;
using telemetry::SpanStatus;
using telemetry::SpanView;
using telemetry::TraceBatch;
using telemetry::TraceId;
using Kind = telemetry::AttributeValue::Kind;

constexpr uint64_t kNow = 1'795'000'000'000'000'000ULL;

SpanRoom room_for_a_trace() {
  SpanRoom room(UINT64_MAX);
  room.begin(Trace());
  return room;
}

/// Spans of all sorts: several senders and shapes, each kind of attribute, keys given twice, times
/// that run backwards, parents elsewhere, events, links.
struct Mixture {
  TraceBatch batch;
  std::mt19937_64 random;

  Mixture(uint64_t seed, size_t spans) : random(seed) {
    for (size_t i = 0; i < 7; ++i) {
      const auto begin = static_cast<uint32_t>(batch.attributes.size());
      const std::string service = "service-" + std::to_string(i / 2);
      text("service.name", service);
      if (i % 3 == 0) text("zone", "z" + std::to_string(i));
      batch.resources.push_back({batch.keep(service),
                                 batch.keep("i" + std::to_string(i)),
                                 "",
                                 {begin, static_cast<uint32_t>(batch.attributes.size())}});
    }
    for (size_t i = 0; i < spans; ++i) add(i);
  }
  void text(const std::string& key, const std::string& value) {
    Attribute a;
    a.key = batch.keep(key);
    a.value.kind = Kind::text;
    a.value.text = batch.keep(value);
    batch.attributes.push_back(a);
  }
  void any(const std::string& key) {
    Attribute a;
    a.key = batch.keep(key);
    a.value.kind = static_cast<Kind>(random() % 6);
    a.value.boolean = a.value.kind == Kind::boolean && random() % 2 == 0;
    if (a.value.kind == Kind::integer) a.value.integer = static_cast<int64_t>(random());
    if (a.value.kind == Kind::real) a.value.real = static_cast<double>(random() % 100) / 7;
    if (a.value.kind == Kind::text || a.value.kind == Kind::json)
      a.value.text = batch.keep(std::to_string(random() % 50));
    batch.attributes.push_back(a);
  }
  void add(size_t i) {
    SpanView span;
    span.resource = static_cast<uint32_t>(random() % batch.resources.size());
    span.trace_id.bytes[3] = static_cast<uint8_t>(i / 9);
    span.trace_id.bytes[15] = static_cast<uint8_t>(i % 2);
    for (uint8_t& byte : span.span_id.bytes) byte = static_cast<uint8_t>(random());
    if (i % 5 == 1) span.parent_span_id = batch.spans.back().span_id;
    if (i % 5 == 2) span.parent_span_id.bytes[2] = static_cast<uint8_t>(random() | 1);
    span.kind = static_cast<SpanKind>(random() % 6);
    span.status = static_cast<SpanStatus>(random() % 3);
    span.start_unix_nanos = i % 50 == 7 ? random() : kNow + random() % 1'000'000'000;
    span.end_unix_nanos =
        span.start_unix_nanos + random() % 90'000'000 - (i % 40 == 3 ? 99'999'999 : 0);
    span.name = batch.keep("GET /" + std::to_string(random() % 12));
    if (i % 11 == 0) span.status_message = batch.keep("failed " + std::to_string(i));
    if (i % 13 == 0) span.trace_text = batch.keep("order-" + std::to_string(i / 9));
    span.attributes.begin = static_cast<uint32_t>(batch.attributes.size());
    text("http.route", std::string(span.name));
    if (random() % 4 == 0) any("x");
    if (random() % 4 == 0) any("x");
    if (random() % 9 == 0) text("rare." + std::to_string(i), "once");
    span.attributes.end = static_cast<uint32_t>(batch.attributes.size());
    span.events_begin = static_cast<uint32_t>(batch.events.size());
    for (uint64_t n = random() % 12; n > 9; --n) {
      const auto begin = static_cast<uint32_t>(batch.attributes.size());
      any("event." + std::to_string(n));
      batch.events.push_back(
          {span.start_unix_nanos + n, batch.keep("e" + std::to_string(n)), {begin, begin + 1}});
    }
    span.events_end = static_cast<uint32_t>(batch.events.size());
    span.links_begin = static_cast<uint32_t>(batch.links.size());
    if (i % 17 == 0) batch.links.push_back({span.trace_id, span.span_id});
    span.links_end = static_cast<uint32_t>(batch.links.size());
    batch.spans.push_back(span);
  }
  std::vector<SpanSource> sources() const {
    std::vector<SpanSource> out;
    for (const SpanView& span : batch.spans) out.push_back({&batch, &span});
    return out;
  }
};

bool same(const std::vector<StoredAttribute>& a, const std::vector<StoredAttribute>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.key == y.key && x.kind == y.kind && x.text == y.text && x.boolean == y.boolean &&
           x.integer == y.integer && x.real == y.real;
  });
}

bool same(const StoredSpan& a, const StoredSpan& b) {
  return a.trace_id == b.trace_id && a.span_id == b.span_id &&
         a.parent_span_id == b.parent_span_id && a.kind == b.kind && a.status == b.status &&
         a.start_unix_nanos == b.start_unix_nanos && a.end_unix_nanos == b.end_unix_nanos &&
         a.service == b.service && a.instance == b.instance && a.name == b.name &&
         a.status_message == b.status_message && a.trace_text == b.trace_text &&
         same(a.attributes, b.attributes) && same(a.resource_attributes, b.resource_attributes) &&
         a.links == b.links &&
         std::equal(a.events.begin(), a.events.end(), b.events.begin(), b.events.end(),
                    [](const StoredEvent& x, const StoredEvent& y) {
                      return x.time_unix_nanos == y.time_unix_nanos && x.name == y.name &&
                             same(x.attributes, y.attributes);
                    });
}

SpanChunk::ReadIds ids_of(const FullSpanChunk& full) {
  return [&full] { return net::Result<std::string>(full.ids); };
}

TEST_CASE("span chunk: what was written is read again, small or full, whole or by trace") {
  for (const size_t count : {1UL, 2UL, 9UL, 400UL, 3'000UL}) {
    const Mixture mixture(count, count);
    auto sources = mixture.sources();
    const std::string small = encode_span_chunk(sources);
    const FullSpanChunk full = encode_full_span_chunk(sources);
    const auto from_small = decode_span_chunk(small);
    const auto from_full = decode_span_chunk(full.fields, ids_of(full));
    REQUIRE(from_small.ok());
    REQUIRE(from_full.ok());
    REQUIRE((*from_small)->spans.size() == count);
    REQUIRE((*from_full)->spans.size() == count);
    const auto opened = SpanChunk::open(full.fields);
    REQUIRE(opened.ok());
    for (size_t row = 0; row < count; ++row) {
      const StoredSpan expected = stored_span(*sources[row].batch, *sources[row].span);
      CHECK(same(stored_span(**from_small, (*from_small)->spans[row]), expected));
      CHECK(same(stored_span(**from_full, (*from_full)->spans[row]), expected));
      if (row > 0 && sources[row - 1].span->trace_id == sources[row].span->trace_id) continue;
      std::vector<StoredSpan> trace;
      SpanRoom room = room_for_a_trace();
      REQUIRE((*opened)->trace(expected.trace_id, ids_of(full), room, trace).ok());
      REQUIRE_FALSE(trace.empty());
      for (size_t i = 0; i < trace.size(); ++i)
        CHECK(same(trace[i], stored_span(*sources[row + i].batch, *sources[row + i].span)));
    }
    std::vector<StoredSpan> none;
    TraceId nowhere;
    nowhere.bytes[7] = 1;
    SpanRoom room = room_for_a_trace();
    CHECK((*opened)->trace(nowhere, ids_of(full), room, none).ok());
    CHECK(none.empty());
  }
}

TEST_CASE(
    "span chunk: a search by column finds what a look at every span finds, and no summary or "
    "filter hides it") {
  const Mixture mixture(5, 2'000);
  auto sources = mixture.sources();
  sort_by_trace(sources);
  const FullSpanChunk full = encode_full_span_chunk(sources);
  const auto chunk = SpanChunk::open(full.fields);
  REQUIRE(chunk.ok());
  std::mt19937_64 random(9);
  size_t found = 0;
  for (int round = 0; round < 400; ++round) {
    TraceQuery query;
    query.start_unix_nanos = random() % 3 == 0 ? kNow + random() % 900'000'000 : 0;
    query.end_unix_nanos = random() % 3 == 0 ? kNow + random() % 1'000'000'000 : UINT64_MAX;
    if (random() % 2 == 0) query.service = "service-" + std::to_string(random() % 5);
    if (random() % 2 == 0) query.operation = "GET /" + std::to_string(random() % 13);
    if (random() % 3 == 0) query.min_duration_nanos = random() % 90'000'000;
    if (random() % 4 == 0) query.max_duration_nanos = 1 + random() % 90'000'000;
    if (random() % 3 == 0) query.error = random() % 2 == 0;
    if (random() % 3 == 0) query.tags.emplace_back("x", std::to_string(random() % 60));
    if (random() % 5 == 0) query.tags.emplace_back("zone", "z" + std::to_string(random() % 8));
    if (random() % 9 == 0)
      query.tags.emplace_back("rare." + std::to_string(random() % 2'000), "once");
    std::vector<std::pair<uint64_t, TraceId>> expected;
    std::vector<std::string> services;
    for (const SpanSource& source : sources) {
      if (!start_fits(query, source.span->start_unix_nanos) ||
          !span_fits(*source.batch, *source.span, query))
        continue;
      services.emplace_back(source.batch->resources[source.span->resource].service_name);
      if (expected.empty() || expected.back().second != source.span->trace_id)
        expected.emplace_back(source.span->start_unix_nanos, source.span->trace_id);
    }
    const auto hits = (*chunk)->find(query, ids_of(full));
    REQUIRE(hits.ok());
    REQUIRE(hits->size() == expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      CHECK((*hits)[i].id == expected[i].second);
      CHECK((*hits)[i].start_unix_nanos == expected[i].first);
    }
    found += expected.size();
    FilterQuestion tags;
    for (const auto& [key, value] : query.tags) tags.need_attribute(key, value);
    if (!expected.empty()) CHECK(tags.may_match(full.filter));
    for (const std::string& service : services) {
      const ServiceSummary& summary = full.summaries.at(service);
      CHECK(SummaryQuestion(query).may_fit(summary.value, summary.newest_start));
    }
  }
  CHECK(found > 1'000);
}

TEST_CASE("span chunk: spans are sorted by trace, then start, whatever their ids have in common") {
  std::mt19937_64 random(5);
  // Bits of both halves of the ids that are not the same in all: random, of 64 bits, counted up.
  for (const auto& [high, low] : {std::pair{~0ULL, ~0ULL}, {0ULL, ~0ULL}, {0xFFULL, 0xFULL}}) {
    for (const size_t count : std::initializer_list<size_t>{1, 2, 40, 5'000}) {
      TraceBatch batch;
      for (size_t i = 0; i < count; ++i) {
        SpanView& span = batch.spans.emplace_back();
        const uint64_t halves[] = {random() & high, random() & low};
        for (size_t byte = 0; byte < 16; ++byte)
          span.trace_id.bytes[byte] = static_cast<uint8_t>(halves[byte / 8] >> (56 - byte % 8 * 8));
        span.start_unix_nanos = random() % 100;
      }
      std::vector<SpanSource> sources;
      for (const SpanView& span : batch.spans) sources.push_back({&batch, &span});
      sort_by_trace(sources);
      CHECK(std::is_sorted(sources.begin(), sources.end(), [](const auto& a, const auto& b) {
        return std::pair(a.span->trace_id, a.span->start_unix_nanos) <
               std::pair(b.span->trace_id, b.span->start_unix_nanos);
      }));
      std::sort(sources.begin(), sources.end(),
                [](const auto& a, const auto& b) { return a.span < b.span; });
      CHECK(std::adjacent_find(sources.begin(), sources.end(), [](const auto& a, const auto& b) {
              return a.span == b.span;
            }) == sources.end());  // each once
    }
  }
}

TEST_CASE("span chunk: a search that the fields refuse does not read the ids") {
  const Mixture mixture(6, 500);
  const FullSpanChunk full = encode_full_span_chunk(mixture.sources());
  const auto chunk = SpanChunk::open(full.fields);
  REQUIRE(chunk.ok());
  TraceQuery query;
  query.end_unix_nanos = UINT64_MAX;
  query.operation = "GET /1";
  query.tags = {{"x", "nothing like it"}};
  const auto hits = (*chunk)->find(query, [] {
    FAIL("the ids were read");
    return net::Result<std::string>(std::string());
  });
  CHECK(hits.ok());
}

TEST_CASE("span chunk: version 1 is still read") {
  Mixture mixture(7, 0);
  TraceBatch& batch = mixture.batch;
  DictionaryWriter dictionary;
  ResourceColumns resources(dictionary);
  AttributeColumnsWriter attributes(dictionary), event_attributes(dictionary);
  ColumnWriter body, columns;
  TraceId trace;
  trace.bytes[0] = 9;
  SpanId first, second;
  first.bytes[0] = 1;
  second.bytes[0] = 2;
  const uint32_t sender = resources.add(batch, 2);
  for (int i = 0; i < 2; ++i) attributes.add(std::span(batch.attributes).first(1));
  resources.write(body);
  body.varint(2);
  body.raw(bytes_of(trace));
  body.varint(2);
  body.raw(bytes_of(first));
  body.raw(bytes_of(second));
  body.varint(0);
  body.varint(1);  // the span in row 0
  body.u8(2 << 2);
  body.u8(3 << 2 | 2);
  body.zigzag(kNow);
  body.zigzag(5);
  body.zigzag(100);
  body.zigzag(-1);
  for (int i = 0; i < 2; ++i) {
    body.varint(dictionary.add("GET /old"));
    for (int n = 0; n < 3; ++n) body.varint(dictionary.add(""));
  }
  for (int i = 0; i < 2; ++i) body.varint(sender);
  attributes.write(body);
  body.text(std::string(2, '\0'));  // no events
  body.text(std::string(2, '\0'));  // no links
  event_attributes.write(body);
  dictionary.write(columns);
  columns.raw(body.bytes());
  const auto chunk = SpanChunk::open(seal_chunk(1, columns.bytes()));
  REQUIRE(chunk.ok());
  std::vector<StoredSpan> spans;
  SpanRoom room = room_for_a_trace();
  REQUIRE((*chunk)->trace(trace, {}, room, spans).ok());
  REQUIRE(spans.size() == 2);
  CHECK(spans[1].parent_span_id == first);
  CHECK(spans[1].end_unix_nanos == kNow + 4);
  CHECK(spans[0].attributes.size() == 1);
  TraceQuery query;
  query.end_unix_nanos = UINT64_MAX;
  query.operation = "GET /old";
  query.error = true;
  CHECK((*chunk)->find(query, {})->size() == 1);
  CHECK((*chunk)->take_all({}).value()->spans.size() == 2);
}

TEST_CASE("span chunk: cut or changed bytes are an error or a readable chunk, never a crash") {
  const Mixture mixture(8, 300);
  auto sources = mixture.sources();
  const std::string small = encode_span_chunk(sources);
  for (size_t cut = 0; cut < small.size(); cut += 7)
    CHECK_FALSE(decode_span_chunk(small.substr(0, cut)).ok());
  const FullSpanChunk full = encode_full_span_chunk(sources);
  for (size_t cut = 0; cut < full.fields.size(); cut += 5)
    CHECK_FALSE(decode_span_chunk(full.fields.substr(0, cut), ids_of(full)).ok());
  std::mt19937_64 random(42);
  TraceQuery query;
  query.end_unix_nanos = UINT64_MAX;
  query.tags = {{"x", "7"}};
  for (int round = 0; round < 2'000; ++round) {
    FullSpanChunk changed = full;
    for (int n = 0; n < 3; ++n) {
      std::string& part = n == 1 ? changed.ids : changed.fields;
      part[2 + random() % (part.size() - 2)] = static_cast<char>(random());
    }
    const auto opened = SpanChunk::open(changed.fields);
    if (opened.ok()) (void)(*opened)->find(query, ids_of(changed));
    const auto chunk = decode_span_chunk(changed.fields, ids_of(changed));
    if (!chunk.ok()) continue;
    for (const auto& span : (*chunk)->spans) (void)stored_span(**chunk, span);
  }
}

}  // namespace
}  // namespace hms::collector
