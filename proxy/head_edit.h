// head_edit.h: which bytes of a head are forwarded, and which lines are added: the header rules of
// the proxy in one place.
//
// Forwarded as they came: name case, order, duplicates, reason phrase. Left out: hop-by-hop fields
// and what `Connection` names (never framing or Host), what vouches for something (x-forwarded-*
// unless trusted, x-hms-error), and what is written anew (x-trace, traceparent, framing). Nothing
// is rebuilt and nothing is allocated: the result is a list of slices of the head and of the
// AddedBlock. Thread: the worker's. docs/http.md has the table.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "net/http/message_head.h"
#include "proxy/gather.h"
#include "telemetry/trace_context.h"

namespace hms::proxy {

struct RequestEdit {
  const telemetry::TraceContext* trace = nullptr;
  bool outbound = false;         // the service's own call: its x-forwarded-* are its own business
  bool tls = false;              // the caller came over TLS: x-forwarded-proto is https
  bool trust_forwarded = false;  // incoming x-forwarded-* are appended to instead of replaced
  bool keep_upgrade = false;     // ask the service for the tunnel that the caller asked for
  std::string_view peer_ip;
  std::string_view via_line;   // "via: 1.1 name\r\n"
  std::string_view authority;  // of an absolute-form target, or what stands in for a missing Host;
                               // empty: Host stays as it is
};

/// Appends the edited request head, up to and with the empty line.
void add_request_head(const net::MessageHead& head, const RequestEdit& edit, AddedBlock& added,
                      Gather& out) noexcept;

enum class ReplyFraming : uint8_t { as_is, chunked, until_close };
struct ReplyEdit {
  std::string_view x_trace;  // empty on 1xx
  ReplyFraming framing = ReplyFraming::as_is;
  bool close = false;           // "Connection: close"
  bool say_keep_alive = false;  // "Connection: keep-alive": an HTTP/1.0 caller asked
  bool strip_own_error = true;  // x-hms-error of a service is not ours; on the outbound side it is
                                // another proxy's and stays
  bool upgrade = false;         // 101
};
void add_reply_head(const net::MessageHead& head, const ReplyEdit& edit, AddedBlock& added,
                    Gather& out) noexcept;

/// How many more hops an OPTIONS or TRACE may take (RFC 9110 7.6.2); nothing for other methods.
[[nodiscard]] std::optional<uint64_t> hops_left(const net::MessageHead& head) noexcept;

/// The authority of an absolute-form target, or an empty view.
[[nodiscard]] std::string_view authority_of(std::string_view target) noexcept;

}  // namespace hms::proxy
