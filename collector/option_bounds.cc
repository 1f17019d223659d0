#include "collector/option_bounds.h"

#include <charconv>

#include "net/http/url.h"
#include "net/io/address.h"

namespace hms::collector {

bool parse_minute(const std::string& text, uint32_t& minute) {
  unsigned hours = 0, minutes = 0;
  const char* const begin = text.data();
  const bool shaped = text.size() == 5 && text[2] == ':';
  if (!shaped || std::from_chars(begin, begin + 2, hours).ptr != begin + 2 ||
      std::from_chars(begin + 3, begin + 5, minutes).ptr != begin + 5 || hours > 23 || minutes > 59)
    return false;
  minute = hours * 60 + minutes;
  return true;
}

net::Result<void> check_address(const std::string& text, bool may_be_off) {
  if (may_be_off && text == kOff) return {};
  if (auto address = net::SocketAddress::parse(text); !address.ok()) return address.error();
  return {};
}

net::Result<void> check_external_url(const std::string& text) {
  if (auto url = net::parse_url(text); !url.ok()) return url.error();
  return {};
}

}  // namespace hms::collector
