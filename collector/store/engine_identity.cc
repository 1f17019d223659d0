// engine_identity.cc: reads x-hms-batch.
#include <algorithm>
#include <charconv>

#include "collector/store/engine.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

bool identity_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.' || c == ':';
}

bool parse_number(std::string_view text, uint64_t& out) {
  if (text.empty() || text.size() > 20) return false;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), out);
  return fault == std::errc() && end == text.data() + text.size();
}

}  // namespace

Result<BatchIdentity> parse_batch_identity(std::string_view header) {
  const auto wrong = [&](const char* what) {
    return Error{Code::bad_message, net::Side::downstream, false,
                 std::string("x-hms-batch: ") + what +
                     "; expected <instance uuid>/<boot number>/<sequence>"};
  };
  const size_t first = header.find('/');
  const size_t second = first == std::string_view::npos ? first : header.find('/', first + 1);
  if (second == std::string_view::npos) return wrong("not three parts");
  BatchIdentity out;
  out.instance = std::string(header.substr(0, first));
  if (out.instance.empty() || out.instance.size() > 64)
    return wrong("the instance must have 1 to 64 characters");
  if (!std::all_of(out.instance.begin(), out.instance.end(), identity_character))
    return wrong("a wrong character in the instance");
  // One UUID in either case is one sender (RFC 9562 section 4: case-insensitive on input).
  for (char& c : out.instance) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  if (!parse_number(header.substr(first + 1, second - first - 1), out.boot))
    return wrong("the boot number is not a number");
  if (!parse_number(header.substr(second + 1), out.sequence))
    return wrong("the sequence is not a number");
  return out;
}

}  // namespace hms::collector
