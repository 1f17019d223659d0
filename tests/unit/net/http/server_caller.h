// server_caller.h: a bare caller for tests of the small server, and a server with two handlers.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <string_view>

#include "net/http/server.h"
#include "net/io/tcp.h"

namespace hms::net {

/// A bare caller: writes text, collects what comes back.
class Caller final : public StreamHandler {
 public:
  Caller(Loop& loop, const SocketAddress& address) : loop_(loop) {
    connector_ = Connector::connect(loop, address, Millis{2000},
                                    [this](Result<std::unique_ptr<Stream>> connected) {
                                      REQUIRE(connected);
                                      stream = std::move(connected).value();
                                      stream->set_handler(this);
                                      stream->resume_reading();
                                    });
    REQUIRE(loop.run_until([this] { return stream != nullptr; }, Millis{3000}));
  }
  void on_bytes(std::string_view bytes) override { received.append(bytes); }
  void on_eof() override { ended = true; }
  void on_closed(const Error&) override { closed = true; }

  /// Sends and waits until `text` came back.
  bool ask(std::string_view request, std::string_view wanted) {
    stream->write(request);
    return wait_for(wanted);
  }
  bool wait_for(std::string_view wanted) {
    return loop_.run_until([&] { return received.find(wanted) != std::string::npos; },
                           Millis{5000});
  }
  bool wait_for_end() {
    return loop_.run_until([&] { return ended || closed; }, Millis{5000});
  }
  [[nodiscard]] size_t count(std::string_view text) const {
    size_t found = 0;
    for (size_t at = received.find(text); at != std::string::npos;
         at = received.find(text, at + 1)) {
      ++found;
    }
    return found;
  }

  std::unique_ptr<Stream> stream;
  std::string received;
  bool ended = false;
  bool closed = false;

 private:
  Loop& loop_;
  std::unique_ptr<Connector> connector_;
};

struct Fixture {
  explicit Fixture(ServerOptions options = {}) : server(HttpServer::create(loop, options)) {
    server->route("GET", "/hello", [](Request&, const ReplyPtr& reply) {
      reply->send(200, "text/plain", "hello\n");
    });
    server->route("POST", "/echo", [](Request& request, const ReplyPtr& reply) {
      reply->send(200, "text/plain", request.body);
    });
    auto bound = server->listen(SocketAddress::parse("127.0.0.1:0").value());
    REQUIRE(bound);
    address = *bound;
  }
  Loop loop;
  std::unique_ptr<HttpServer> server;
  SocketAddress address;
};

inline std::string post_text(std::string_view path, std::string_view body,
                             std::string_view fields = "") {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(fields) + "\r\n" + std::string(body);
}
inline std::string get_text(std::string_view path, std::string_view fields = "") {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n";
}
inline bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace hms::net
