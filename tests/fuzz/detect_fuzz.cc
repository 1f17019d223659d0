// The first bytes of a connection: the verdict must not change for the worse as more bytes come
// (HTTP stays HTTP), is there within its bound, and no byte of a server's name can do harm in a
// log.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "net/core/check.h"
#include "proxy/detect.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace hms::proxy;
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  const Wire whole = classify(input);
  if (size >= kDetectBytes + 1) HMS_ENSURE(whole != Wire::undecided);
  Wire before = Wire::undecided;
  for (size_t i = 0; i <= size && i < 600; ++i) {
    const Wire now = classify(input.substr(0, i));
    if (before == Wire::http || before == Wire::tls) HMS_ENSURE(now == before);
    before = now;
  }
  const auto name = server_name_of(input);
  if (name) {
    HMS_ENSURE(name->size() <= 255);
    for (const char c : *name) HMS_ENSURE(c > 0x20 && c < 0x7f && c != '"' && c != '\\');
  }
  (void)is_http_reply(input);
  return 0;
}
