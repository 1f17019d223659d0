// config_stream.h: the collector's wishes for this service: canary weights, over GET
// {collector}/ops/config/{service}.
//
// Server-Sent Events: `event: config`, `data:
// {"version":12,"splits":[{"name","service","baseline","canary","weight":10}]}`; a comment every 5
// s keeps it warm. 15 s of silence, an error or the end: again after a back-off of 250 ms to 5 s
// with full jitter. What cannot be read is logged and the last weights stay. Limits: 1 MiB an
// event, 1,000 splits. Thread: the main loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/http/client.h"
#include "net/http/sse.h"
#include "net/io/timer_wheel.h"
#include "proxy/config/snapshot.h"

namespace hms::proxy {

struct CanaryWeights {
  uint64_t version = 0;
  std::vector<CanaryWeight> weights;
};
/// The data of a `config` event. Errors: bad_message, naming the place.
[[nodiscard]] net::Result<CanaryWeights> parse_canary_weights(const std::string& json);

class ConfigStream {
 public:
  ConfigStream(net::Loop& loop, net::HttpClient& client, std::string url,
               std::function<void(CanaryWeights)> on_weights);
  [[nodiscard]] bool connected() const noexcept { return connected_; }

 private:
  void on_event(const net::SseParser::Event& event);
  void open();
  void again();
  void watch();

  net::Loop& loop_;
  net::HttpClient& client_;
  std::string url_;
  std::function<void(CanaryWeights)> on_weights_;
  net::SseParser parser_;
  std::unique_ptr<net::ClientCall> call_;
  net::Timer reconnect_, silence_;
  uint64_t heard_millis_ = 0;
  uint32_t failures_ = 0;
  bool connected_ = false;
};

}  // namespace hms::proxy
