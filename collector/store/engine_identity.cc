// engine_identity.cc: reads x-hms-batch.
#include <charconv>
#include <string>

#include "collector/store/engine.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;

// A batch each millisecond for 49 days: more is a sender's mistake, and would make the ledger tell
// of billions that are missing.
constexpr uint64_t kMaxSequence = UINT32_MAX;

/// A UUID as 8-4-4-4-12 or 32 digits, in either case (RFC 9562 section 4), in its canonical form:
/// one UUID is one sender however it is written. Empty: it is none.
std::string canonical_uuid(std::string_view text) {
  const bool dashed = text.size() == 36;
  if (!dashed && text.size() != 32) return {};
  std::string out;
  out.reserve(36);
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (dashed && (i == 8 || i == 13 || i == 18 || i == 23)) {
      if (c != '-') return {};
      continue;
    }
    const char lower = c >= 'A' && c <= 'F' ? static_cast<char>(c + ('a' - 'A')) : c;
    if (!((lower >= '0' && lower <= '9') || (lower >= 'a' && lower <= 'f'))) return {};
    if (out.size() == 8 || out.size() == 13 || out.size() == 18 || out.size() == 23)
      out.push_back('-');
    out.push_back(lower);
  }
  return out;
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
  out.instance = canonical_uuid(header.substr(0, first));
  if (out.instance.empty()) return wrong("the instance is not a UUID");
  if (!parse_number(header.substr(first + 1, second - first - 1), out.boot))
    return wrong("the boot number is not a number");
  if (!parse_number(header.substr(second + 1), out.sequence))
    return wrong("the sequence is not a number");
  if (out.sequence > kMaxSequence) return wrong("the sequence is beyond 4294967295");
  return out;
}

}  // namespace hms::collector
