// Whatever Host and Origin say: what may change something may also be read, what is let in on
// loopback is let in elsewhere, and what a browser calls cross-site changes nothing. Input: Host, a
// line feed, Origin.
#include <cstdint>
#include <string>
#include <string_view>

#include "net/core/check.h"
#include "net/http/browser_guard.h"
#include "net/http/h1_codec.h"

using namespace hms::net;  // NOLINT: a fuzz target

namespace {

bool refused(std::string_view method, const std::string& fields, bool loopback) {
  H1Codec codec(H1Codec::Kind::request, HttpLimits());
  const std::string text = std::string(method) + " / HTTP/1.1\r\n" + fields + "\r\n";
  std::string_view input = text;
  if (codec.next(input) != H1Codec::Step::head) return true;
  const BrowserRules rules{{"https://ops.example", "nonsense"}};
  return foreign_page(codec.head(), rules, loopback).has_value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const size_t cut = bytes.find('\n');
  if (cut == std::string_view::npos || bytes.find_first_of("\r\n", cut + 1) != bytes.npos ||
      bytes.find('\r') < cut)
    return 0;  // a value without line ends: the codec's own fuzzer has the others
  const std::string fields = "Host: " + std::string(bytes.substr(0, cut)) +
                             "\r\nOrigin: " + std::string(bytes.substr(cut + 1)) + "\r\n";
  for (const bool loopback : {true, false}) {
    if (!refused("POST", fields, loopback)) HMS_ENSURE(!refused("GET", fields, loopback));
    HMS_ENSURE(refused("POST", fields + "Sec-Fetch-Site: cross-site\r\n", loopback));
  }
  if (!refused("POST", fields, true)) HMS_ENSURE(!refused("POST", fields, false));
  return 0;
}
