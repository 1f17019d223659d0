// server.h: the small HTTP/1.1 server behind both programs' own interfaces (admin, collector API).
// Not the proxy's data path.
//
// Bodies are collected up to a bound, decoded (gzip, zstd) up to the same bound when asked, then
// handed to one handler. A handler answers at once or keeps its Reply and answers later (from the
// loop's thread); streaming replies (SSE) write as long as the peer reads. Pages of another origin
// are refused with 403 (browser_guard.h). Limits: ServerOptions.
// Crossing one answers 408, 413, 414, 431 or 503 with the API error body and counts it. Thread: the
// loop's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/core/result.h"
#include "net/http/browser_guard.h"
#include "net/http/url.h"
#include "net/io/loop.h"
#include "net/io/stream.h"
#include "net/io/tls_context.h"

namespace hms::net {

using Headers = std::vector<std::pair<std::string, std::string>>;
/// First value of a header, case-insensitive; empty if absent.
[[nodiscard]] std::string_view header_value(const Headers& headers, std::string_view name) noexcept;

struct Request {
  std::string method;
  std::string target;  // as sent
  std::string path;    // decoded
  Query query;
  Headers headers;
  std::string body;  // decoded from Content-Encoding when the server does that
  std::string peer;  // "127.0.0.1:51324"
  std::string
      peer_name;  // mutual TLS: the verified SPIFFE URI or DNS name of the caller; else empty
  std::vector<std::string> path_parameters;  // what the {…} of the route's pattern matched, decoded

  [[nodiscard]] std::string_view header(std::string_view name) const noexcept {
    return header_value(headers, name);
  }
  /// First value of a query parameter, or nullptr.
  [[nodiscard]] const std::string* query_value(std::string_view name) const noexcept;
};

/// The answer to one request. Shared so that it can be kept; used on the loop's thread only.
/// Dropping the last reference without an answer sends 500. After the peer has left every call is
/// harmless.
class Reply {
 public:
  virtual ~Reply() = default;
  /// A whole answer. Compressed with gzip if the caller accepts it and the body is larger than 1
  /// KiB, which costs the loop about 10 ms a MiB: large answers come compressed (accepts_gzip).
  /// Answered with 503 instead when too many bytes wait for slow readers already (ServerOptions).
  virtual void send(int status, std::string_view content_type, std::string body,
                    Headers extra = {}) = 0;
  /// Starts a streamed answer (chunked).
  virtual void start(int status, std::string_view content_type, Headers extra = {}) = 0;
  /// False when the peer is gone, or when more than `kMaxQueuedBytes` wait for a slow reader (the
  /// piece is dropped: close or skip).
  virtual bool write(std::string_view piece) = 0;
  virtual void finish() = 0;
  [[nodiscard]] virtual bool gone() const noexcept = 0;
  [[nodiscard]] virtual size_t queued_bytes() const noexcept = 0;
  /// Whether the caller takes gzip: for who compresses on another thread, and says so in
  /// Content-Encoding.
  [[nodiscard]] virtual bool accepts_gzip() const noexcept = 0;
  /// Called once if the peer leaves before the answer is complete.
  virtual void on_gone(std::function<void()> callback) = 0;
  static constexpr size_t kMaxQueuedBytes = 1024 * 1024;
};
using ReplyPtr = std::shared_ptr<Reply>;

/// {"status":"error","errorType":"bad_data","error":"..."} with that status: the error form of
/// every API.
void send_error(Reply& reply, int status, std::string_view error_type, std::string_view sentence,
                Headers extra = {});

struct ServerOptions {
  uint64_t max_body_bytes = 64ULL * 1024 * 1024;  // as sent and after decoding
  uint64_t max_buffered_bytes =
      512ULL * 1024 *
      1024;  // request bodies being collected, over all connections; beyond: 503 with Retry-After
  uint64_t max_queued_reply_bytes =
      256ULL * 1024 * 1024;         // answers not yet taken by their readers, over all connections
  uint32_t max_connections = 4096;  // beyond: who waits longest for its caller makes room
                                    // (waiting_callers.h); if nobody does, 503
  Millis header_timeout{10'000};
  Millis body_timeout{60'000};  // without progress
  Millis body_stalled{5'000};   // without progress: may have to make room
  Millis idle_timeout{75'000};
  BrowserRules browsers;
  bool decode_bodies = true;  // Content-Encoding gzip, zstd; unknown: 415
};

struct ServerCounters {
  uint64_t connections_accepted = 0, connections_refused = 0, requests = 0, bad_requests = 0,
           timeouts = 0, bodies_refused = 0, replies_refused = 0, foreign_refused = 0;
  uint64_t tls_failures = 0;           // callers whose handshake failed, or who broke TLS later
  uint64_t connections_displaced = 0;  // that made room for another
  uint64_t connections_open = 0;
  uint64_t queued_reply_bytes = 0;
};

class HttpServer {
 public:
  using Handler = std::function<void(Request&, const ReplyPtr&)>;

  static std::unique_ptr<HttpServer> create(Loop& loop, ServerOptions options);
  virtual ~HttpServer() = default;

  /// `pattern` is a path with {name} segments ("/api/traces/{id}"); a trailing "/*" matches any
  /// rest (path_parameters gets it). Literal segments win over {…}, and those over *. An unknown
  /// path gives 404, a known one with another method 405 with Allow.
  virtual void route(std::string_view method, std::string_view pattern, Handler handler) = 0;
  /// This handler answers every request, whatever its path and method, until it is set to null: for
  /// a program that listens before it is ready.
  virtual void answer_all(Handler handler) = 0;
  /// May be called more than once. The bound address is returned.
  virtual Result<SocketAddress> listen(const SocketAddress& address) = 0;
  /// The same over TLS: a server's settings. The source may be reloaded at any time: new
  /// connections get the new certificates.
  virtual Result<SocketAddress> listen(const SocketAddress& address,
                                       std::shared_ptr<TlsSource> tls) = 0;
  /// Stops accepting, lets running requests end (streamed replies are ended), then calls `done` (at
  /// the latest after `deadline`).
  virtual void drain(Millis deadline, std::function<void()> done) = 0;
  [[nodiscard]] virtual const ServerCounters& counters() const noexcept = 0;
};

}  // namespace hms::net
