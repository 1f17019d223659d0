// message_head.h: a parsed request or response head as offsets into its raw bytes.
//
// The raw bytes are the connection's receive buffer (or the codec's own copy when a head came in
// pieces): a head is a view and lives until the codec is asked for the next step, unless
// `H1Codec::keep_head` was called. Fields keep their case, order and duplicates; forwarding sends
// the runs between removed fields as slices (head_edit.h). Limits: 64 KiB of head, 128 fields (both
// configurable below these), 8 KiB request line. Thread: the loop's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace hms::net {

/// Fields that somebody asks for by name; found once, while parsing.
enum class KnownHeader : uint8_t {
  other,
  host,
  connection,
  content_length,
  transfer_encoding,
  te,
  trailer,
  upgrade,
  expect,
  keep_alive,
  proxy_connection,
  via,
  date,
  server,
  content_type,
  content_encoding,
  accept_encoding,
  authorization,
  cookie,
  user_agent,
  max_forwards,
  x_trace,
  traceparent,
  tracestate,
  b3,
  x_b3_traceid,
  x_b3_spanid,
  x_b3_parentspanid,
  x_b3_sampled,
  x_b3_flags,
  x_request_id,
  baggage,
  x_forwarded_for,
  x_forwarded_proto,
  x_forwarded_host,
  forwarded,
  x_hms_error,
  http2_settings,
  retry_after,
  idempotency_key,
  last_event_id,
  origin,
  count_,
};

/// Case-insensitive look-up of a header name; `other` if it is none of the above.
[[nodiscard]] KnownHeader known_header(std::string_view name) noexcept;

struct HeaderField {
  uint32_t begin = 0;        // offset of the name = begin of the line
  uint32_t end = 0;          // offset after the line's CRLF
  uint32_t value_begin = 0;  // blanks trimmed on both ends
  uint32_t value_end = 0;
  uint16_t name_length = 0;
  KnownHeader known = KnownHeader::other;
};

enum class BodyKind : uint8_t { none, length, chunked, until_close };

struct MessageHead {
  static constexpr size_t kMaxFields = 128;

  std::string_view raw;  // start line .. empty line, inclusive
  bool is_request = true;
  uint8_t version_minor = 1;    // HTTP/1.x
  uint16_t status = 0;          // responses
  std::string_view method;      // requests
  std::string_view target;      // requests: as sent
  std::string_view reason;      // responses: as sent
  uint32_t start_line_end = 0;  // offset after the start line's CRLF

  BodyKind body = BodyKind::none;
  uint64_t content_length = 0;      // with BodyKind::length
  bool has_content_length = false;  // HEAD and 304 replies carry one without a body
  bool keep_alive = true;           // what the sender's version and Connection say
  bool upgrade = false;  // Connection: upgrade with an Upgrade field (request), or status 101
  bool expects_continue = false;

  std::array<HeaderField, kMaxFields> fields;
  uint16_t field_count = 0;

  [[nodiscard]] std::string_view name(const HeaderField& f) const noexcept {
    return raw.substr(f.begin, f.name_length);
  }
  [[nodiscard]] std::string_view value(const HeaderField& f) const noexcept {
    return raw.substr(f.value_begin, f.value_end - f.value_begin);
  }
  /// The first field of that kind, or nullptr. O(1) for absent ones.
  [[nodiscard]] const HeaderField* find(KnownHeader known) const noexcept;
  /// Its value, or an empty view.
  [[nodiscard]] std::string_view get(KnownHeader known) const noexcept;
  [[nodiscard]] std::string_view get(std::string_view any_name) const noexcept;
  [[nodiscard]] bool has(KnownHeader known) const noexcept {
    return (present >> static_cast<unsigned>(known)) & 1U;
  }
  uint64_t present = 0;  // bit per KnownHeader seen
};
static_assert(static_cast<unsigned>(KnownHeader::count_) <= 64);

}  // namespace hms::net
