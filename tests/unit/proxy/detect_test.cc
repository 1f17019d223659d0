#include "proxy/detect.h"

#include <doctest/doctest.h>

#include <string>

#include "proxy/port_memory.h"

using namespace hms::proxy;
using namespace std::string_literals;

namespace {

/// What is said of the bytes when they come one by one: the first verdict that is one.
Wire byte_by_byte(std::string_view bytes) {
  for (size_t i = 1; i <= bytes.size(); ++i) {
    if (const Wire wire = classify(bytes.substr(0, i)); wire != Wire::undecided) return wire;
  }
  return Wire::undecided;
}

std::string number(size_t value, size_t width) {
  std::string text;
  while (width-- > 0) text += static_cast<char>(value >> (8 * width) & 0xff);
  return text;
}

std::string client_hello(const std::string& name) {
  const std::string entry = number(0, 1) + number(name.size(), 2) + name;
  const std::string list = number(entry.size(), 2) + entry;
  const std::string extensions =
      number(43, 2) + number(3, 2) + "\2\3\4" + number(0, 2) + number(list.size(), 2) + list;
  const std::string body = "\3\3" + std::string(32, 'r') + number(0, 1) + number(2, 2) + "\x13\1" +
                           "\1\0"s + number(extensions.size(), 2) + extensions;
  const std::string handshake = number(1, 1) + number(body.size(), 3) + body;
  return "\x16\3\1" + number(handshake.size(), 2) + handshake;
}

}  // namespace

TEST_CASE("detect: a request line is HTTP as soon as its target begins, whole or byte by byte") {
  for (const char* line :
       {"GET / HTTP/1.1\r\n", "POST /a?b HTTP/1.0\r\n", "PROPFIND /x HTTP/1.1\r\n",
        "OPTIONS * HTTP/1.1\r\n", "GET http://a/ HTTP/1.1\r\n", "CONNECT a:443 HTTP/1.1\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}) {
    CAPTURE(line);
    CHECK(classify(line) == Wire::http);
    CHECK(byte_by_byte(line) == Wire::http);
  }
  CHECK(classify("GET /") == Wire::http);
  CHECK(classify("GET ") == Wire::undecided);
  CHECK(classify("GE") == Wire::undecided);
}

TEST_CASE("detect: a request line with a fault in it is HTTP, so that the guard refuses it") {
  for (const std::string& line :
       {"GET\t/ HTTP/1.1\r\n"s, " GET / HTTP/1.1\r\n"s, "\0GET / HTTP/1.1\r\n"s,
        "GET / http/1.1\n"s, "GE\x01T / HTTP/1.1\r\n"s, "G\xffT / HTTP/1.1\r\n"s,
        "get / HTTP/1.1\r\n"s, "{GET} / HTTP/9.9\r\n"s, "GET /\r\n"s}) {
    CAPTURE(line);
    CHECK(classify(line) == Wire::http);
  }
}

TEST_CASE("detect: what other protocols say first is not HTTP") {
  for (const std::string& bytes :
       {"\0\0\0\x08\x04\xd2\x16\x2f"s /* PostgreSQL: SSLRequest */, "*1\r\n$4\r\nPING\r\n"s,
        "SSH-2.0-OpenSSH_9.2\r\n"s, "EHLO a\r\n"s, "PING\r\n"s, "get key\r\n"s, "SET a b\r\n"s,
        "AMQP\0\0\x09\x01"s, "\x10\x1a\0\4MQTT"s, "{\"jsonrpc\":\"2.0\"}"s,
        "CONNECT {\"verbose\":1}\r\n"s, "OPTIONS rtsp://a/ RTSP/1.0\r\n"s, std::string(9'000, 'a'),
        std::string(9'000, '\n')}) {
    CAPTURE(bytes.substr(0, 20));
    CHECK(classify(bytes) == Wire::other);
    CHECK(byte_by_byte(bytes) == Wire::other);
  }
}

TEST_CASE("detect: a TLS greeting tells its server's name once it is there") {
  const std::string hello = client_hello("Shop.Example");
  CHECK(classify("\x16") == Wire::undecided);
  CHECK(byte_by_byte(hello) == Wire::tls);
  CHECK(classify("\x16\x01") == Wire::other);
  for (size_t i = 0; i < hello.size(); ++i) {
    CAPTURE(i);
    const auto early = server_name_of(std::string_view(hello).substr(0, i));
    CHECK((!early || *early == "shop.example"));
  }
  CHECK(server_name_of(hello).value_or("none") == "shop.example");
  // In two records.
  const std::string halves = "\x16\3\1" + number(10, 2) + hello.substr(5, 10) + "\x16\3\1" +
                             number(hello.size() - 15, 2) + hello.substr(15);
  CHECK(server_name_of(halves).value_or("none") == "shop.example");
}

TEST_CASE("detect: a server's name cannot break out of a log line, and is bounded") {
  CHECK(server_name_of(client_hello("a\r\nb\"c\0d\xff"s)).value_or("none") == "a??b?c?d?");
  CHECK(server_name_of(client_hello(std::string(1'000, 'n'))).value_or("none") ==
        std::string(255, 'n'));
  CHECK(server_name_of(client_hello(std::string(5'000, 'n'))).value_or("none").empty());
  CHECK(server_name_of("\x16\3\1\0\4\2\0\0\0"s).value_or("none").empty());  // a ServerHello
  CHECK(server_name_of("\x16\3\1\0\4\1\0\0\0"s).value_or("none").empty());
}

TEST_CASE("detect: a service that speaks HTTP is known by its reply's first word") {
  CHECK(is_http_reply("HTTP/1.1 200 OK"));
  CHECK(is_http_reply("HTTP/1.0"));
  CHECK(!is_http_reply("HTTP"));
  CHECK(!is_http_reply("220 mail ESMTP"));
}

TEST_CASE(
    "port_memory: a destination is remembered until something else is learned or it is forgotten") {
  PortMemory memory;
  const auto one = *hms::net::SocketAddress::parse("127.0.0.1:5432");
  const auto other = *hms::net::SocketAddress::parse("[::1]:5432");
  CHECK(memory.recall(one) == PortKind::unknown);
  CHECK(memory.learn(one, PortKind::tcp));
  CHECK(!memory.learn(one, PortKind::tcp));
  CHECK(memory.recall(one) == PortKind::tcp);
  CHECK(memory.recall(other) == PortKind::unknown);
  CHECK(memory.learn(one, PortKind::http));
  CHECK(memory.recall(one) == PortKind::http);
  memory.forget(one);
  CHECK(memory.recall(one) == PortKind::unknown);
}
