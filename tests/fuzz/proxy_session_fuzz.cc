// The whole session between two peers that the fuzzer plays: bytes, ends, resets, full queues on
// either side, refused connections, reloads.
//
// The input is a list of steps: one byte says what happens, the next how many bytes follow. What
// must hold: no crash, no leak, nothing left running when both sides are gone, and what the service
// receives is made of well-formed heads (checked by parsing it again).
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/core/check.h"
#include "net/core/log.h"
#include "proxy/data_path.h"
#include "tests/unit/proxy/fake_stream.h"

namespace {

using namespace hms;

/// As a real one: destroying it silences its callback.
class FakeConnector final : public net::Connector {
 public:
  explicit FakeConnector(std::shared_ptr<net::Connector::OnConnect> callback)
      : callback_(std::move(callback)) {}
  ~FakeConnector() override { *callback_ = nullptr; }

 private:
  std::shared_ptr<net::Connector::OnConnect> callback_;
};

/// What one upstream connection received must parse as requests, with a strict codec, as far as it
/// goes.
void check_received(const std::string& bytes) {
  net::HttpLimits limits;
  limits.head_bytes = 128 * 1024;  // our own lines come on top
  limits.start_line_bytes = 16 * 1024;
  net::H1Codec codec(net::H1Codec::Kind::request, limits);
  std::string_view input = bytes;
  while (!input.empty()) {
    switch (codec.next(input)) {
      case net::H1Codec::Step::failed:
        HMS_ENSURE(codec.fault().site == "too_many_fields" || codec.fault().site == "field_count");
        return;
      case net::H1Codec::Step::need_more:
        return;
      case net::H1Codec::Step::upgrade:
        return;
      case net::H1Codec::Step::head:
        if (codec.head().upgrade) return;  // a tunnel may follow
        break;
      case net::H1Codec::Step::end:
        codec.next_message();
        break;
      default:
        break;
    }
  }
}

struct World {
  net::Loop& loop;
  struct Upstream {
    FakeStream* stream;
    bool gone = false;
  };
  std::vector<std::unique_ptr<Upstream>> upstreams;
  std::vector<std::shared_ptr<net::Connector::OnConnect>> waiting;
  std::unique_ptr<proxy::DataPath> data;
  FakeStream* caller = nullptr;
  bool caller_gone = false;

  explicit World(net::Loop& l) : loop(l) {
    proxy::DataPath::Options options;
    options.dial = [this](const net::SocketAddress&, net::Millis,
                          net::Connector::OnConnect on_connect) {
      waiting.push_back(std::make_shared<net::Connector::OnConnect>(std::move(on_connect)));
      return std::make_unique<FakeConnector>(waiting.back());
    };
    data = std::make_unique<proxy::DataPath>(loop, std::move(options));
    data->apply(snapshot(1));
  }

  static proxy::SnapshotPtr snapshot(uint64_t generation) {
    proxy::Config config;
    config.app = "127.0.0.1:1";
    config.upstreams.push_back(
        {"u", {{"127.0.0.1", 2}, {"127.0.0.1", 3}}, proxy::Balance::peak_ewma, net::Millis{0}});
    proxy::RouteConfig route;
    route.path = "/u/*";
    route.split = {{"app", 50}, {"u", 50}};
    route.retries.on_reset = true;
    route.retries.on_status.set(503);
    route.retries.attempts = 2;
    config.routes.push_back(route);
    config.trust_forwarded = generation % 2 == 0;
    return proxy::make_snapshot(config, {}, {}, 0, generation);
  }

  void turn() {
    bool ran = false;
    loop.post([&ran] { ran = true; });
    (void)loop.run_until([&ran] { return ran; }, net::Millis{1'000});
  }

  void call() {
    auto stream = std::make_unique<FakeStream>();
    caller = stream.get();
    caller->destroyed = &caller_gone;
    caller_gone = false;
    data->accept(std::move(stream), telemetry::Direction::inbound);
  }

  Upstream* last() {
    for (auto at = upstreams.rbegin(); at != upstreams.rend(); ++at) {
      if (!(*at)->gone) return at->get();
    }
    return nullptr;
  }

  void connect(bool well) {
    if (waiting.empty()) return;
    auto on_connect = std::exchange(*waiting.front(), nullptr);
    waiting.erase(waiting.begin());
    if (!on_connect) return;
    if (!well)
      return on_connect(
          net::Error{net::Code::connect_failed, net::Side::upstream, true, "refused"});
    auto stream = std::make_unique<FakeStream>();
    upstreams.push_back(std::make_unique<Upstream>(Upstream{stream.get()}));
    stream->destroyed = &upstreams.back()->gone;
    on_connect(std::unique_ptr<net::Stream>(std::move(stream)));
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static net::Loop loop;
  net::log_set_level(net::LogLevel::error);
  World world(loop);
  world.call();
  uint64_t generation = 1;
  size_t at = 0;
  for (int steps = 0; at + 1 < size && steps < 200; ++steps) {
    const uint8_t what = bytes[at] % 16;
    const size_t count = std::min<size_t>(bytes[at + 1], size - at - 2);
    const std::string_view piece(reinterpret_cast<const char*>(bytes) + at + 2, count);
    const bool takes_bytes = what < 8;
    at += 2 + (takes_bytes ? count : 0);
    World::Upstream* upstream = world.last();
    if (world.caller_gone) {
      world.turn();
      world.call();
    }
    switch (what) {
      case 0:
      case 1:
      case 2:
      case 3:
        if (world.caller->wants_bytes() && !piece.empty()) world.caller->arrive(piece);
        break;
      case 4:
      case 5:
      case 6:
      case 7:
        if (upstream != nullptr && upstream->stream->wants_bytes() && !piece.empty()) {
          upstream->stream->arrive(piece);
          if (!upstream->gone) check_received(upstream->stream->written);
        }
        break;
      case 8:
        if (world.caller->wants_bytes()) world.caller->arrive_eof();
        break;
      case 9:
        if (upstream != nullptr && upstream->stream->wants_bytes()) upstream->stream->arrive_eof();
        break;
      case 10:
        world.caller->arrive_closed(net::Code::reset);
        break;
      case 11:
        if (upstream != nullptr)
          upstream->stream->arrive_closed(count % 2 == 0 ? net::Code::reset : net::Code::closed);
        break;
      case 12:
        world.connect(true);
        break;
      case 13:
        world.connect(count % 4 != 0);
        break;
      case 14:
        if (count % 2 == 0)
          world.caller->queued = 200 * 1024;
        else
          world.caller->arrive_writable();
        break;
      case 15:
        if (upstream != nullptr && count % 3 == 0)
          upstream->stream->queued = 200 * 1024;
        else if (upstream != nullptr && count % 3 == 1)
          upstream->stream->arrive_writable();
        else
          world.data->apply(World::snapshot(++generation));
        break;
    }
    if (steps % 8 == 7) world.turn();
  }
  world.data->cut_all();
  HMS_ENSURE(world.data->exchanges_running() == 0);
  HMS_ENSURE(world.data->sessions_open() == 0);
  (void)world.data->flip();
  world.turn();
  world.turn();
  world.data.reset();
  world.turn();
  return 0;
}
