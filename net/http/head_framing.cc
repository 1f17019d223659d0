#include "net/http/head_framing.h"

#include <algorithm>
#include <array>

#include "net/http/characters.h"

namespace hms::net {
namespace {

constexpr HttpFault fault(uint16_t status, std::string_view site) noexcept {
  return {status, site};
}

/// Digits only: no sign, list, blank or overflow. 18 digits are 888 petabytes, enough to need no
/// overflow check.
bool parse_length(std::string_view text, uint64_t& length) noexcept {
  if (text.empty() || !all_class(text, kDigit)) return false;
  while (text.size() > 1 && text.front() == '0') text.remove_prefix(1);
  if (text.size() > 18) return false;
  length = 0;
  for (const char c : text) length = length * 10 + static_cast<uint64_t>(c - '0');
  return true;
}

/// One pass over the fields that frame. `chunked` and content_length are results.
std::optional<HttpFault> read_framing_fields(MessageHead& head, bool& chunked) noexcept {
  bool has_coding = false;
  for (uint16_t i = 0; i < head.field_count; ++i) {
    const HeaderField& field = head.fields[i];
    if (field.known == KnownHeader::content_length) {
      if (head.has_content_length) return fault(400, "two_content_lengths");
      if (!parse_length(head.value(field), head.content_length)) {
        return fault(400, "content_length");
      }
      head.has_content_length = true;
    } else if (field.known == KnownHeader::transfer_encoding) {
      if (has_coding) return fault(400, "two_transfer_encodings");
      has_coding = true;
      if (head.version_minor == 0) return fault(400, "transfer_encoding_on_http_1_0");
      if (!equals_ignoring_case(head.value(field), "chunked")) {
        return fault(501, "transfer_encoding");
      }
      chunked = true;
    }
  }
  if (chunked && head.has_content_length) return fault(400, "length_and_transfer_encoding");
  return std::nullopt;
}

void read_connection(MessageHead& head) noexcept {
  bool close = false;
  bool keep_alive = false;
  bool upgrade = false;
  if (head.has(KnownHeader::connection)) {
    for (uint16_t i = 0; i < head.field_count; ++i) {
      if (head.fields[i].known != KnownHeader::connection) continue;
      for_each_member(head.value(head.fields[i]), [&](std::string_view option) {
        close = close || equals_ignoring_case(option, "close");
        keep_alive = keep_alive || equals_ignoring_case(option, "keep-alive");
        upgrade = upgrade || equals_ignoring_case(option, "upgrade");
        return true;
      });
    }
  }
  head.keep_alive = !close && (head.version_minor >= 1 || keep_alive);
  if (head.is_request) {
    head.upgrade = upgrade && head.version_minor >= 1 && head.has(KnownHeader::upgrade);
  } else {
    head.upgrade = head.status == 101;
  }
}

bool reply_has_no_body(RequestKind answers, uint16_t status) noexcept {
  return answers == RequestKind::head || status < 200 || status == 204 || status == 304 ||
         (answers == RequestKind::connect && status < 300);
}

constexpr std::array<std::string_view, 28> kForbiddenTrailers = {
    "age",
    "cache-control",
    "content-range",
    "expires",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "location",
    "pragma",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "range",
    "set-cookie",
    "vary",
    "warning",
    "www-authenticate",
    "authentication-info",
    "http2-settings",
    "x-forwarded-port",
    "x-real-ip",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    "content-location",
    "early-data",
};

}  // namespace

std::optional<HttpFault> frame_head(RequestKind answers, MessageHead& head) noexcept {
  head.body = BodyKind::none;
  head.content_length = 0;
  head.has_content_length = false;
  bool chunked = false;
  if (auto broken = read_framing_fields(head, chunked)) return broken;
  read_connection(head);
  head.expects_continue = head.is_request && head.version_minor >= 1 &&
                          head.has(KnownHeader::expect) &&
                          equals_ignoring_case(head.get(KnownHeader::expect), "100-continue");

  if (!head.is_request && reply_has_no_body(answers, head.status)) {
    // A coding on a status that never has a body is a server that will send one all the same.
    if (chunked && (head.status < 200 || head.status == 204)) {
      return fault(400, "transfer_encoding_without_body");
    }
    return std::nullopt;
  }
  if (chunked) {
    head.body = BodyKind::chunked;
  } else if (head.has_content_length) {
    head.body = head.content_length == 0 ? BodyKind::none : BodyKind::length;
  } else if (!head.is_request) {
    head.body = BodyKind::until_close;
    head.keep_alive = false;
  }
  if (head.is_request && head.method == "CONNECT" && head.body != BodyKind::none) {
    return fault(400, "connect_with_body");
  }
  return std::nullopt;
}

bool forbidden_in_trailers(std::string_view name) noexcept {
  switch (known_header(name)) {
    case KnownHeader::other:
      return std::any_of(kForbiddenTrailers.begin(), kForbiddenTrailers.end(),
                         [&](std::string_view f) { return equals_ignoring_case(f, name); });
    case KnownHeader::server:
    case KnownHeader::user_agent:
    case KnownHeader::baggage:
    case KnownHeader::x_request_id:
    case KnownHeader::idempotency_key:
    case KnownHeader::last_event_id:
      return false;
    case KnownHeader::host:
    case KnownHeader::connection:
    case KnownHeader::content_length:
    case KnownHeader::transfer_encoding:
    case KnownHeader::te:
    case KnownHeader::trailer:
    case KnownHeader::upgrade:
    case KnownHeader::expect:
    case KnownHeader::keep_alive:
    case KnownHeader::proxy_connection:
    case KnownHeader::via:
    case KnownHeader::date:
    case KnownHeader::content_type:
    case KnownHeader::content_encoding:
    case KnownHeader::accept_encoding:
    case KnownHeader::authorization:
    case KnownHeader::cookie:
    case KnownHeader::max_forwards:
    case KnownHeader::x_trace:
    case KnownHeader::traceparent:
    case KnownHeader::tracestate:
    case KnownHeader::b3:
    case KnownHeader::x_b3_traceid:
    case KnownHeader::x_b3_spanid:
    case KnownHeader::x_b3_parentspanid:
    case KnownHeader::x_b3_sampled:
    case KnownHeader::x_b3_flags:
    case KnownHeader::x_forwarded_for:
    case KnownHeader::x_forwarded_proto:
    case KnownHeader::x_forwarded_host:
    case KnownHeader::forwarded:
    case KnownHeader::x_hms_error:
    case KnownHeader::http2_settings:
    case KnownHeader::retry_after:
    case KnownHeader::origin:
    case KnownHeader::count_:
      return true;
  }
  return true;
}

}  // namespace hms::net
