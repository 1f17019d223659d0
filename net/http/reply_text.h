// reply_text.h: the text of the server's replies: status lines, fields, the API's error body, and
// when to compress.
//
// No value breaks out of its line: controls become blanks, a field whose name is not a token is
// left out. Thread: any, except `date_text` (one cache per thread).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "net/http/server.h"

namespace hms::net {

[[nodiscard]] std::string_view status_reason(int status) noexcept;

/// "Sun, 06 Nov 1994 08:49:37 GMT" of now; made once a second.
[[nodiscard]] std::string_view date_text();

/// Adds "name: value CRLF".
void append_field(std::string& out, std::string_view name, std::string_view value);

/// Adds the caller's fields, without those that are the server's own (framing, Connection, Date,
/// Content-Type).
void append_extra_fields(std::string& out, const Headers& extra);

/// The error form of every API as JSON.
[[nodiscard]] std::string error_body(std::string_view error_type, std::string_view sentence);

/// True if the value of Accept-Encoding allows gzip (RFC 9110, section 12.5.3).
[[nodiscard]] bool accepts_gzip(std::string_view accept_encoding);

/// Pictures, fonts and archives are compressed already.
[[nodiscard]] bool is_worth_compressing(std::string_view content_type);

}  // namespace hms::net
