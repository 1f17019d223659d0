#include "net/http/url.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "net/core/host_port.h"
#include "net/http/characters.h"

namespace hms::net {
namespace {

constexpr size_t kMaxPairs = 256;
constexpr size_t kMaxUrlBytes = 8 * 1024;

Error bad(std::string detail) {
  return Error{Code::bad_message, Side::self, false, std::move(detail)};
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char l = lower(c);
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

/// Decodes; `forbidden` are the characters that may not come out.
Result<std::string> decode(std::string_view text, bool plus_is_space, std::string_view forbidden) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      const int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
      if (high < 0 || low < 0) {
        return bad("broken percent escape at byte " + std::to_string(i) +
                   ", expected % and two hex digits");
      }
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    if (forbidden.find(c) != std::string_view::npos) {
      return bad("a control character that is not allowed here is encoded at byte " +
                 std::to_string(i));
    }
    out.push_back(c);
  }
  return out;
}

constexpr std::string_view kLineBreakers("\0\r\n", 3);
constexpr std::string_view kNul("\0", 1);

/// The host and port of "host:port", "[::1]:port".
Result<void> read_authority(std::string_view authority, Url& url) {
  if (authority.find('@') != std::string_view::npos) {
    return bad("user information in a URL is not supported; use a header instead");
  }
  const SplitHostPort parts = split_host_port(authority);
  const std::string_view port = parts.port();
  if (parts.bracketed()) {
    if (!parts.host.ends_with(']') || parts.inside().size() < 2) {
      return bad("unclosed [ in the URL's host");
    }
    url.host = parts.inside();
    for (const char c : url.host) {
      if (hex_value(c) < 0 && c != ':' && c != '.') return bad("bad IPv6 address in the URL");
    }
    if (!parts.well_bracketed()) return bad("bytes behind ] in the URL");
  } else {
    url.host = parts.host;
    if (url.host.empty()) return bad("the URL has no host");
    if (url.host.size() > 253 || !all_class(url.host, kHost) ||
        url.host.find('%') != std::string::npos) {
      return bad("bad character in the URL's host");
    }
  }
  url.port = url.tls ? 443 : 80;
  if (port.empty()) return {};
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number == 0 || number > 65535) {
    return bad("bad port in the URL, expected 1 to 65535");
  }
  url.port = static_cast<uint16_t>(number);
  return {};
}

}  // namespace

Result<Url> parse_url(std::string_view text) {
  if (text.size() > kMaxUrlBytes) return bad("the URL is longer than 8192 bytes");
  Url url;
  const size_t scheme_end = text.find("://");
  const std::string_view scheme = text.substr(0, scheme_end);
  if (scheme_end == std::string_view::npos) {
    return bad("not an absolute URL, expected http:// or https://");
  }
  if (equals_ignoring_case(scheme, "https")) {
    url.tls = true;
  } else if (!equals_ignoring_case(scheme, "http")) {
    return bad("the URL's scheme is not http or https");
  }
  text.remove_prefix(scheme_end + 3);
  const size_t path_begin = std::min(text.find_first_of("/?#"), text.size());
  if (auto done = read_authority(text.substr(0, path_begin), url); !done) {
    return std::move(done).error();
  }
  std::string_view path = text.substr(path_begin);
  path = path.substr(0, path.find('#'));
  if (!all_class(path, kTarget)) {
    return bad("the URL's path has a character that must be percent-encoded");
  }
  if (path.empty() || path.front() != '/') url.path_and_query = "/";
  url.path_and_query.append(path);
  return url;
}

Result<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  return decode(text, plus_is_space, kLineBreakers);
}

std::string percent_encode(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool letter = lower(c) >= 'a' && lower(c) <= 'z';
    if (letter || is_class(c, kDigit) || c == '-' || c == '.' || c == '_' || c == '~') {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    }
  }
  return out;
}

Result<Query> parse_query(std::string_view text) {
  Query query;
  while (!text.empty()) {
    const size_t end = std::min(text.find('&'), text.size());
    const std::string_view pair = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (pair.empty()) continue;
    if (query.size() == kMaxPairs) {
      return Error{Code::too_large, Side::self, false, "more than 256 query parameters"};
    }
    const size_t equals = pair.find('=');
    auto name = decode(pair.substr(0, equals), true, kLineBreakers);
    if (!name) return std::move(name).error();
    auto value = equals == std::string_view::npos ? Result<std::string>(std::string())
                                                  : decode(pair.substr(equals + 1), true, kNul);
    if (!value) return std::move(value).error();
    query.emplace_back(std::move(name).value(), std::move(value).value());
  }
  return query;
}

std::string_view origin_form(std::string_view target) noexcept {
  if (target.empty() || target.front() == '/') return target;
  const size_t scheme_end = target.find("://");
  if (scheme_end == std::string_view::npos) return target;
  const size_t path = target.find_first_of("/?", scheme_end + 3);
  return path == std::string_view::npos ? std::string_view("/") : target.substr(path);
}

std::string_view target_path(std::string_view target) noexcept {
  const std::string_view origin = origin_form(target);
  const std::string_view path = origin.substr(0, origin.find('?'));
  return path.empty() && !target.empty() ? std::string_view("/") : path;
}

std::string_view target_query(std::string_view target) noexcept {
  const std::string_view origin = origin_form(target);
  const size_t mark = origin.find('?');
  return mark == std::string_view::npos ? std::string_view() : origin.substr(mark + 1);
}

}  // namespace hms::net
