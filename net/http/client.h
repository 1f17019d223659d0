// client.h: the small HTTP/1.1 client: the exporter, notifiers, the configuration stream, tests.
// Not the proxy's data path.
//
// Keeps idle connections per origin (LIFO, at most 4, 30 s). A request on a reused connection that
// fails before any byte of the reply came is sent once more on a fresh one. Thread: the loop's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "net/core/result.h"
#include "net/http/server.h"
#include "net/http/url.h"
#include "net/io/tls_context.h"

namespace hms::net {

struct ClientRequest {
  std::string method = "GET";
  std::string url;  // absolute http:// or https:// URL
  Headers headers;  // Host, Content-Length and Connection are ours
  std::string body;
  Millis connect_timeout{2'000};
  Millis timeout{10'000};  // for the whole exchange; 0 = none (streams)
  uint64_t max_reply_bytes = 16ULL * 1024 * 1024;
};

struct ClientReply {
  int status = 0;
  Headers headers;
  std::string body;
};

/// One running exchange. Destroying it cancels and silences.
class ClientCall {
 public:
  virtual ~ClientCall() = default;
};

struct StreamCallbacks {
  std::function<void(int status, const Headers& headers)> on_head;
  std::function<void(std::string_view piece)> on_data;
  std::function<void(Result<void>)> on_end;  // once and last; never from inside `open_stream`
};

class HttpClient {
 public:
  /// `tls`: for https:// URLs (a client's settings); without it the system's authorities are
  /// believed and no certificate is shown.
  static std::unique_ptr<HttpClient> create(Loop& loop, std::shared_ptr<TlsSource> tls = nullptr);
  virtual ~HttpClient() = default;
  /// The callback comes once, never from inside this call. Any status is a success here; errors are
  /// about the exchange.
  [[nodiscard]] virtual std::unique_ptr<ClientCall> send(
      ClientRequest request, std::function<void(Result<ClientReply>)> callback) = 0;
  /// A reply without end, piece by piece (SSE).
  [[nodiscard]] virtual std::unique_ptr<ClientCall> open_stream(ClientRequest request,
                                                                StreamCallbacks callbacks) = 0;
};

}  // namespace hms::net
