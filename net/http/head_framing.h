// head_framing.h: what follows a head: which kind of body, how long, and whether the connection may
// be used again (RFC 9112, section 6; RFC 9110, section 6.4.1). Decided here from the fields
// themselves, and compared with the parser's view by the codec: two readers that disagree are how
// requests get smuggled. Thread: any. No allocation.
#pragma once

#include <optional>
#include <string_view>

#include "net/http/h1_codec.h"
#include "net/http/message_head.h"

namespace hms::net {

/// What a reply answers: HEAD has no body, CONNECT may turn into a tunnel.
enum class RequestKind : uint8_t { ordinary, head, connect };

/// Fills body, content_length, has_content_length, keep_alive, upgrade and expects_continue.
/// Faults: 400, 501.
[[nodiscard]] std::optional<HttpFault> frame_head(RequestKind answers, MessageHead& head) noexcept;

/// True for field names that may not come in a trailer section: framing, routing, authentication,
/// request modifiers, response control, payload handling (RFC 9110, section 6.5.1), connection
/// fields and what a proxy vouches for.
[[nodiscard]] bool forbidden_in_trailers(std::string_view name) noexcept;

}  // namespace hms::net
