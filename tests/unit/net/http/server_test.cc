#include "net/http/server.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "net/http/client.h"
#include "net/http/compress.h"
#include "net/io/tcp.h"

using namespace hms::net;  // NOLINT: a test

namespace {

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

}  // namespace

TEST_CASE("server: answers one request after the other on the same connection") {
  Fixture f;
  Caller caller(f.loop, f.address);
  CHECK(caller.ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", "hello\n"));
  CHECK(caller.received.substr(0, 15) == "HTTP/1.1 200 OK");
  caller.received.clear();
  CHECK(caller.ask("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "hello\n"));
  CHECK(caller.received.find("Connection: close") != std::string::npos);
  CHECK(caller.wait_for_end());
  CHECK(f.server->counters().requests == 2);
}
