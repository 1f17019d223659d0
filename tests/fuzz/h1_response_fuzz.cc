// Replies: the same bytes whole and cut must say the same, whatever request they answer.
// Input: one byte (two bits choose the method, six the cut), then the bytes on the wire.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "net/core/check.h"
#include "net/http/head_guard.h"
#include "tests/support/http_transcript.h"

using namespace hms::net;  // NOLINT: a fuzz target

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  static constexpr std::array<std::string_view, 4> kMethods = {"GET", "HEAD", "CONNECT", "POST"};
  const std::string_view method = kMethods[data[0] & 3U];
  HttpLimits limits;
  limits.start_line_bytes = 128;
  limits.head_bytes = 512;
  limits.fields = 8;
  limits.trailer_bytes = 64;
  limits.chunk_extension_bytes = 16;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  HttpTranscript transcript(H1Codec::Kind::response, limits, method);
  transcript.on_head = [](const MessageHead& head) { HMS_ENSURE(!guard_head(head).has_value()); };
  transcript.feed(bytes);
  const std::string whole = transcript.finish();
  HMS_ENSURE(transcript_cut(H1Codec::Kind::response, bytes, 1, limits, method) == whole);
  HMS_ENSURE(transcript_cut(H1Codec::Kind::response, bytes, (data[0] >> 2) + 1U, limits, method) ==
             whole);
  return 0;
}
