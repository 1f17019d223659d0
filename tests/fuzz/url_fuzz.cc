// URLs, queries and escapes: nothing decoded holds what it must not, and encoding is the inverse of
// decoding.
#include <cstdint>
#include <string>
#include <string_view>

#include "net/core/check.h"
#include "net/http/url.h"

using namespace hms::net;  // NOLINT: a fuzz target

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string_view breakers("\0\r\n", 3);
  if (auto url = parse_url(text)) {
    HMS_ENSURE(!url->host.empty() && url->port != 0 && url->path_and_query.front() == '/');
    HMS_ENSURE(url->host.find_first_of(std::string_view("\0\r\n @/", 6)) == std::string::npos);
    HMS_ENSURE(url->path_and_query.find_first_of(std::string_view("\0\r\n #", 5)) ==
               std::string::npos);
    const bool v6 = url->host.find(':') != std::string::npos;
    const auto again = parse_url(std::string(url->tls ? "https://" : "http://") +
                                 (v6 ? "[" + url->host + "]" : url->host) + ":" +
                                 std::to_string(url->port) + url->path_and_query);
    // Spelling out the port may cross the length bound, nothing else may change.
    if (again) {
      HMS_ENSURE(again->host == url->host && again->port == url->port &&
                 again->path_and_query == url->path_and_query);
    } else {
      HMS_ENSURE(size > 8000);
    }
  }
  if (auto decoded = percent_decode(text)) {
    HMS_ENSURE(decoded->find_first_of(breakers) == std::string::npos);
    const auto again = percent_decode(percent_encode(*decoded));
    HMS_ENSURE(again && *again == *decoded);
  }
  if (auto query = parse_query(text)) {
    HMS_ENSURE(query->size() <= 256);
    for (const auto& [name, value] : *query) {
      HMS_ENSURE(name.find_first_of(breakers) == std::string::npos);
      HMS_ENSURE(value.find('\0') == std::string::npos);
    }
  }
  const std::string_view path = target_path(text);
  const std::string_view query = target_query(text);
  HMS_ENSURE(path.size() + query.size() <= size + 1);
  HMS_ENSURE(path.find('?') == std::string_view::npos || text.front() != '/');
  return 0;
}
