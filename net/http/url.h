// url.h: request targets, query strings, and absolute http(s) URLs. Decoding never yields NUL, CR
// or LF unnoticed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/core/result.h"

namespace hms::net {

struct Url {
  bool tls = false;
  std::string host;            // without brackets
  uint16_t port = 0;           // 80 or 443 when not given
  std::string path_and_query;  // at least "/"
};
/// http:// or https:// only; no user info, no fragment kept.
[[nodiscard]] Result<Url> parse_url(std::string_view text);

/// Percent-decodes; '+' is a blank when `plus_is_space`. Errors: bad_message on a broken escape,
/// and when NUL, CR or LF would come out.
[[nodiscard]] Result<std::string> percent_decode(std::string_view text, bool plus_is_space = false);
[[nodiscard]] std::string percent_encode(std::string_view text);

using Query = std::vector<std::pair<std::string, std::string>>;
/// "a=1&b=2", in order, duplicates kept; at most 256 pairs. Values may hold CR and LF (a PromQL
/// expression over several lines), names may not, and NUL is refused in both: bad_message; more
/// pairs: too_large.
[[nodiscard]] Result<Query> parse_query(std::string_view text);

/// The path and query of a request target, as sent to a service: "/" for an absolute form without
/// either. "*" and authority-form give themselves.
[[nodiscard]] std::string_view origin_form(std::string_view target) noexcept;
/// The path of a request target (origin- or absolute-form), without query: a view into it ("/" when
/// absolute-form has none). "*" and authority-form give themselves.
[[nodiscard]] std::string_view target_path(std::string_view target) noexcept;
[[nodiscard]] std::string_view target_query(std::string_view target) noexcept;

}  // namespace hms::net
