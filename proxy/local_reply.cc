#include "proxy/local_reply.h"

#include "net/http/reply_text.h"

namespace hms::proxy {

namespace {

using telemetry::ErrorType;

constexpr std::array kErrors = {
    LocalErrorEntry{LocalError::none, 0, "", "-", ErrorType::none, ""},
    LocalErrorEntry{LocalError::bad_request, 400, "bad_request", "DPE", ErrorType::protocol,
                    "the request is malformed"},
    LocalErrorEntry{LocalError::uri_too_long, 414, "uri_too_long", "DPE", ErrorType::protocol,
                    "the request line is too long"},
    LocalErrorEntry{LocalError::head_too_large, 431, "head_too_large", "DPE", ErrorType::protocol,
                    "the request head is too large"},
    LocalErrorEntry{LocalError::not_implemented, 501, "not_implemented", "DPE", ErrorType::protocol,
                    "this method or transfer coding is not supported"},
    LocalErrorEntry{LocalError::version_not_supported, 505, "version_not_supported", "DPE",
                    ErrorType::protocol, "only HTTP/1.0 and HTTP/1.1 are supported"},
    LocalErrorEntry{LocalError::request_timeout, 408, "request_timeout", "DT", ErrorType::timeout,
                    "the request did not arrive in time"},
    LocalErrorEntry{LocalError::loop_detected, 508, "loop_detected", "LR", ErrorType::other,
                    "the request has been through this proxy before"},
    LocalErrorEntry{LocalError::forbidden, 403, "forbidden", "UAEX", ErrorType::other,
                    "this caller's identity is not on the list"},
    LocalErrorEntry{LocalError::no_route, 404, "no_route", "NR", ErrorType::no_upstream,
                    "no route matches this request"},
    LocalErrorEntry{LocalError::no_endpoint, 503, "no_endpoint", "UH", ErrorType::no_upstream,
                    "the upstream has no endpoint"},
    LocalErrorEntry{LocalError::connect_failed, 502, "connect_failed", "UF",
                    ErrorType::connect_failed, "the service could not be connected to"},
    LocalErrorEntry{LocalError::connect_timeout, 504, "connect_timeout", "UF",
                    ErrorType::connect_timeout, "connecting to the service took too long"},
    LocalErrorEntry{LocalError::resolve_failed, 502, "resolve_failed", "DF", ErrorType::no_upstream,
                    "the host's name could not be resolved"},
    LocalErrorEntry{LocalError::upstream_reset, 502, "upstream_reset", "UR", ErrorType::reset,
                    "the service reset the connection before it answered"},
    LocalErrorEntry{LocalError::upstream_closed, 502, "upstream_closed", "UC", ErrorType::reset,
                    "the service closed the connection before it answered"},
    LocalErrorEntry{LocalError::upstream_protocol, 502, "upstream_protocol", "UPE",
                    ErrorType::protocol, "the service's reply is malformed"},
    LocalErrorEntry{LocalError::timeout, 504, "timeout", "UT", ErrorType::timeout,
                    "the service did not answer within the route's time"},
    LocalErrorEntry{LocalError::overloaded, 503, "overloaded", "UO", ErrorType::overloaded,
                    "the proxy is at its limit of connections or requests"},
};
static_assert(kErrors.size() == static_cast<size_t>(LocalError::count_));
static_assert([] {
  for (size_t i = 0; i < kErrors.size(); ++i) {
    if (static_cast<size_t>(kErrors[i].error) != i) return false;
  }
  return true;
}());

void append_escaped(std::string& out, std::string_view text) {
  for (const char c : text.substr(0, 256)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else {
      out += byte < 0x20 || byte >= 0x7f ? '?' : c;
    }
  }
}

}  // namespace

const LocalErrorEntry& local_error(LocalError error) noexcept {
  return kErrors[static_cast<size_t>(error)];
}

LocalError local_error_of_status(uint16_t status) noexcept {
  switch (status) {
    case 414:
      return LocalError::uri_too_long;
    case 431:
      return LocalError::head_too_large;
    case 501:
      return LocalError::not_implemented;
    case 505:
      return LocalError::version_not_supported;
    default:
      return LocalError::bad_request;
  }
}

std::string format_local_reply(const LocalReply& reply) {
  const LocalErrorEntry& entry = local_error(reply.error);
  std::string body = R"({"status":"error","errorType":")";
  body += entry.name;
  body += R"(","error":"hms-proxy: )";
  body += entry.sentence;
  if (!reply.detail.empty()) {
    body += ": ";
    append_escaped(body, reply.detail);
  }
  body += "\"}\n";
  std::string out = "HTTP/1.1 " + std::to_string(entry.status) + " ";
  out += net::status_reason(entry.status);
  out += "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\nx-hms-error: ";
  out += entry.name;
  if (entry.status == 503) out += "\r\nRetry-After: 1";
  if (!reply.x_trace.empty()) {
    out += "\r\nx-trace: ";
    out += reply.x_trace;
  }
  if (reply.close)
    out += "\r\nConnection: close";
  else if (reply.say_keep_alive)
    out += "\r\nConnection: keep-alive";
  out += "\r\n\r\n";
  if (!reply.head_only) out += body;
  return out;
}

}  // namespace hms::proxy
