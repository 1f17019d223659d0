// data_path_world.h: a DataPath whose connections and look-ups the test plays itself.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/data_path.h"
#include "tests/unit/proxy/fake_stream.h"

namespace hms::proxy {

/// As a real one: destroying it silences its callback.
class FakeConnector final : public net::Connector {
 public:
  explicit FakeConnector(std::shared_ptr<OnConnect> callback) : callback_(std::move(callback)) {}
  ~FakeConnector() override { *callback_ = nullptr; }

 private:
  std::shared_ptr<OnConnect> callback_;
};

/// A data path whose upstream connections are fakes, opened as soon as the test says so.
struct World {
  net::Loop loop;
  std::vector<FakeStream*> upstream;  // in order of opening; the data path owns them
  std::vector<std::shared_ptr<net::Connector::OnConnect>> waiting;
  std::vector<std::string> dialled;
  std::vector<std::string> asked;  // names looked up
  std::vector<net::Resolver::OnResolved> answers;
  std::unique_ptr<DataPath> data;

  explicit World(Config config = {}) {
    DataPath::Options options;
    options.proxy_tag = "test";
    options.dial = [this](const net::SocketAddress& address, net::Millis,
                          net::Connector::OnConnect on_connect) {
      dialled.push_back(address.to_string());
      waiting.push_back(std::make_shared<net::Connector::OnConnect>(std::move(on_connect)));
      return std::make_unique<FakeConnector>(waiting.back());
    };
    options.look_up = [this](const net::HostPort& target, net::Resolver::OnResolved on_resolved) {
      asked.push_back(target.host);
      answers.push_back(std::move(on_resolved));
      return std::make_unique<net::Resolver>();
    };
    data = std::make_unique<DataPath>(loop, std::move(options));
    if (config.app.empty()) config.app = "127.0.0.1:1";
    data->apply(make_snapshot(config, {}, {}, 0, 1));
  }
  ~World() {
    data->cut_all();
    turn();
    data.reset();
    turn();
  }

  void turn() {
    for (int i = 0; i < 2; ++i) {  // what is retired in a turn goes at its end
      bool ran = false;
      loop.post([&ran] { ran = true; });
      REQUIRE(loop.run_until([&ran] { return ran; }, net::Millis{10'000}));
    }
  }
  FakeStream* call(const std::string& peer = "127.0.0.1:9",
                   telemetry::Direction direction = telemetry::Direction::inbound) {
    auto stream = std::make_unique<FakeStream>(peer);
    FakeStream* raw = stream.get();
    data->accept(std::move(stream), direction);
    return raw;
  }
  FakeStream* call_out() { return call("127.0.0.1:9", telemetry::Direction::outbound); }
  FakeStream* connect() {
    REQUIRE_FALSE(waiting.empty());
    auto on_connect = std::exchange(*waiting.front(), nullptr);
    waiting.erase(waiting.begin());
    auto stream = std::make_unique<FakeStream>();
    upstream.push_back(stream.get());
    on_connect(std::unique_ptr<net::Stream>(std::move(stream)));
    return upstream.back();
  }
  void refuse() {
    auto on_connect = std::exchange(*waiting.front(), nullptr);
    waiting.erase(waiting.begin());
    on_connect(net::Error{net::Code::connect_failed, net::Side::upstream, true, "refused"});
  }
};

inline constexpr std::string_view kGet =
    "GET /claims/1 HTTP/1.1\r\nHost: a\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n";
inline constexpr std::string_view kOk =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";

}  // namespace hms::proxy
