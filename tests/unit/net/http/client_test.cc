#include "net/http/client.h"

#include "net/io/tcp.h"

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

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

namespace {

/// A server by hand: answers each connection's bytes as told.
class RawServer {
 public:
  /// Gets the number of the connection (from 0), what it sent so far, and the stream; may write to
  /// or drop it.
  using OnBytes = std::function<void(int, const std::string&, std::unique_ptr<Stream>&)>;

  RawServer(Loop& loop, OnBytes on_bytes) : on_bytes_(std::move(on_bytes)) {
    auto made =
        Acceptor::listen(loop, SocketAddress::parse("127.0.0.1:0").value(), {},
                         [this](std::unique_ptr<Stream> stream) {
                           connections.push_back(std::make_unique<Connection>(
                               *this, static_cast<int>(connections.size()), std::move(stream)));
                         });
    REQUIRE(made);
    acceptor_ = std::move(made).value();
    base = "http://" + acceptor_->local().to_string();
  }

  struct Connection final : StreamHandler {
    Connection(RawServer& of, int at, std::unique_ptr<Stream> with)
        : server(of), number(at), stream(std::move(with)) {
      stream->set_handler(this);
      stream->resume_reading();
    }
    void on_bytes(std::string_view bytes) override {
      received.append(bytes);
      server.on_bytes_(number, received, stream);
    }
    void on_eof() override {}
    void on_closed(const Error&) override {}
    RawServer& server;
    int number;
    std::string received;
    std::unique_ptr<Stream> stream;
  };

  std::vector<std::unique_ptr<Connection>> connections;
  std::string base;

 private:
  OnBytes on_bytes_;
  std::unique_ptr<Acceptor> acceptor_;
};

constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

}  // namespace

TEST_CASE("client: any status is a success, with its headers and body") {
  Fixture f;
  ClientRequest request = f.post("x");
  request.url = f.base + "/nothing";
  auto reply = f.fetch(std::move(request));
  REQUIRE(reply);
  CHECK(reply->status == 404);
  CHECK(header_value(reply->headers, "content-type") == "application/json");
}

TEST_CASE("client: sends its own framing and keeps foreign values in their lines") {
  Fixture f;
  RawServer server(f.loop, [](int, const std::string& received, std::unique_ptr<Stream>& stream) {
    if (received.find("\r\n\r\nbody") != std::string::npos) stream->write(kOk);
  });
  ClientRequest request;
  request.method = "PUT";
  request.url = server.base + "/a?b=c";
  request.headers = {{"Content-Length", "999"}, {"X-Text", "a\r\nX-Evil: 1"}, {"Host", "other"}};
  request.body = "body";
  auto reply = f.fetch(std::move(request));
  REQUIRE(reply);
  const std::string& sent = server.connections[0]->received;
  CHECK(sent.substr(0, 22) == "PUT /a?b=c HTTP/1.1\r\nH");
  CHECK(sent.find("999") == std::string::npos);
  CHECK(sent.find("other") == std::string::npos);
  CHECK(sent.find("\nX-Evil") == std::string::npos);
  CHECK(sent.find("Content-Length: 4\r\n") != std::string::npos);
}

TEST_CASE("client: a stale kept connection is replaced once, and the request sent again") {
  Fixture f;
  RawServer server(
      f.loop, [](int number, const std::string& received, std::unique_ptr<Stream>& stream) {
        const bool second_request = received.find("/second") != std::string::npos;
        if (number == 0 && second_request) {
          stream.reset();  // closes without a word, as an idle timeout at the wrong moment does
        } else {
          stream->write(kOk);
        }
      });
  ClientRequest request;
  request.url = server.base + "/first";
  CHECK(f.fetch(request).ok());
  request.url = server.base + "/second";
  auto reply = f.fetch(request);
  REQUIRE(reply);
  CHECK(reply->body == "ok");
  CHECK(server.connections.size() == 2);
}

TEST_CASE("client: a fresh connection that says nothing is a fault, not tried again") {
  Fixture f;
  RawServer server(
      f.loop, [](int, const std::string&, std::unique_ptr<Stream>& stream) { stream.reset(); });
  ClientRequest request;
  request.url = server.base + "/";
  auto reply = f.fetch(request);
  REQUIRE_FALSE(reply.ok());
  CHECK((reply.error().code == Code::closed || reply.error().code == Code::reset));
  CHECK(server.connections.size() == 1);
}

TEST_CASE("client: a connection that spoke or closed while idle is not used again") {
  Fixture f;
  RawServer server(f.loop, [](int number, const std::string&, std::unique_ptr<Stream>& stream) {
    stream->write(kOk);
    if (number == 0) stream->write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
  });
  ClientRequest request;
  request.url = server.base + "/";
  CHECK(f.fetch(request)->body == "ok");
  CHECK(f.fetch(request)->body == "ok");
  CHECK(server.connections.size() == 2);
}

TEST_CASE("client: faults carry their code") {
  Fixture f;
  const auto code = [&](ClientRequest request) { return f.fetch(std::move(request)).error().code; };
  ClientRequest request;
  request.url = "https://127.0.0.1:1/";
  CHECK(code(request) == Code::connect_failed);
  request.url = "nonsense";
  CHECK(code(request) == Code::bad_message);
  {
    // A port that was free a moment ago.
    RawServer gone(f.loop, [](int, const std::string&, std::unique_ptr<Stream>&) {});
    request.url = gone.base + "/";
  }
  CHECK(code(request) == Code::connect_failed);

  RawServer silent(f.loop, [](int, const std::string&, std::unique_ptr<Stream>&) {});
  request.url = silent.base + "/";
  request.timeout = Millis{50};
  CHECK(code(request) == Code::timeout);

  RawServer noise(f.loop, [](int, const std::string&, std::unique_ptr<Stream>& stream) {
    stream->write("SSH-2.0-x\r\n");
  });
  request.url = noise.base + "/";
  request.timeout = Millis{10'000};
  CHECK(code(request) == Code::bad_message);

  RawServer cut(f.loop, [](int, const std::string&, std::unique_ptr<Stream>& stream) {
    stream->write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    stream->shutdown_write();
  });
  request.url = cut.base + "/";
  CHECK(code(request) == Code::closed);

  RawServer large(f.loop, [](int, const std::string&, std::unique_ptr<Stream>& stream) {
    stream->write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789");
  });
  request.url = large.base + "/";
  request.max_reply_bytes = 9;
  CHECK(code(request) == Code::too_large);
}

TEST_CASE("client: a reply may end with its connection, and interim replies are skipped") {
  Fixture f;
  RawServer server(f.loop, [](int, const std::string&, std::unique_ptr<Stream>& stream) {
    stream->write("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\nall of it");
    stream->shutdown_write();
  });
  ClientRequest request;
  request.url = server.base + "/";
  CHECK(f.fetch(request)->body == "all of it");
}

TEST_CASE("client: a stream is given piece by piece until the other side ends it") {
  Fixture f;
  ClientRequest request;
  request.url = f.base + "/stream";
  request.timeout = Millis{0};
  int status = 0;
  std::string data;
  std::optional<bool> ended;
  StreamCallbacks callbacks;
  callbacks.on_head = [&](int code, const Headers&) { status = code; };
  callbacks.on_data = [&](std::string_view piece) { data.append(piece); };
  callbacks.on_end = [&](Result<void> outcome) { ended = outcome.ok(); };
  auto call = f.client->open_stream(request, std::move(callbacks));
  REQUIRE(f.loop.run_until([&] { return !f.streams.empty(); }, Millis{5000}));
  f.streams[0]->write("one");
  CHECK(f.loop.run_until([&] { return data == "one"; }, Millis{5000}));
  CHECK(status == 200);
  f.streams[0]->write("two");
  f.streams[0]->finish();
  CHECK(f.loop.run_until([&] { return ended.has_value(); }, Millis{5000}));
  CHECK(data == "onetwo");
  CHECK(*ended);
}

TEST_CASE("client: destroying a call silences it, also from inside its own callback") {
  Fixture f;
  ClientRequest request;
  request.url = f.base + "/stream";
  std::unique_ptr<ClientCall> call;
  int pieces = 0;
  bool ended = false;
  StreamCallbacks callbacks;
  callbacks.on_data = [&](std::string_view) {
    ++pieces;
    call.reset();
  };
  callbacks.on_end = [&](Result<void>) { ended = true; };
  call = f.client->open_stream(request, std::move(callbacks));
  REQUIRE(f.loop.run_until([&] { return !f.streams.empty(); }, Millis{5000}));
  f.streams[0]->write("one");
  CHECK(f.loop.run_until([&] { return pieces == 1; }, Millis{5000}));
  CHECK(f.loop.run_until([&] { return f.streams[0]->gone(); }, Millis{5000}));
  CHECK_FALSE(ended);

  auto early = f.client->send(f.post("x"), [&](Result<ClientReply>) { ended = true; });
  early.reset();
  f.loop.run_until([] { return false; }, Millis{50});
  CHECK_FALSE(ended);
}

TEST_CASE("client: destroying the client with running calls is safe") {
  Fixture f;
  bool called = false;
  auto call = f.client->send(f.post("x"), [&](Result<ClientReply>) { called = true; });
  f.client.reset();
  f.loop.run_until([] { return false; }, Millis{50});
  CHECK_FALSE(called);
  call.reset();
}

TEST_CASE("client: many calls at once share few connections afterwards") {
  Fixture f;
  int done = 0;
  std::vector<std::unique_ptr<ClientCall>> calls;
  for (int i = 0; i < 50; ++i) {
    calls.push_back(
        f.client->send(f.post("n" + std::to_string(i)), [&, i](Result<ClientReply> reply) {
          REQUIRE(reply);
          CHECK(reply->body == "n" + std::to_string(i));
          ++done;
        }));
  }
  CHECK(f.loop.run_until([&] { return done == 50; }, Millis{10'000}));
  CHECK(f.loop.run_until([&] { return f.server->counters().connections_open == 4; }, Millis{5000}));
}

TEST_CASE("client: destroying the client from inside a callback is safe") {
  Fixture f;
  ClientRequest request;
  request.url = f.base + "/stream";
  std::unique_ptr<ClientCall> call;
  bool ended = false;
  StreamCallbacks callbacks;
  callbacks.on_data = [&](std::string_view) { f.client.reset(); };
  callbacks.on_end = [&](Result<void>) { ended = true; };
  call = f.client->open_stream(request, std::move(callbacks));
  REQUIRE(f.loop.run_until([&] { return !f.streams.empty(); }, Millis{5000}));
  f.streams[0]->write("one");
  f.streams[0]->write("two");
  CHECK(f.loop.run_until([&] { return f.streams[0]->gone(); }, Millis{5000}));
  CHECK_FALSE(ended);
}
