// host_port.h: the one place where "host:port" is taken apart. Nothing is checked here: what a host
// and a port may be made of differs between a request, a URL and a configuration. Thread: any.
#pragma once

#include <string_view>

namespace hms::net {

struct SplitHostPort {
  std::string_view host;    // an IPv6 address with its brackets; unclosed: all of the text
  std::string_view behind;  // "", ":", ":8080"; behind a bracket perhaps something else

  [[nodiscard]] constexpr bool bracketed() const noexcept { return host.starts_with('['); }
  [[nodiscard]] constexpr bool has_port() const noexcept { return behind.starts_with(':'); }
  [[nodiscard]] constexpr std::string_view port() const noexcept {
    return has_port() ? behind.substr(1) : std::string_view{};
  }
  /// Whether `host` is "[...]" and nothing but a port follows.
  [[nodiscard]] constexpr bool well_bracketed() const noexcept {
    return bracketed() && host.ends_with(']') && (behind.empty() || has_port());
  }
  /// Without the brackets, of a well bracketed host.
  [[nodiscard]] constexpr std::string_view inside() const noexcept {
    return host.substr(1, host.size() - 2);
  }
};

/// At the first colon, or that behind the brackets.
[[nodiscard]] constexpr SplitHostPort split_host_port(std::string_view text) noexcept {
  size_t end = text.find(text.starts_with('[') ? ']' : ':');
  if (end == std::string_view::npos) return {text, {}};
  if (text.starts_with('[')) ++end;
  return {text.substr(0, end), text.substr(end)};
}

}  // namespace hms::net
