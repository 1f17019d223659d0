#include "collector/api/ingest_api.h"

#include <doctest/doctest.h>

#include <optional>
#include <vector>

#include "net/http/client.h"
#include "tests/support/memory_engine.h"

using namespace hms;
using namespace hms::collector;

TEST_CASE("ingest_api: decoded batches that are not answered yet are bounded by their memory") {
  net::Loop loop;
  test::MemoryEngine engine;
  const std::unique_ptr<Executor> executor = make_executor(1, 10);
  const auto server = net::HttpServer::create(loop, {});
  const auto client = net::HttpClient::create(loop);
  IngestApi api(loop, *executor, engine, {}, {}, 1000);
  api.register_routes(*server, true);
  const auto bound = server->listen(net::SocketAddress::parse("127.0.0.1:0").value());
  REQUIRE(bound);
  std::vector<int> statuses;
  std::vector<std::unique_ptr<net::ClientCall>> calls;
  const auto send = [&] {
    net::ClientRequest request;
    request.method = "POST";
    request.url = "http://" + bound->to_string() + "/ingest";
    request.body = R"({"type":"log","payload":{"msg":")" + std::string(900, 'x') + R"("}})";
    calls.push_back(client->send(std::move(request), [&](net::Result<net::ClientReply> reply) {
      statuses.push_back(reply ? reply->status : 0);
    }));
  };
  const auto answered = [&](size_t count) {
    return loop.run_until([&] { return statuses.size() == count; }, net::Millis(10'000));
  };

  engine.hold = true;
  send();  // more than all together may be, but alone
  REQUIRE(loop.run_until([&] { return engine.held_count == 1; }, net::Millis(10'000)));
  send();
  REQUIRE(answered(1));
  CHECK(statuses == std::vector<int>{429});
  engine.release();
  REQUIRE(answered(2));
  send();
  REQUIRE(answered(3));
  CHECK(statuses == std::vector<int>{429, 202, 202});
  executor->close();
}
