// address.h: an IPv4 or IPv6 socket address, and the texts "host:port" and "[::1]:port".
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "net/core/result.h"

namespace hms::net {

class SocketAddress {
 public:
  SocketAddress();  // 0.0.0.0:0
  SocketAddress(const sockaddr* address, socklen_t length);

  /// A literal address with a port: "127.0.0.1:8080", "[::1]:8080", ":8080" (all addresses), "8080"
  /// (127.0.0.1). Never resolves names.
  static Result<SocketAddress> parse(std::string_view text);

  [[nodiscard]] const sockaddr* raw() const noexcept;
  [[nodiscard]] socklen_t raw_length() const noexcept;
  [[nodiscard]] uint16_t port() const noexcept;
  [[nodiscard]] bool is_loopback() const noexcept;
  [[nodiscard]] std::string ip_text() const;    // "127.0.0.1"
  [[nodiscard]] std::string to_string() const;  // "127.0.0.1:8080"
  /// Is this one of the machine's own addresses? Asks the kernel by binding to it for a moment.
  [[nodiscard]] bool is_on_this_machine() const noexcept;
  bool operator==(const SocketAddress& other) const noexcept;

 private:
  // Not sockaddr_storage: a connection keeps two of these, and 128 bytes each would double an idle
  // one.
  union Storage {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
  };
  Storage storage_{};
  socklen_t length_ = 0;
};

struct HostPort {
  std::string host;  // a name or a literal address, without brackets
  uint16_t port = 0;
};
/// "name:8080", "127.0.0.1:8080", "[::1]:8080". Port 1..65535 (0 only when `allow_port_zero`).
[[nodiscard]] Result<HostPort> parse_host_port(std::string_view text, bool allow_port_zero = false);

}  // namespace hms::net
