// head_split.h: cuts the raw bytes of a complete head into start line and fields (offsets only).
//
// Runs after the parser accepted the same bytes, and believes it in nothing: what does not have the
// exact shape "name:value CRLF" is refused here, and head_guard looks at every byte once more. Used
// by h1_codec.cc and by tests. Thread: any. No allocation.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "net/http/h1_codec.h"
#include "net/http/message_head.h"

namespace hms::net {

/// Fills everything of `head` but framing (head_framing.h). `raw` runs from the start line to the
/// empty line, inclusive. Faults: 431 for more than `max_fields` fields; 400 and 505 for the shape
/// of the lines.
[[nodiscard]] std::optional<HttpFault> split_head(std::string_view raw, bool is_request,
                                                  uint16_t max_fields, MessageHead& head) noexcept;

/// Sets the views of the start line again after the raw bytes moved.
void move_head(std::string_view new_raw, MessageHead& head) noexcept;

}  // namespace hms::net
