// server_guard.h: what the small server refuses before a handler hears of it: by a request's head
// alone (a foreign page, an unknown path or method, an expectation, a body that is too long or
// coded in a way we do not know), and by a body that does not decode. Limits: ServerOptions.
// Thread: the loop's. Private to net/http.
#pragma once

#include <optional>
#include <string>

#include "net/http/message_head.h"
#include "net/http/route_table.h"
#include "net/http/server.h"

namespace hms::net {

struct ServerCore;

/// What the caller is told instead of an answer.
struct Refusal {
  int status = 0;
  std::string error_type;
  std::string sentence;
  Headers fields;
};

/// Everything that can be known before the body. Fills the request's path, query and parameters,
/// and finds its handler.
[[nodiscard]] std::optional<Refusal> refuse_by_head(const MessageHead& head, ServerCore& core,
                                                    bool on_loopback, Request& request,
                                                    RouteTable::HandlerPtr& handler);

/// Takes the body's Content-Encoding off, if the options say so.
[[nodiscard]] std::optional<Refusal> decode_body(Request& request, ServerCore& core);

[[nodiscard]] Refusal body_too_large(const ServerOptions& options);

}  // namespace hms::net
