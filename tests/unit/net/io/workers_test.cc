#include "net/io/workers.h"

#include <doctest/doctest.h>
#include <pthread.h>

#include <memory>
#include <string>
#include <vector>

#include "net/io/loop_impl.h"
#include "tests/unit/net/io/tcp_pair.h"

namespace hms::net {

TEST_CASE(
    "worker: calls run on its own thread, one after the other, and their results are there "
    "afterwards") {
  Worker worker("hms-worker-with-a-long-name");
  const auto here = std::this_thread::get_id();
  std::thread::id there;
  std::string name(64, '\0');
  worker.call([&] {
    there = std::this_thread::get_id();
    CHECK(worker.loop().in_loop_thread());
    pthread_getname_np(pthread_self(), name.data(), name.size());
  });
  CHECK(there != here);
  CHECK(std::string(name.c_str()) == "hms-worker-with");
  int sum = 0;
  for (int i = 1; i <= 1000; ++i) worker.call([&sum, i] { sum += i; });
  CHECK(sum == 500'500);
}

TEST_CASE("worker: values go between workers by post") {
  Worker first("first");
  Worker second("second");
  int received = 0;
  for (int i = 0; i < 100; ++i) {
    first.loop().post([&second, &received] { second.loop().post([&received] { ++received; }); });
  }
  first.call([] {});
  second.call([&] { CHECK(received == 100); });
}

TEST_CASE("worker: stopping at once, twice or never asked for") {
  for (int i = 0; i < 50; ++i) {
    Worker worker("brief");
    if (i % 2 == 0) worker.stop_and_join();
    if (i % 4 == 0) worker.stop_and_join();
  }
}

TEST_CASE(
    "worker: each accepts on the same port and echoes with a slab, timers and chunks of its own") {
  constexpr size_t kWorkers = 2;
  constexpr size_t kClients = 12;
  struct Echo final : StreamHandler {
    std::unique_ptr<Stream> stream;
    void on_bytes(std::string_view bytes) override { stream->write(bytes); }
    void on_eof() override { stream->shutdown_write(); }
    void on_closed(const Error&) override {}
  };
  struct Server {
    explicit Server(const std::string& name) : worker(name) {}
    Worker worker;
    std::unique_ptr<Acceptor> acceptor;           // the worker's
    std::vector<std::unique_ptr<Echo>> sessions;  // the worker's
  };
  std::vector<std::unique_ptr<Server>> servers;
  SocketAddress address = SocketAddress::parse("127.0.0.1:0").value();
  for (size_t i = 0; i < kWorkers; ++i) {
    servers.push_back(std::make_unique<Server>("echo-" + std::to_string(i)));
    Server& server = *servers.back();
    server.worker.call([&] {
      server.acceptor =
          std::move(Acceptor::listen(server.worker.loop(), address, {.reuse_port = true},
                                     [&server](std::unique_ptr<Stream> stream) {
                                       auto echo = std::make_unique<Echo>();
                                       echo->stream = std::move(stream);
                                       echo->stream->set_handler(echo.get());
                                       echo->stream->resume_reading();
                                       server.sessions.push_back(std::move(echo));
                                     }))
              .value();
      address = server.acceptor->local();
    });
  }

  struct Caller {
    Recorder saw;
    std::unique_ptr<Connector> connector;
    std::unique_ptr<Stream> stream;
    std::string sent;
  };
  Loop loop;
  std::vector<std::unique_ptr<Caller>> callers;
  for (size_t i = 0; i < kClients; ++i) {
    callers.push_back(std::make_unique<Caller>());
    Caller& caller = *callers.back();
    caller.sent.assign(400'000 + i, static_cast<char>('a' + i));
    caller.connector =
        Connector::connect(loop, address, kLong, [&](Result<std::unique_ptr<Stream>> result) {
          REQUIRE(result.ok());
          caller.stream = std::move(result).value();
          caller.stream->set_handler(&caller.saw);
          caller.stream->resume_reading();
          caller.stream->write(caller.sent);
          caller.stream->shutdown_write();
        });
  }
  REQUIRE(loop.run_until(
      [&] {
        for (const auto& caller : callers) {
          if (!caller->saw.eof) return false;
        }
        return true;
      },
      kLong));
  for (const auto& caller : callers) CHECK(caller->saw.bytes == caller->sent);
  for (const auto& server : servers) {
    server->worker.call([&] {
      server->sessions.clear();
      server->acceptor.reset();
    });
  }
}

TEST_CASE("worker: after an event the loop polls on for as long as it was told, then sleeps") {
  Loop loop;
  loop.impl().stay_awake();
  CHECK(uv_is_active(reinterpret_cast<uv_handle_t*>(&loop.impl().spinner)) == 0);
  loop.impl().spin_nanos = 200'000;
  loop.impl().stay_awake();
  const auto polls = [&] {
    return uv_is_active(reinterpret_cast<uv_handle_t*>(&loop.impl().spinner)) != 0;
  };
  CHECK(polls());
  CHECK(loop.run_until([&] { return !polls(); }, Millis(10'000)));
}

}  // namespace hms::net
