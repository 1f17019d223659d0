#include "net/http/server_guard.h"

#include <utility>

#include "net/http/characters.h"
#include "net/http/compress.h"
#include "net/http/server_connection.h"

namespace hms::net {
namespace {

enum class BodyCoding : uint8_t { identity, gzip, zstd, unknown };

BodyCoding body_coding(std::string_view value) {
  if (value.empty() || equals_ignoring_case(value, "identity")) return BodyCoding::identity;
  if (equals_ignoring_case(value, "gzip") || equals_ignoring_case(value, "x-gzip")) {
    return BodyCoding::gzip;
  }
  return equals_ignoring_case(value, "zstd") ? BodyCoding::zstd : BodyCoding::unknown;
}

Refusal bad_data(int status, std::string sentence, Headers fields = {}) {
  return {status, status == 413 ? "too_large" : "bad_data", std::move(sentence), std::move(fields)};
}

std::optional<Refusal> find_handler(const MessageHead& head, const RouteTable& routes,
                                    Request& request, RouteTable::HandlerPtr& handler) {
  const std::string_view raw_path = target_path(head.target);
  auto path = percent_decode(raw_path);
  if (!path) return bad_data(400, "path: " + path.error().detail);
  request.path = std::move(path).value();
  auto query = parse_query(target_query(head.target));
  if (!query) return bad_data(400, "query: " + query.error().detail);
  request.query = std::move(query).value();

  auto match = routes.find(head.method, raw_path);
  if (!match) return bad_data(400, "path: " + match.error().detail);
  if (match->handler == nullptr) {
    if (match->allow.empty()) return Refusal{404, "not_found", "no such path: " + request.path, {}};
    return bad_data(405,
                    "method " + request.method + " is not allowed here, expected " + match->allow,
                    {{"Allow", match->allow}});
  }
  handler = match->handler;
  request.path_parameters = std::move(match->parameters);
  return std::nullopt;
}

}  // namespace

std::optional<Refusal> refuse_by_head(const MessageHead& head, ServerCore& core, bool on_loopback,
                                      Request& request, RouteTable::HandlerPtr& handler) {
  if (auto why = foreign_page(head, core.options.browsers, on_loopback)) {
    ++core.counters.foreign_refused;
    return Refusal{403, "forbidden", std::move(*why), {}};
  }
  if (auto refusal = find_handler(head, core.routes, request, handler)) return refusal;

  const bool old_version = head.version_minor == 0;
  if (head.has(KnownHeader::expect) && !head.expects_continue && !old_version)
    return bad_data(417, "only Expect: 100-continue is understood");
  if (head.body == BodyKind::none) return std::nullopt;
  if (head.body == BodyKind::length && head.content_length > core.options.max_body_bytes) {
    ++core.counters.bodies_refused;
    return body_too_large(core.options);
  }
  if (core.options.decode_bodies &&
      body_coding(head.get(KnownHeader::content_encoding)) == BodyCoding::unknown) {
    ++core.counters.bodies_refused;
    return bad_data(415, "Content-Encoding is not one of gzip, zstd, identity",
                    {{"Accept-Encoding", "gzip, zstd"}});
  }
  return std::nullopt;
}

std::optional<Refusal> decode_body(Request& request, ServerCore& core) {
  if (!core.options.decode_bodies || request.body.empty()) return std::nullopt;
  const BodyCoding coding = body_coding(request.header("content-encoding"));
  if (coding != BodyCoding::gzip && coding != BodyCoding::zstd) return std::nullopt;
  auto decoded = coding == BodyCoding::gzip
                     ? gzip_decode(request.body, core.options.max_body_bytes)
                     : zstd_decode(request.body, core.options.max_body_bytes);
  if (decoded) {
    request.body = std::move(decoded).value();
    return std::nullopt;
  }
  ++core.counters.bodies_refused;
  return bad_data(decoded.error().code == Code::too_large ? 413 : 400, decoded.error().detail);
}

Refusal body_too_large(const ServerOptions& options) {
  return bad_data(413,
                  "the body is larger than " + std::to_string(options.max_body_bytes) + " bytes");
}

}  // namespace hms::net
