// Requests: the same bytes whole and cut must say the same; every head handed out passes the guard
// and joins up to its raw bytes. Input: one byte that chooses the cut, then the bytes on the wire.
// Limits are small so that crossing them is reached.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "net/core/check.h"
#include "net/http/head_guard.h"
#include "tests/support/http_transcript.h"

using namespace hms::net;  // NOLINT: a fuzz target

namespace {

void check_head(const MessageHead& head) {
  HMS_ENSURE(!guard_head(head).has_value());
  std::string joined(head.raw.substr(0, head.start_line_end));
  for (uint16_t i = 0; i < head.field_count; ++i) {
    joined += head.raw.substr(head.fields[i].begin, head.fields[i].end - head.fields[i].begin);
  }
  HMS_ENSURE(joined + "\r\n" == head.raw);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  HttpLimits limits;
  limits.start_line_bytes = 128;
  limits.head_bytes = 512;
  limits.fields = 8;
  limits.trailer_bytes = 64;
  limits.chunk_extension_bytes = 16;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  HttpTranscript transcript(H1Codec::Kind::request, limits);
  transcript.on_head = check_head;
  transcript.feed(bytes);
  const std::string whole = transcript.finish();
  HMS_ENSURE(transcript_cut(H1Codec::Kind::request, bytes, 1, limits) == whole);
  HMS_ENSURE(transcript_cut(H1Codec::Kind::request, bytes, size_t{data[0]} + 1, limits) == whole);
  return 0;
}
