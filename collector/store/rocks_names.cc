#include "collector/store/rocks_names.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;

}  // namespace

Error error_of(const rocksdb::Status& status, const std::string& what) {
  const std::string text = status.ToString();
  if (status.IsNoSpace() || text.find("No space left") != std::string::npos ||
      text.find("Disk quota exceeded") != std::string::npos) {
    return {Code::no_space, net::Side::self, true, what + ": the disk is full (" + text + ")"};
  }
  if (status.IsCorruption()) return {Code::corrupt, net::Side::self, false, what + ": " + text};
  return {Code::io, net::Side::self, true, what + ": " + text};
}

std::string hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes.substr(0, 64)) {
    const auto byte = static_cast<uint8_t>(c);
    out.push_back(kDigits[byte >> 4]);
    out.push_back(kDigits[byte & 15]);
  }
  return out;
}

}  // namespace hms::collector
