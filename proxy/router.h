// router.h: which route, and which side of its split, a request belongs to. First match in the
// order of the file wins.
//
// A split is sticky: the share of [0, 1) that a request falls on is a hash of its trace (or of a
// header), so all hops of a trace agree and nobody moves back as a canary grows. Thread: the
// worker's. No allocation.
#pragma once

#include <string_view>

#include "net/http/message_head.h"
#include "proxy/cluster/view.h"
#include "telemetry/trace_context.h"

namespace hms::proxy {

struct RouteQuery {
  bool outbound = false;
  std::string_view method;
  std::string_view host;  // without port
  std::string_view path;  // without query
};

/// nullptr if none matches.
[[nodiscard]] const RouteView* find_route(const View& view, const RouteQuery& query) noexcept;
/// Index of the upstream. The split is not empty.
[[nodiscard]] uint32_t pick_split(const RoutePlan& route, const net::MessageHead& head,
                                  const telemetry::TraceContext& trace) noexcept;

/// Host without port, of an absolute-form target or the Host field.
[[nodiscard]] std::string_view host_of(const net::MessageHead& head) noexcept;
/// Does a Via field hold `name`?
[[nodiscard]] bool via_names(const net::MessageHead& head, std::string_view name) noexcept;
/// "h2c" in an Upgrade field: never passed on, it would turn the connection into something we do
/// not read.
[[nodiscard]] bool upgrades_to_http2(std::string_view upgrade) noexcept;

}  // namespace hms::proxy
