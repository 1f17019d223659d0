#include "net/http/sse.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace hms::net;  // NOLINT: a test

namespace {
std::vector<SseParser::Event> parse(std::string_view text, size_t piece = SIZE_MAX) {
  std::vector<SseParser::Event> events;
  SseParser parser([&](const SseParser::Event& event) { events.push_back(event); });
  while (!text.empty()) {
    parser.feed(text.substr(0, piece));
    text.remove_prefix(std::min(piece, text.size()));
  }
  return events;
}
}  // namespace

TEST_CASE("sse: what is written is read back") {
  const std::string text = sse_event("alert", "17-4", "{\"a\":1}") + sse_comment("hb") +
                           sse_event("", "", "one\ntwo\r\nthree\rfour") + sse_event("", "18", "");
  for (const size_t piece : {size_t{1}, size_t{3}, size_t{1000}}) {
    const auto events = parse(text, piece);
    REQUIRE(events.size() == 3);
    CHECK(events[0].event == "alert");
    CHECK(events[0].id == "17-4");
    CHECK(events[0].data == "{\"a\":1}");
    CHECK(events[1].event == "message");
    CHECK(events[1].id == "17-4");  // the last id stays
    CHECK(events[1].data == "one\ntwo\nthree\nfour");
    CHECK(events[2].data.empty());
  }
}

TEST_CASE("sse: nothing breaks out of its line") {
  CHECK(sse_event("a\ndata: x", "b\rid: y", "c") == "data: c\n\n");
  CHECK(sse_event("ok", std::string("b\0c", 3), "d") == "event: ok\ndata: d\n\n");
  CHECK(sse_event("", "", "a\nevent: evil") == "data: a\ndata: event: evil\n\n");
  CHECK(sse_event("", "", std::string("a\0b", 3)) == "data: a\ndata: b\n\n");
  CHECK(sse_comment("a\n\ndata: x") == ": a  data: x\n\n");
}

TEST_CASE("sse: lines end in CR, LF or CRLF, however they are cut") {
  const std::string text =
      "\xEF\xBB\xBF"
      "data: a\r\rdata:b\r\n\r\ndata\n\n:c\nid: 1\nevent: e\n\nid\ndata: d\n\nretry: 5\n";
  for (const size_t piece : {size_t{1}, size_t{2}, size_t{1000}}) {
    const auto events = parse(text, piece);
    REQUIRE(events.size() == 4);
    CHECK(events[0].data == "a");
    CHECK(events[1].data == "b");
    CHECK(events[2].data.empty());
    CHECK(events[3].data == "d");
    CHECK(events[3].event == "message");  // an event without data leaves no name behind
    CHECK(events[3].id.empty());          // an empty id line clears it
  }
}

TEST_CASE("sse: an event above the bound is dropped and counted, the next one arrives") {
  std::vector<std::string> got;
  SseParser parser([&](const SseParser::Event& event) { got.push_back(event.data); });
  const std::string line = "data: " + std::string(60'000, 'x') + "\n";
  for (int i = 0; i < 40; ++i) parser.feed(line);
  parser.feed("\ndata: " + std::string(2'000'000, 'y'));
  parser.feed("\n\ndata: small\n\n");
  CHECK(got == std::vector<std::string>{"small"});
  CHECK(parser.dropped() == 2);
}
