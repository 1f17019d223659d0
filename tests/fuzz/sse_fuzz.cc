// Events: any bytes, whole or cut, give the same events; what is written is read back.
// Input: one byte that chooses the cut, then the stream; the stream is also used as an event's
// data.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "net/core/check.h"
#include "net/http/sse.h"

using namespace hms::net;  // NOLINT: a fuzz target

namespace {

std::string events_of(std::string_view text, size_t piece) {
  std::string out;
  SseParser parser([&](const SseParser::Event& event) {
    out += event.event + "|" + event.id + "|" + event.data + "\n--\n";
  });
  while (!text.empty()) {
    parser.feed(text.substr(0, piece));
    text.remove_prefix(std::min(piece, text.size()));
  }
  return out + std::to_string(parser.dropped());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = events_of(text, SIZE_MAX);
  HMS_ENSURE(events_of(text, 1) == whole);
  HMS_ENSURE(events_of(text, size_t{data[0]} + 1) == whole);

  int events = 0;
  SseParser parser([&](const SseParser::Event& event) {
    ++events;
    HMS_ENSURE(event.event == "message" || event.event == text);
    std::string wanted(text);  // line ends of every kind come back as LF
    for (size_t at = 0; (at = wanted.find("\r\n", at)) != std::string::npos;)
      wanted.replace(at, 2, "\n");
    std::replace(wanted.begin(), wanted.end(), '\r', '\n');
    std::replace(wanted.begin(), wanted.end(), '\0', '\n');
    HMS_ENSURE(event.data == wanted);
  });
  parser.feed(sse_event(text, text, text));
  parser.feed(sse_comment(text));
  HMS_ENSURE(events == 1);
  return 0;
}
