#include "net/http/client.h"

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>

using namespace hms::net;  // NOLINT: a test

namespace {

struct Fixture {
  Fixture() : server(HttpServer::create(loop, {})), client(HttpClient::create(loop)) {
    server->route("POST", "/echo", [](Request& request, const ReplyPtr& reply) {
      reply->send(200, "text/plain", request.body);
    });
    server->route("GET", "/stream", [this](Request&, const ReplyPtr& reply) {
      reply->start(200, "text/event-stream");
      streams.push_back(reply);
    });
    auto bound = server->listen(SocketAddress::parse("127.0.0.1:0").value());
    REQUIRE(bound);
    base = "http://" + bound->to_string();
  }

  Result<ClientReply> fetch(ClientRequest request) {
    std::optional<Result<ClientReply>> got;
    auto call = client->send(std::move(request),
                             [&](Result<ClientReply> reply) { got = std::move(reply); });
    CHECK(!got.has_value());
    REQUIRE(loop.run_until([&] { return got.has_value(); }, Millis{10'000}));
    return std::move(*got);
  }
  ClientRequest post(std::string body) const {
    ClientRequest request;
    request.method = "POST";
    request.url = base + "/echo";
    request.body = std::move(body);
    return request;
  }

  Loop loop;
  std::unique_ptr<HttpServer> server;
  std::vector<ReplyPtr> streams;
  std::unique_ptr<HttpClient> client;
  std::string base;
};

}  // namespace

TEST_CASE("client: sends a body and gets the reply, over and over on one connection") {
  Fixture f;
  for (int i = 0; i < 5; ++i) {
    auto reply = f.fetch(f.post("number " + std::to_string(i)));
    REQUIRE(reply);
    CHECK(reply->status == 200);
    CHECK(reply->body == "number " + std::to_string(i));
  }
  CHECK(f.server->counters().connections_accepted == 1);
}
