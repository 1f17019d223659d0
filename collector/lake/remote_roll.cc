#include "collector/lake/remote_roll.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "collector/lake/http_transfer.h"
#include "collector/lake/manifest.h"

namespace hms::collector {
namespace {

using net::Code;
using net::Error;
using net::Result;
using nlohmann::json;

constexpr std::chrono::milliseconds kLookEvery{200};

Result<json> ask(const std::string& method, const std::string& url, const HttpTrust& trust,
                 int expected) {
  HttpCall call;
  call.trust = trust;
  call.method = method;
  call.url = url;
  auto answer = http_call(call);
  if (!answer.ok()) return std::move(answer).error();
  json body = json::parse(answer.value().body, nullptr, false);
  if (answer.value().status == expected && body.is_object()) return body;
  return Error{Code::unavailable, net::Side::upstream, false,
               url + " answered " + std::to_string(answer.value().status) +
                   (body.is_object() && body.contains("error") ? ": " + body["error"].dump() : "")};
}

}  // namespace

Result<std::string> roll_in_collector(const std::string& base, const HttpTrust& trust,
                                      uint32_t day) {
  const std::string text = day_text(day), lake = base + "/ops/lake";
  if (auto asked = ask("POST", lake + "/roll?day=" + text, trust, 202); !asked.ok())
    return std::move(asked).error();
  for (;;) {
    std::this_thread::sleep_for(kLookEvery);
    auto state = ask("GET", lake, trust, 200);
    if (!state.ok()) return std::move(state).error();
    const json& body = state.value();
    const json waiting = body.value("waiting", json::array());
    if (body.value("rolling", json()) == text) continue;
    if (std::find(waiting.begin(), waiting.end(), json(text)) != waiting.end()) continue;
    for (const json& one : body.value("days", json::array())) {
      if (one.value("day", "") == text) return "rolled by the running collector: " + one.dump();
    }
    return Error{Code::unavailable, net::Side::upstream, true,
                 "the running collector could not roll it: " + body.value("last_error", "")};
  }
}

}  // namespace hms::collector
