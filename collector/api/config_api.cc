// config_api.cc: one text for all sidecars, sent at each change.
#include "collector/api/config_api.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "collector/api/json_body.h"
#include "net/core/clock.h"
#include "net/http/sse.h"
#include "net/io/timer_wheel.h"

namespace hms::collector {
namespace {

// A sidecar holds this stream and one connection for telemetry; the listener takes 4,096.
constexpr size_t kMaxStreams = 2'000;
constexpr net::Millis kKeepAlive{5'000};

class Feed final : public ConfigFeed {
 public:
  Feed(net::Loop& loop, net::HttpServer& server, CanaryController& canaries)
      : canaries_(canaries), version_(net::unix_millis()), keep_alive_(loop, [this] {
          send(net::sse_comment("keep-alive"));
          keep_alive_.arm(kKeepAlive);
        }) {
    canaries_.on_change([this] {
      ++version_;
      text_ = made();
      send(text_);
    });
    text_ = made();
    keep_alive_.arm(kKeepAlive);
    server.route("GET", "/ops/config/{service}",
                 [this](net::Request&, const net::ReplyPtr& reply) { connect(reply); });
  }
  ~Feed() override { canaries_.on_change({}); }

  size_t streams() const noexcept override { return streams_.size(); }

 private:
  [[nodiscard]] std::string made() const {
    nlohmann::ordered_json config;
    config["version"] = version_;
    config["splits"] = nlohmann::ordered_json::array();
    for (const CanarySplit& split : canaries_.splits()) {
      config["splits"].push_back({{"name", split.name},
                                  {"service", split.service},
                                  {"baseline", split.baseline},
                                  {"canary", split.canary},
                                  {"weight", split.weight}});
    }
    return net::sse_event("config", std::to_string(version_), dump(config));
  }

  void connect(const net::ReplyPtr& reply) {
    if (streams_.size() >= kMaxStreams) {
      net::send_error(*reply, 503, "unavailable",
                      "2000 sidecars are connected, which is the most there may be",
                      {{"Retry-After", "5"}});
      return;
    }
    reply->start(200, "text/event-stream");
    reply->write(text_);
    streams_.push_back(reply);
  }

  void send(const std::string& text) {
    for (const net::ReplyPtr& reply : streams_) {
      if (!reply->gone() && !reply->write(text)) reply->finish();
    }
    std::erase_if(streams_, [](const net::ReplyPtr& reply) { return reply->gone(); });
  }

  CanaryController& canaries_;
  int64_t version_;
  std::string text_;
  std::vector<net::ReplyPtr> streams_;
  net::Timer keep_alive_;
};

}  // namespace

std::unique_ptr<ConfigFeed> register_config_api(net::Loop& loop, net::HttpServer& server,
                                                CanaryController& canaries) {
  return std::make_unique<Feed>(loop, server, canaries);
}

}  // namespace hms::collector
