// json_body.cc: parse with a bound on depth, and one table from codes to statuses.
#include "collector/api/json_body.h"

#include <nlohmann/json.hpp>

namespace hms::collector {
namespace {

using nlohmann::json;

constexpr size_t kMaxBytes = 64 * 1024;
constexpr int kMaxDepth = 32;

net::Error fault(net::Code code, std::string detail) {
  return {code, net::Side::downstream, false, std::move(detail)};
}

}  // namespace

net::Result<json> read_json_body(const net::Request& request) {
  if (request.body.size() > kMaxBytes)
    return fault(net::Code::too_large, "the body has " + std::to_string(request.body.size()) +
                                           " bytes, at most 65536 are allowed");
  // The library takes a NUL for the end of its input.
  if (const size_t nul = request.body.find('\0'); nul != std::string::npos)
    return fault(net::Code::bad_message,
                 "the body is no JSON: it stops making sense at byte " + std::to_string(nul + 1));
  bool too_deep = false;
  const auto watch = [&](int depth, json::parse_event_t, json&) {
    too_deep = too_deep || depth > kMaxDepth;
    return !too_deep;
  };
  try {
    json parsed = json::parse(request.body, watch);
    if (too_deep)
      return fault(net::Code::bad_message, "the body is nested more than 32 levels deep");
    return parsed;
  } catch (const json::parse_error& error) {
    return fault(net::Code::bad_message, "the body is no JSON: it stops making sense at byte " +
                                             std::to_string(error.byte));
  } catch (const json::out_of_range&) {
    return fault(net::Code::bad_message, "the body has a number that no double can hold");
  }
}

void answer_error(net::Reply& reply, const net::Error& error) {
  switch (error.code) {
    case net::Code::bad_message:
    case net::Code::bad_config:
    case net::Code::unsupported:
      net::send_error(reply, 400, "bad_data", error.detail);
      return;
    case net::Code::not_found:
      net::send_error(reply, 404, "not_found", error.detail);
      return;
    case net::Code::already_exists:
      net::send_error(reply, 409, "conflict", error.detail);
      return;
    case net::Code::too_large:
      net::send_error(reply, 413, "too_large", error.detail);
      return;
    case net::Code::overloaded:
    case net::Code::no_space:
    case net::Code::unavailable:
      net::send_error(reply, 503, "unavailable", error.detail, {{"Retry-After", "5"}});
      return;
    default:
      net::send_error(reply, 500, "internal", error.detail);
      return;
  }
}

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}
std::string dump(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace hms::collector
