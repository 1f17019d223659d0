// stream_api.cc: the request's side of the live stream; the hub does the rest.
#include "collector/api/stream_api.h"

namespace hms::collector {
namespace {

constexpr size_t kMaxFilterBytes = 1024;

std::string parameter(const net::Request& request, std::string_view name) {
  const std::string* value = request.query_value(name);
  return value == nullptr ? std::string() : *value;
}

void answer(LiveHub& hub, const net::Request& request, const net::ReplyPtr& reply) {
  HubFilter filter{parameter(request, "service"), parameter(request, "route")};
  if (filter.service.size() > kMaxFilterBytes || filter.route.size() > kMaxFilterBytes) {
    net::send_error(*reply, 400, "bad_data", "service and route may have at most 1024 bytes");
    return;
  }
  std::string last(request.header("last-event-id"));
  if (last.empty()) last = parameter(request, "lastEventId");
  if (!hub.subscribe(reply, std::move(filter), last)) {
    net::send_error(*reply, 503, "unavailable",
                    "the live stream has as many subscribers as it may have; try again later",
                    {{"Retry-After", "5"}});
  }
}

}  // namespace

void register_stream_api(net::HttpServer& server, LiveHub& hub) {
  server.route("GET", "/ops/stream", [&hub](net::Request& request, const net::ReplyPtr& reply) {
    answer(hub, request, reply);
  });
}

}  // namespace hms::collector
