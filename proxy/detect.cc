#include "proxy/detect.h"

#include <algorithm>

#include "net/http/characters.h"

namespace hms::proxy {

namespace {

constexpr size_t kLongestMethod = 32;
constexpr size_t kLongestServerName = 255;
constexpr uint8_t kHandshakeRecord = 22, kClientHello = 1, kServerNameExtension = 0;

uint8_t byte_at(std::string_view bytes, size_t at) noexcept {
  return static_cast<uint8_t>(bytes[at]);
}

/// "HTTP/" anywhere in the line, in any case.
bool names_http(std::string_view line) noexcept {
  constexpr std::string_view kName = "http/";
  return std::search(line.begin(), line.end(), kName.begin(), kName.end(),
                     [](char a, char b) { return net::lower(a) == b; }) != line.end();
}

bool is_method_byte(char c) noexcept { return (c >= 'A' && c <= 'Z') || c == '-' || c == '_'; }

bool is_text(char c) noexcept {
  return c == '\t' || c == '\r' || (c >= 0x20 && static_cast<unsigned char>(c) < 0x7f);
}

/// A line whose end has not come yet.
Wire classify_beginning(std::string_view line, size_t seen) noexcept {
  if (!std::all_of(line.begin(), line.end(), is_text)) return Wire::other;
  const size_t blank = std::min(line.find_first_of(" \t"), line.size());
  const std::string_view method = line.substr(0, blank);
  if (method.size() > kLongestMethod || !net::all_class(method, net::kToken)) return Wire::other;
  return seen >= kDetectBytes ? Wire::other : Wire::undecided;
}

}  // namespace

Wire classify(std::string_view first) noexcept {
  if (first.empty()) return Wire::undecided;
  if (byte_at(first, 0) == kHandshakeRecord) {
    if (first.size() < 2) return Wire::undecided;
    return byte_at(first, 1) == 3 ? Wire::tls : Wire::other;
  }
  // Empty lines before a request are tolerated by old servers: look behind them.
  const size_t skipped = std::min(first.find_first_not_of("\r\n"), first.size());
  first.remove_prefix(skipped);
  const size_t end = first.find('\n');
  const std::string_view line = first.substr(0, std::min(end, kDetectBytes));
  if (names_http(line)) return Wire::http;
  const size_t blank = line.find(' ');
  const bool request =
      blank != std::string_view::npos && blank > 0 && blank <= kLongestMethod &&
      blank + 1 < line.size() && line[blank + 1] == '/' &&
      std::all_of(line.begin(), line.begin() + static_cast<std::ptrdiff_t>(blank), is_method_byte);
  if (request) return Wire::http;
  if (end != std::string_view::npos) return Wire::other;
  return classify_beginning(line, skipped + line.size());
}

bool is_http_reply(std::string_view first) noexcept { return first.substr(0, 7) == "HTTP/1."; }

// === ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3)

namespace {

/// Reads big-endian numbers and blocks, and remembers that it ran over the end.
class HelloReader {
 public:
  explicit HelloReader(std::string_view bytes) : bytes_(bytes) {}
  size_t number(size_t width) {
    size_t value = 0;
    for (const char c : block(width)) value = value << 8 | static_cast<uint8_t>(c);
    return value;
  }
  std::string_view block(size_t length) {
    if (length > bytes_.size()) {
      short_ = true;
      bytes_ = {};
      return {};
    }
    const std::string_view taken = bytes_.substr(0, length);
    bytes_.remove_prefix(length);
    return taken;
  }
  [[nodiscard]] bool ran_over() const noexcept { return short_; }
  [[nodiscard]] bool at_end() const noexcept { return bytes_.empty(); }

 private:
  std::string_view bytes_;
  bool short_ = false;
};

/// The handshake bytes inside the records that have come so far; false if something else is among
/// them.
bool unwrap_records(std::string_view bytes, std::string& handshake) {
  while (!bytes.empty()) {
    if (byte_at(bytes, 0) != kHandshakeRecord) return false;
    if (bytes.size() < 5) return true;
    const size_t length = static_cast<size_t>(byte_at(bytes, 3)) << 8 | byte_at(bytes, 4);
    bytes.remove_prefix(5);
    handshake.append(bytes.substr(0, length));
    bytes.remove_prefix(std::min(length, bytes.size()));
  }
  return true;
}

std::string shown(std::string_view name) {
  std::string text(name.substr(0, kLongestServerName));
  for (char& c : text) {
    c = net::lower(c);
    const bool host = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
                      c == '_' || c == '*';
    if (!host) c = '?';
  }
  return text;
}

std::string name_in_extension(std::string_view extension) {
  HelloReader list(extension);
  HelloReader entries(list.block(list.number(2)));
  while (!entries.at_end()) {
    const size_t type = entries.number(1);
    const std::string_view name = entries.block(entries.number(2));
    if (type == 0 && !entries.ran_over()) return shown(name);
  }
  return {};
}

}  // namespace

std::optional<std::string> server_name_of(std::string_view hello) {
  std::string handshake;
  hello = hello.substr(0, kHelloBytes);
  const bool full = hello.size() == kHelloBytes;
  if (!unwrap_records(hello, handshake)) return std::string();
  const auto missing = [full]() -> std::optional<std::string> {
    return full ? std::optional<std::string>(std::string()) : std::nullopt;
  };
  if (handshake.empty()) return missing();
  if (byte_at(handshake, 0) != kClientHello) return std::string();
  HelloReader reader(handshake);
  reader.number(1);
  const size_t length = reader.number(3);
  reader.block(2 + 32);            // version, random
  reader.block(reader.number(1));  // session
  reader.block(reader.number(2));  // ciphers
  reader.block(reader.number(1));  // compression
  if (reader.ran_over()) return handshake.size() >= length + 4 ? std::string() : missing();
  if (handshake.size() >= length + 4 && reader.at_end()) return std::string();  // no extensions
  reader.number(2);
  while (!reader.at_end()) {
    const size_t type = reader.number(2);
    const std::string_view extension = reader.block(reader.number(2));
    if (reader.ran_over()) break;
    if (type == kServerNameExtension) return name_in_extension(extension);
  }
  return handshake.size() >= length + 4 ? std::string() : missing();
}

}  // namespace hms::proxy
