#include "net/core/result.h"

namespace hms::net {

std::string_view code_name(Code code) noexcept {
  switch (code) {
    case Code::bad_message:
      return "bad_message";
    case Code::too_large:
      return "too_large";
    case Code::unsupported:
      return "unsupported";
    case Code::connect_failed:
      return "connect_failed";
    case Code::connect_timeout:
      return "connect_timeout";
    case Code::reset:
      return "reset";
    case Code::closed:
      return "closed";
    case Code::timeout:
      return "timeout";
    case Code::resolve_failed:
      return "resolve_failed";
    case Code::tls:
      return "tls";
    case Code::canceled:
      return "canceled";
    case Code::overloaded:
      return "overloaded";
    case Code::bad_config:
      return "bad_config";
    case Code::io:
      return "io";
    case Code::no_space:
      return "no_space";
    case Code::corrupt:
      return "corrupt";
    case Code::not_found:
      return "not_found";
    case Code::already_exists:
      return "already_exists";
    case Code::unavailable:
      return "unavailable";
  }
  return "unknown";
}

std::string_view side_name(Side side) noexcept {
  switch (side) {
    case Side::self:
      return "self";
    case Side::downstream:
      return "downstream";
    case Side::upstream:
      return "upstream";
  }
  return "unknown";
}

std::string to_string(const Error& error) {
  std::string text(code_name(error.code));
  if (!error.detail.empty()) {
    text += ": ";
    text += error.detail;
  }
  return text;
}

}  // namespace hms::net
