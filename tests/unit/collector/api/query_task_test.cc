#include "collector/api/query_task.h"

#include <doctest/doctest.h>

#include <optional>
#include <stdexcept>

#include "net/http/client.h"
#include "net/http/compress.h"

using namespace hms;
using namespace hms::collector;

namespace {

using Work = std::function<QueryAnswer(const std::function<bool()>&)>;

struct Fixture {
  net::Loop loop;
  std::unique_ptr<Executor> executor = make_executor(1, 10);
  std::unique_ptr<net::HttpServer> server = net::HttpServer::create(loop, {});
  std::unique_ptr<net::HttpClient> client = net::HttpClient::create(loop);
  ~Fixture() { executor->close(); }

  net::ClientReply ask(const Work& work, const QueryLimits& limits = {},
                       const net::Headers& headers = {}) {
    server->route("GET", "/ask", [&](net::Request&, const net::ReplyPtr& reply) {
      run_query(loop, *executor, reply, work, limits);
    });
    auto bound = server->listen(net::SocketAddress::parse("127.0.0.1:0").value());
    REQUIRE(bound);
    net::ClientRequest request;
    request.url = "http://" + bound->to_string() + "/ask";
    request.headers = headers;
    std::optional<net::Result<net::ClientReply>> got;
    auto call = client->send(std::move(request), [&](auto reply) { got = std::move(reply); });
    REQUIRE(loop.run_until([&] { return got.has_value(); }, net::Millis{10'000}));
    REQUIRE(got->ok());
    return std::move(*got).value();
  }
};

}  // namespace

TEST_CASE("query_task: what a question throws is answered with 500, and the program goes on") {
  Fixture f;
  const auto reply =
      f.ask([](const auto&) -> QueryAnswer { throw std::runtime_error("made to fail"); });
  CHECK(reply.status == 500);
  CHECK(reply.body.find("\"errorType\":\"internal\"") != std::string::npos);
}

TEST_CASE("query_task: a question that takes too long is cancelled and answered with 503 timeout") {
  Fixture f;
  const auto reply = f.ask(
      [](const auto& cancelled) {
        while (!cancelled()) {
        }
        return error_answer({net::Code::canceled, net::Side::downstream, false, "cancelled"});
      },
      {.deadline = net::Millis{20}});
  CHECK(reply.status == 503);
  CHECK(reply.body.find("\"errorType\":\"timeout\"") != std::string::npos);
}

TEST_CASE("query_task: an answer that is too large is a 422 that says how large") {
  Fixture f;
  const auto reply = f.ask(
      [](const auto&) {
        return QueryAnswer{200, std::string(2000, 'x')};
      },
      {.answer_bytes = 1000});
  CHECK(reply.status == 422);
  CHECK(reply.body.find("the answer has 2000 bytes, at most 1000 are allowed") !=
        std::string::npos);
}

TEST_CASE("query_task: a large answer is compressed, and says so, once") {
  Fixture f;
  const auto reply = f.ask(
      [](const auto&) {
        return QueryAnswer{200, std::string(50'000, 'x')};
      },
      {}, {{"Accept-Encoding", "gzip"}});
  CHECK(reply.status == 200);
  CHECK(net::header_value(reply.headers, "content-encoding") == "gzip");
  CHECK(net::header_value(reply.headers, "vary") == "Accept-Encoding");
  CHECK(net::gzip_decode(reply.body, 100'000).value() == std::string(50'000, 'x'));
}
