#include "net/io/address.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <optional>

#include "net/core/host_port.h"

namespace hms::net {
namespace {

constexpr size_t kLongestHost = 253;  // RFC 1035, section 2.3.4, as text

Error bad_address(std::string_view text, std::string_view why) {
  constexpr size_t kShown = 80;
  return Error{
      .code = Code::bad_config,
      .detail = "address '" + std::string(text.substr(0, kShown)) + "': " + std::string(why)};
}

/// 0..65535, digits only.
std::optional<uint16_t> parse_port(std::string_view text) {
  uint32_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  const bool all_read = error == std::errc() && end == text.data() + text.size();
  if (text.empty() || text.size() > 5 || !all_read || port > 65535) return std::nullopt;
  return static_cast<uint16_t>(port);
}

struct Parts {
  std::string_view host;
  std::string_view port;
  bool bracketed = false;
};

/// A port must be there; an IPv6 host must stand in brackets.
Result<Parts> split(std::string_view text) {
  const SplitHostPort parts = split_host_port(text);
  if (parts.bracketed()) {
    if (!parts.well_bracketed() || !parts.has_port()) {
      return bad_address(text, "expected [IPv6 address]:port");
    }
    return Parts{parts.inside(), parts.port(), true};
  }
  if (!parts.has_port()) return bad_address(text, "expected host:port");
  if (parts.port().find(':') != std::string_view::npos) {
    return bad_address(text, "an IPv6 address is written in brackets, [::1]:8080");
  }
  return Parts{parts.host, parts.port(), false};
}

}  // namespace

SocketAddress::SocketAddress() : length_(sizeof(sockaddr_in)) { storage_.v4.sin_family = AF_INET; }

SocketAddress::SocketAddress(const sockaddr* address, socklen_t length) : SocketAddress() {
  const bool fits =
      address != nullptr && ((address->sa_family == AF_INET && length >= sizeof(sockaddr_in)) ||
                             (address->sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)));
  if (!fits) return;
  length_ = address->sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  std::memcpy(&storage_, address, length_);
}

Result<SocketAddress> SocketAddress::parse(std::string_view text) {
  Parts parts;
  if (text.find(':') == std::string_view::npos && parse_port(text)) {
    parts = Parts{"127.0.0.1", text, false};
  } else {
    auto split_parts = split(text);
    if (!split_parts) return std::move(split_parts).error();
    parts = *split_parts;
    if (parts.host.empty() && !parts.bracketed) parts.host = "0.0.0.0";
  }
  const auto port = parse_port(parts.port);
  if (!port) return bad_address(text, "the port must be a number from 0 to 65535");

  const std::string host(parts.host);
  if (host.find('\0') != std::string::npos) return bad_address(text, "it has a zero byte");
  SocketAddress result;
  if (parts.bracketed) {
    result.storage_.v6 = sockaddr_in6{};
    result.storage_.v6.sin6_family = AF_INET6;
    result.storage_.v6.sin6_port = htons(*port);
    result.length_ = sizeof(sockaddr_in6);
    if (inet_pton(AF_INET6, host.c_str(), &result.storage_.v6.sin6_addr) == 1) return result;
    return bad_address(text, "expected an IPv6 address in the brackets");
  }
  result.storage_.v4.sin_port = htons(*port);
  if (inet_pton(AF_INET, host.c_str(), &result.storage_.v4.sin_addr) == 1) return result;
  return bad_address(text,
                     "expected a literal address such as 127.0.0.1:8080 or [::1]:8080, not a name");
}

const sockaddr* SocketAddress::raw() const noexcept { return &storage_.any; }

socklen_t SocketAddress::raw_length() const noexcept { return length_; }

uint16_t SocketAddress::port() const noexcept {
  return ntohs(storage_.any.sa_family == AF_INET6 ? storage_.v6.sin6_port : storage_.v4.sin_port);
}

bool SocketAddress::is_on_this_machine() const noexcept {
  const int descriptor = socket(raw()->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return false;
  Storage any_port = storage_;
  if (raw()->sa_family == AF_INET6)
    any_port.v6.sin6_port = 0;
  else
    any_port.v4.sin_port = 0;
  const bool own = bind(descriptor, &any_port.any, raw_length()) == 0;
  close(descriptor);
  return own;
}

bool SocketAddress::is_loopback() const noexcept {
  if (storage_.any.sa_family == AF_INET) return (ntohl(storage_.v4.sin_addr.s_addr) >> 24) == 127;
  const in6_addr& address = storage_.v6.sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&address)) return address.s6_addr[12] == 127;
  return IN6_IS_ADDR_LOOPBACK(&address);
}

std::string SocketAddress::ip_text() const {
  if (storage_.any.sa_family == AF_INET6) {
    char text[INET6_ADDRSTRLEN] = "";
    inet_ntop(AF_INET6, &storage_.v6.sin6_addr, text, sizeof(text));
    return text;
  }
  // Once a connection: inet_ntop's printf would show.
  const auto* const bytes = reinterpret_cast<const uint8_t*>(&storage_.v4.sin_addr);
  std::string dotted;
  for (int i = 0; i < 4; ++i) {
    if (i > 0) dotted += '.';
    if (bytes[i] >= 100) dotted += static_cast<char>('0' + bytes[i] / 100);
    if (bytes[i] >= 10) dotted += static_cast<char>('0' + bytes[i] / 10 % 10);
    dotted += static_cast<char>('0' + bytes[i] % 10);
  }
  return dotted;
}

std::string SocketAddress::to_string() const {
  const std::string port_text = std::to_string(port());
  if (storage_.any.sa_family == AF_INET6) return "[" + ip_text() + "]:" + port_text;
  return ip_text() + ":" + port_text;
}

bool SocketAddress::operator==(const SocketAddress& other) const noexcept {
  if (storage_.any.sa_family != other.storage_.any.sa_family || port() != other.port())
    return false;
  if (storage_.any.sa_family == AF_INET) {
    return storage_.v4.sin_addr.s_addr == other.storage_.v4.sin_addr.s_addr;
  }
  return std::memcmp(&storage_.v6.sin6_addr, &other.storage_.v6.sin6_addr, sizeof(in6_addr)) == 0 &&
         storage_.v6.sin6_scope_id == other.storage_.v6.sin6_scope_id;
}

Result<HostPort> parse_host_port(std::string_view text, bool allow_port_zero) {
  auto parts = split(text);
  if (!parts) return std::move(parts).error();
  if (parts->host.empty()) return bad_address(text, "the host before the colon is missing");
  if (parts->host.size() > kLongestHost)
    return bad_address(text, "the host is longer than 253 bytes");
  for (const char c : parts->host) {
    const bool usual = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' ||
                       (parts->bracketed && (c == ':' || c == '%'));
    if (!usual) return bad_address(text, "a host has letters, digits, '-', '.' and '_' only");
  }
  const auto port = parse_port(parts->port);
  if (!port || (*port == 0 && !allow_port_zero)) {
    return bad_address(text, "the port must be a number from 1 to 65535");
  }
  return HostPort{std::string(parts->host), *port};
}

}  // namespace hms::net
