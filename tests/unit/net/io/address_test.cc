#include "net/io/address.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>

#include <string>

namespace hms::net {

TEST_CASE("address: literal addresses are read and written back") {
  const auto text = [](std::string_view input) {
    return SocketAddress::parse(input).value().to_string();
  };
  CHECK(text("127.0.0.1:8080") == "127.0.0.1:8080");
  CHECK(text("[::1]:8080") == "[::1]:8080");
  CHECK(text("[2001:db8::1]:0") == "[2001:db8::1]:0");
  CHECK(text(":8080") == "0.0.0.0:8080");
  CHECK(text("8080") == "127.0.0.1:8080");
  CHECK(SocketAddress().to_string() == "0.0.0.0:0");
  CHECK(SocketAddress::parse("10.0.0.7:65535").value().port() == 65535);
  for (const std::string ip : {"10.0.0.7", "0.0.0.0", "255.199.100.99", "127.0.0.1", "9.10.200.1"})
    CHECK(SocketAddress::parse(ip + ":1").value().ip_text() == ip);
}

TEST_CASE("address: what is no literal address is refused with a sentence") {
  for (const char* bad :
       {"", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1",
        "127.0.0.1:8a", "localhost:80", "::1:80", "[::1]", "[::1]80", "[]:80", "[127.0.0.1]:80",
        "1.2.3:80", "01.2.3.4.5:80", " 127.0.0.1:80", "127.0.0.1:000080", "99999"}) {
    CAPTURE(bad);
    const auto result = SocketAddress::parse(bad);
    REQUIRE(!result.ok());
    CHECK(result.error().code == Code::bad_config);
    CHECK(result.error().detail.find(bad) != std::string::npos);
  }
  std::string with_zero = "127.0.0.1";
  with_zero += '\0';
  CHECK(!SocketAddress::parse(with_zero + ":80").ok());
}

TEST_CASE("address: loopback is known in all its forms") {
  const auto loopback = [](std::string_view text) {
    return SocketAddress::parse(text).value().is_loopback();
  };
  CHECK(loopback("127.0.0.1:1"));
  CHECK(loopback("127.9.9.9:1"));
  CHECK(loopback("[::1]:1"));
  CHECK(loopback("[::ffff:127.0.0.1]:1"));
  CHECK(!loopback("10.0.0.1:1"));
  CHECK(!loopback("[::ffff:10.0.0.1]:1"));
  CHECK(!loopback("[::]:1"));
  CHECK(!loopback(":1"));
}

TEST_CASE("address: equality is of address and port, not of the bytes around them") {
  sockaddr_in dirty{};
  dirty.sin_family = AF_INET;
  dirty.sin_port = htons(80);
  inet_pton(AF_INET, "10.0.0.1", &dirty.sin_addr);
  dirty.sin_zero[3] = 9;
  const SocketAddress from_kernel(reinterpret_cast<const sockaddr*>(&dirty), sizeof(dirty));
  CHECK(from_kernel == SocketAddress::parse("10.0.0.1:80").value());
  CHECK(!(from_kernel == SocketAddress::parse("10.0.0.1:81").value()));
  CHECK(!(from_kernel == SocketAddress::parse("[::1]:80").value()));
}

TEST_CASE("address: an unknown or short sockaddr gives 0.0.0.0:0") {
  sockaddr other{};
  other.sa_family = AF_UNIX;
  CHECK(SocketAddress(&other, sizeof(other)) == SocketAddress());
  sockaddr_in6 cut{};
  cut.sin6_family = AF_INET6;
  CHECK(SocketAddress(reinterpret_cast<const sockaddr*>(&cut), sizeof(sockaddr_in)) ==
        SocketAddress());
  CHECK(SocketAddress(nullptr, 0) == SocketAddress());
}

TEST_CASE("address: host and port") {
  CHECK(parse_host_port("claims.default.svc:8080").value().host == "claims.default.svc");
  CHECK(parse_host_port("claims:8080").value().port == 8080);
  CHECK(parse_host_port("[::1]:80").value().host == "::1");
  CHECK(parse_host_port("a:0", true).value().port == 0);
  for (const char* bad : {"", "claims", ":80", "claims:", "claims:0", "claims:65536", "a b:80",
                          "a/b:80", "a\n:80", "a@b:80", "::1:80", "http://a:80"}) {
    CAPTURE(bad);
    CHECK(!parse_host_port(bad).ok());
  }
  CHECK(!parse_host_port(std::string(300, 'a') + ":80").ok());
}

}  // namespace hms::net
