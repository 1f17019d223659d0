#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>

#include "net/http/client.h"
#include "net/http/server.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/tls_certificates.h"

namespace hms::net {
namespace {

std::shared_ptr<TlsSource> open_source(const TlsSettings& settings) {
  auto opened = TlsSource::open(settings);
  if (!opened) FAIL(opened.error().detail);
  return std::move(opened).value();
}

struct TlsFixture {
  explicit TlsFixture(TlsVerify verify = TlsVerify::none) : server(HttpServer::create(loop, {})) {
    const auto leaf = authority.issue("leaf");
    server->route("POST", "/echo", [this](Request& request, const ReplyPtr& reply) {
      peer_name = request.peer_name;
      peers.push_back(request.peer);
      reply->send(200, "text/plain", request.body);
    });
    auto bound = server->listen(
        SocketAddress::parse("127.0.0.1:0").value(),
        open_source({.role = TlsRole::server,
                     .certificate_file = leaf.certificate_file,
                     .key_file = leaf.key_file,
                     .ca_file = verify == TlsVerify::none ? std::string() : authority.file(),
                     .verify = verify,
                     .alpn = {"http/1.1"}}));
    REQUIRE(bound);
    url = "https://localhost:" + std::to_string(bound->port()) + "/echo";
  }

  Result<ClientReply> post(HttpClient& client, std::string body) {
    ClientRequest request;
    request.method = "POST";
    request.url = url;
    request.body = std::move(body);
    std::optional<Result<ClientReply>> got;
    auto call =
        client.send(std::move(request), [&](Result<ClientReply> reply) { got = std::move(reply); });
    REQUIRE(loop.run_until([&] { return got.has_value(); }, Millis{10'000}));
    return std::move(*got);
  }

  [[nodiscard]] TlsSettings believing() const {
    return {.role = TlsRole::client, .ca_file = authority.file(), .verify = TlsVerify::required};
  }

  test::TemporaryDirectory folder;
  test::Authority authority{folder.path(), "first"};
  Loop loop;
  std::unique_ptr<HttpServer> server;
  std::string url;
  std::string peer_name;
  std::vector<std::string> peers;
};

TEST_CASE("https: requests and replies of every size, kept alive on one connection") {
  TlsFixture f;
  const auto client = HttpClient::create(f.loop, open_source(f.believing()));
  for (const size_t size : {0U, 1U, 16'383U, 16'384U, 16'385U, 5'000'000U, 10U}) {
    const std::string body(size, 'x');
    auto reply = f.post(*client, body);
    REQUIRE(reply);
    CHECK(reply->status == 200);
    CHECK(reply->body == body);
  }
  for (const std::string& peer : f.peers) CHECK(peer == f.peers.front());
  CHECK(f.server->counters().connections_accepted == 1);
}

TEST_CASE("https: a server of an unknown authority gets no request") {
  TlsFixture f;
  const auto client = HttpClient::create(f.loop);  // the system's authorities
  const auto reply = f.post(*client, "secret");
  REQUIRE_FALSE(reply);
  CHECK(reply.error().code == Code::tls);
  CHECK(reply.error().detail.find("unknown authority") != std::string::npos);
  CHECK(f.server->counters().requests == 0);
  CHECK(f.loop.run_until([&] { return f.server->counters().tls_failures == 1; }, Millis{10'000}));
}

TEST_CASE("https: with mutual TLS a handler knows who calls, and strangers get nothing") {
  TlsFixture f(TlsVerify::required);
  auto settings = f.believing();
  {
    const auto stranger = HttpClient::create(f.loop, open_source(settings));
    const auto reply = f.post(*stranger, "hello");
    REQUIRE_FALSE(reply);
    CHECK(reply.error().detail.find("demands a certificate") != std::string::npos);
  }
  const auto caller = f.authority.issue("caller", {.names = "URI:spiffe://mesh/proxy/shop"});
  settings.certificate_file = caller.certificate_file;
  settings.key_file = caller.key_file;
  const auto client = HttpClient::create(f.loop, open_source(settings));
  const auto reply = f.post(*client, "hello");
  REQUIRE(reply);
  CHECK(reply->body == "hello");
  CHECK(f.peer_name == "spiffe://mesh/proxy/shop");
}

TEST_CASE("https: a client of plain HTTP is told that the port speaks TLS") {
  TlsFixture f;
  f.url.erase(4, 1);  // http://
  const auto client = HttpClient::create(f.loop);
  const auto reply = f.post(*client, "hello");
  REQUIRE(reply);
  CHECK(reply->status == 400);
  CHECK(header_value(reply->headers, "x-hms-error") == "bad_request");
  CHECK(reply->body.find("\"errorType\":\"bad_request\"") != std::string::npos);
  CHECK(reply->body.find("this port speaks TLS: use an https:// URL") != std::string::npos);
}

}  // namespace
}  // namespace hms::net
