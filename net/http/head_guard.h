// head_guard.h: second look at a request or response head before its bytes are forwarded.
//
// Why: header bytes are forwarded without re-encoding, so what the parser tolerates, the service
// behind us receives. Every version of llhttp lets some of these pass: no or two Host fields,
// double spaces, "#" in a target, Transfer-Encoding on HTTP/1.0 or with more than `chunked`,
// HTTP/0.9, leading CRLFs; 8.1 also folded lines and empty names (RFC 9112 sections 2.2,
// 3, 5.1, 5.2, 6.1). Thread: any. Cost: one pass, no allocation. Tests:
// tests/unit/net/http/head_guard_test.cc.
#pragma once

#include <optional>

#include "net/http/h1_codec.h"
#include "net/http/message_head.h"

namespace hms::net {

/// Nothing if the head may be forwarded; otherwise the status to answer with and the broken rule.
[[nodiscard]] std::optional<HttpFault> guard_head(const MessageHead& head) noexcept;

}  // namespace hms::net
