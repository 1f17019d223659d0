#include "proxy/config_stream.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "net/core/log.h"
#include "net/core/random.h"

namespace hms::proxy {

namespace {
constexpr uint64_t kSilenceMillis = 15'000;
constexpr net::Millis kLook{1'000};
constexpr size_t kMaxSplits = 1'000;
}  // namespace

net::Result<CanaryWeights> parse_canary_weights(const std::string& json) {
  const auto wrong = [](std::string what) {
    return net::Error{net::Code::bad_message, net::Side::self, false,
                      "configuration from the collector: " + std::move(what)};
  };
  const auto root = nlohmann::json::parse(json, nullptr, false);
  if (root.is_discarded() || !root.is_object()) return wrong("not a JSON object");
  CanaryWeights result;
  if (const auto version = root.find("version");
      version != root.end() && version->is_number_unsigned())
    result.version = version->get<uint64_t>();
  else
    return wrong("version is not a number");
  const auto splits = root.find("splits");
  if (splits == root.end() || !splits->is_array()) return wrong("splits is not an array");
  if (splits->size() > kMaxSplits) return wrong("more than 1000 splits");
  for (const auto& item : *splits) {
    CanaryWeight weight;
    if (!item.is_object()) return wrong("splits: an item is not an object");
    const auto text = [&item](const char* key, std::string& target) {
      const auto found = item.find(key);
      if (found == item.end() || !found->is_string()) return false;
      target = found->get<std::string>();
      return true;
    };
    if (!text("name", weight.name)) return wrong("splits: name is not a text");
    if (!text("service", weight.service)) return wrong(weight.name + ": service is not a text");
    if (!text("baseline", weight.baseline) || !text("canary", weight.canary))
      return wrong(weight.name + ": baseline and canary must be texts");
    const auto share = item.find("weight");
    if (share == item.end() || !share->is_number())
      return wrong(weight.name + ": weight is not a number");
    weight.weight = share->get<double>();
    if (!(weight.weight >= 0 && weight.weight <= 100))
      return wrong(weight.name + ": weight is not between 0 and 100");
    result.weights.push_back(std::move(weight));
  }
  return result;
}

ConfigStream::ConfigStream(net::Loop& loop, net::HttpClient& client, std::string url,
                           std::function<void(CanaryWeights)> on_weights)
    : loop_(loop),
      client_(client),
      url_(std::move(url)),
      on_weights_(std::move(on_weights)),
      parser_([this](const net::SseParser::Event& event) { on_event(event); }),
      reconnect_(loop, [this] { open(); }),
      silence_(loop, [this] { watch(); }) {
  open();
}

void ConfigStream::on_event(const net::SseParser::Event& event) {
  if (event.event != "config") return;
  auto weights = parse_canary_weights(event.data);
  if (weights.ok())
    on_weights_(std::move(weights).value());
  else
    net::log_warn("refused", {{"error", weights.error().detail}});
}

void ConfigStream::open() {
  heard_millis_ = loop_.now_millis();
  parser_ = net::SseParser([this](const net::SseParser::Event& event) { on_event(event); });
  net::ClientRequest request;
  request.url = url_;
  request.headers = {{"Accept", "text/event-stream"}};
  request.timeout = net::Millis{0};
  net::StreamCallbacks callbacks;
  callbacks.on_head = [this](int status, const net::Headers&) {
    heard_millis_ = loop_.now_millis();
    connected_ = status == 200;
    if (connected_) failures_ = 0;
  };
  callbacks.on_data = [this](std::string_view piece) {
    heard_millis_ = loop_.now_millis();
    if (connected_) parser_.feed(piece);
  };
  callbacks.on_end = [this](net::Result<void>) { again(); };
  call_ = client_.open_stream(std::move(request), std::move(callbacks));
  silence_.arm(kLook);
}

void ConfigStream::again() {
  if (connected_)
    net::log_info("configuration stream lost; the last weights stay", {{"url", url_}});
  connected_ = false;
  if (call_) loop_.retire(std::move(call_));
  silence_.disarm();
  const uint64_t most = std::min<uint64_t>(5'000, 250ULL << std::min<uint32_t>(failures_++, 5));
  reconnect_.arm(net::Millis{static_cast<int64_t>(50 + net::random_below(most))});
}

void ConfigStream::watch() {
  if (loop_.now_millis() - heard_millis_ < kSilenceMillis) {
    silence_.arm(kLook);
    return;
  }
  call_.reset();  // silenced: nothing more of it may count as heard
  again();
}

}  // namespace hms::proxy
