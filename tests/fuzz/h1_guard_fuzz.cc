// The guard alone, on heads that no parser has seen: what it accepts must not have a byte that
// could be read in two ways. The check below is written from RFC 9112 as plainly as possible, on
// purpose not with the guard's own tables. Input: one byte (request or response), then the raw
// head.
#include <cstdint>
#include <string>
#include <string_view>

#include "net/core/check.h"
#include "net/http/head_framing.h"
#include "net/http/head_guard.h"
#include "net/http/head_split.h"

using namespace hms::net;  // NOLINT: a fuzz target

namespace {

void check_accepted(const MessageHead& head) {
  const std::string_view raw = head.raw;
  HMS_ENSURE(raw.size() >= 4 && raw.substr(raw.size() - 4) == "\r\n\r\n");
  int hosts = 0;
  int lengths = 0;
  int codings = 0;
  size_t lines = 0;
  size_t begin = 0;
  while (begin < raw.size()) {
    const size_t end = raw.find("\r\n", begin);
    HMS_ENSURE(end != std::string_view::npos);
    const std::string_view line = raw.substr(begin, end - begin);
    for (const char c : line) {
      const auto byte = static_cast<unsigned char>(c);
      HMS_ENSURE(byte == '\t' || (byte >= 0x20 && byte != 0x7f));
    }
    if (lines > 0 && !line.empty()) {
      HMS_ENSURE(line.front() != ' ' && line.front() != '\t' && line.front() != ':');
      const size_t colon = line.find(':');
      HMS_ENSURE(colon != std::string_view::npos);
      HMS_ENSURE(line.substr(0, colon).find_first_of(" \t\"(),/;<=>?@[\\]{}") ==
                 std::string_view::npos);
      std::string name(line.substr(0, colon));
      for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
      hosts += name == "host" ? 1 : 0;
      lengths += name == "content-length" ? 1 : 0;
      codings += name == "transfer-encoding" ? 1 : 0;
    }
    HMS_ENSURE(!line.empty() || end + 2 == raw.size());
    ++lines;
    begin = end + 2;
  }
  HMS_ENSURE(lines == size_t{head.field_count} + 2);
  HMS_ENSURE(lengths + codings <= 1);
  if (head.is_request) {
    HMS_ENSURE(hosts <= 1 && (hosts == 1 || head.version_minor == 0));
    HMS_ENSURE(head.target.find_first_of(" \t#") == std::string_view::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view raw(reinterpret_cast<const char*>(data) + 1, size - 1);
  MessageHead head;
  if (split_head(raw, (data[0] & 1U) != 0, MessageHead::kMaxFields, head)) return 0;
  if (frame_head(RequestKind::ordinary, head)) return 0;
  if (guard_head(head)) return 0;
  check_accepted(head);
  return 0;
}
