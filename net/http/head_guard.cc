#include "net/http/head_guard.h"

#include <algorithm>
#include <cstddef>

#include "net/core/host_port.h"
#include "net/http/characters.h"

namespace hms::net {
namespace {

constexpr HttpFault fault(uint16_t status, std::string_view site) noexcept {
  return {status, site};
}

bool is_port(std::string_view text) noexcept { return text.size() <= 5 && all_class(text, kDigit); }

struct Authority {
  std::string_view host;  // with brackets, if any
  std::string_view port;  // may be empty
};

/// "host", "host:port", "[v6]:port". No user info, no list, no blanks. An empty host only when
/// `may_be_empty`.
std::optional<Authority> split_authority(std::string_view text, bool may_be_empty) noexcept {
  const SplitHostPort parts = split_host_port(text);
  if (parts.bracketed()) {
    if (!parts.well_bracketed() || parts.inside().size() < 2) return std::nullopt;
    for (const char c : parts.inside()) {
      const char l = lower(c);
      if (!is_class(c, kDigit) && !(l >= 'a' && l <= 'f') && c != ':' && c != '.') {
        return std::nullopt;
      }
    }
  } else {
    if (!all_class(parts.host, kHost)) return std::nullopt;
    if (parts.host.empty() && (!may_be_empty || parts.has_port())) return std::nullopt;
  }
  if (!is_port(parts.port())) return std::nullopt;
  return Authority{parts.host, parts.port()};
}

bool same_authority(const Authority& a, const Authority& b,
                    std::string_view default_port) noexcept {
  const auto port = [&](const Authority& x) { return x.port.empty() ? default_port : x.port; };
  return equals_ignoring_case(a.host, b.host) && port(a) == port(b);
}

/// The Host field: at most one, exactly one on HTTP/1.1, and nothing but an authority in it.
std::optional<HttpFault> check_host(const MessageHead& head,
                                    std::optional<Authority>& host) noexcept {
  bool seen = false;
  for (uint16_t i = 0; head.has(KnownHeader::host) && i < head.field_count; ++i) {
    if (head.fields[i].known != KnownHeader::host) continue;
    if (seen) return fault(400, "two_hosts");
    seen = true;
    host = split_authority(head.value(head.fields[i]), true);
    if (!host) return fault(400, "host");
  }
  if (!seen && head.version_minor >= 1) return fault(400, "no_host");
  return std::nullopt;
}

std::optional<HttpFault> check_absolute_form(std::string_view target,
                                             const std::optional<Authority>& host) noexcept {
  std::string_view default_port;
  std::string_view rest;
  if (target.size() > 7 && equals_ignoring_case(target.substr(0, 7), "http://")) {
    rest = target.substr(7);
    default_port = "80";
  } else if (target.size() > 8 && equals_ignoring_case(target.substr(0, 8), "https://")) {
    rest = target.substr(8);
    default_port = "443";
  } else {
    return fault(400, "target_form");
  }
  const auto authority = split_authority(rest.substr(0, rest.find_first_of("/?")), false);
  if (!authority) return fault(400, "target_authority");
  if (host && !same_authority(*authority, *host, default_port)) {
    return fault(400, "target_and_host_differ");
  }
  return std::nullopt;
}

std::optional<HttpFault> check_target(const MessageHead& head,
                                      const std::optional<Authority>& host) noexcept {
  const std::string_view target = head.target;
  if (target.empty()) return fault(400, "empty_target");
  if (!all_class(target, kTarget)) {
    const bool fragment = target.find('#') != std::string_view::npos;
    return fault(400, fragment ? "fragment" : "target_characters");
  }
  if (head.method == "CONNECT") {
    const auto authority = split_authority(target, false);
    return authority && !authority->port.empty() ? std::nullopt
                                                 : std::optional(fault(400, "connect_target"));
  }
  if (target.front() == '/') return std::nullopt;
  if (target == "*") {
    return head.method == "OPTIONS" ? std::nullopt : std::optional(fault(400, "target_form"));
  }
  return check_absolute_form(target, host);
}

/// The bytes of a start line are exactly what its parts say: no second blank, no leading line,
/// nothing behind the version.
std::optional<HttpFault> check_start_line(const MessageHead& head) noexcept {
  const std::string_view raw = head.raw;
  if (head.start_line_end < 2 || head.start_line_end > raw.size() ||
      raw.substr(head.start_line_end - 2, 2) != "\r\n") {
    return fault(400, "bare_lf");
  }
  if (head.version_minor > 1) return fault(505, "version_unsupported");
  const std::string_view version = head.version_minor == 1 ? "HTTP/1.1" : "HTTP/1.0";
  std::string_view line = raw.substr(0, head.start_line_end - 2);
  if (!head.is_request) {
    if (line.substr(0, 8) != version) return fault(400, "status_line");
    if (head.status < 100 || head.status > 999) return fault(400, "status");
    return is_field_value(line.substr(8)) ? std::nullopt : std::optional(fault(400, "reason"));
  }
  if (!is_token(head.method)) return fault(400, "method");
  if (line.size() != head.method.size() + head.target.size() + 10 ||
      line.substr(0, head.method.size()) != head.method || line[head.method.size()] != ' ' ||
      line.substr(head.method.size() + 1, head.target.size()) != head.target ||
      line.substr(line.size() - 9, 1) != " " || line.substr(line.size() - 8) != version) {
    return fault(400, "request_line");
  }
  return std::nullopt;
}

/// The fields cover everything between start line and empty line, each is "token:value CRLF".
std::optional<HttpFault> check_fields(const MessageHead& head) noexcept {
  const std::string_view raw = head.raw;
  size_t expected = head.start_line_end;
  for (uint16_t i = 0; i < head.field_count; ++i) {
    const HeaderField& field = head.fields[i];
    if (field.begin != expected || field.end > raw.size() ||
        field.end < size_t{field.begin} + field.name_length + 3) {
      return fault(400, "field_bounds");
    }
    const std::string_view name = head.name(field);
    if (name.empty()) return fault(400, "empty_field_name");
    if (name.front() == ' ' || name.front() == '\t') return fault(400, "obs_fold");
    // A known name was compared letter by letter when the head was split.
    if (field.known == KnownHeader::other && !is_token(name)) return fault(400, "field_name");
    if (raw[field.begin + field.name_length] != ':') return fault(400, "field_name");
    if (raw.substr(field.end - 2, 2) != "\r\n") return fault(400, "bare_lf");
    const size_t after_colon = size_t{field.begin} + field.name_length + 1;
    if (!is_field_value(raw.substr(after_colon, field.end - 2 - after_colon))) {
      return fault(400, "field_value");
    }
    if (field.value_begin < after_colon || field.value_end > field.end - 2 ||
        field.value_begin > field.value_end) {
      return fault(400, "field_bounds");
    }
    expected = field.end;
  }
  if (raw.substr(expected) != "\r\n") return fault(400, "head_end");
  return std::nullopt;
}

/// Each field of the head is looked for in the list: sixty thousand commas would cost tens of
/// milliseconds. Nobody names more than a few.
std::optional<HttpFault> check_connection(const MessageHead& head) noexcept {
  constexpr auto kMostMembers = 32;
  std::ptrdiff_t members = 0;
  for (uint16_t i = 0; head.has(KnownHeader::connection) && i < head.field_count; ++i) {
    if (head.fields[i].known != KnownHeader::connection) continue;
    const std::string_view list = head.value(head.fields[i]);
    members += 1 + std::count(list.begin(), list.end(), ',');
  }
  return members > kMostMembers ? std::optional(fault(400, "connection_members")) : std::nullopt;
}

/// Framing once more, from the fields alone (frame_head has its own reading of them).
std::optional<HttpFault> check_framing(const MessageHead& head) noexcept {
  const bool length = head.has(KnownHeader::content_length);
  if (!head.has(KnownHeader::transfer_encoding)) return std::nullopt;
  if (length) return fault(400, "length_and_transfer_encoding");
  if (head.version_minor == 0) return fault(400, "transfer_encoding_on_http_1_0");
  bool seen = false;
  for (uint16_t i = 0; i < head.field_count; ++i) {
    if (head.fields[i].known != KnownHeader::transfer_encoding) continue;
    if (seen) return fault(400, "two_transfer_encodings");
    seen = true;
    if (!equals_ignoring_case(head.value(head.fields[i]), "chunked")) {
      return fault(501, "transfer_encoding");
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<HttpFault> guard_head(const MessageHead& head) noexcept {
  if (auto broken = check_start_line(head)) return broken;
  if (auto broken = check_fields(head)) return broken;
  if (auto broken = check_connection(head)) return broken;
  if (auto broken = check_framing(head)) return broken;
  if (!head.is_request) return std::nullopt;
  std::optional<Authority> host;
  if (auto broken = check_host(head, host)) return broken;
  return check_target(head, host);
}

}  // namespace hms::net
