// client_exchange.h: one request of the small client, from the name look-up to the last byte of the
// reply.
//
//   queued --pooled connection--> sending/receiving --> finished
//      \--look-up--> connecting (each address in turn) --/
//
// A reused connection that fails before the first byte of a reply leads back to `look-up`, once.
// Owner: HttpClientImpl; ends through Loop::retire, and only then calls back, so a callback may
// destroy anything. Private to net/http.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/http/client.h"
#include "net/http/client_pool.h"
#include "net/http/h1_codec.h"
#include "net/io/tcp.h"
#include "net/io/timer_wheel.h"
#include "net/io/tls_stream.h"

namespace hms::net {

/// The TLS side of a client; without a source given, one of the system's authorities is made for
/// the first https:// URL.
struct ClientTls {
  std::shared_ptr<TlsSource> source;
  Result<TlsContextPtr> context();
};

class ClientExchange final : public StreamHandler {
 public:
  /// `callbacks` get the reply in pieces; HttpClient::send collects them.
  ClientExchange(Loop& loop, ClientPool& pool, ClientTls& tls, ClientRequest request,
                 StreamCallbacks callbacks, std::function<void(ClientExchange*)> on_finished);
  ~ClientExchange();

  /// Begins in the next turn.
  void begin();
  /// Silent end.
  void cancel();

  void on_bytes(std::string_view bytes) override;
  void on_eof() override;
  void on_closed(const Error& error) override;

 private:
  void go();
  void resolve();
  void connect_next(Error last_error);
  void on_connect(Result<std::unique_ptr<Stream>> connected);
  void use(std::unique_ptr<Stream> stream, bool reused);
  [[nodiscard]] std::string request_text() const;
  void read(std::string_view input, bool at_eof);
  bool take_step(H1Codec::Step step);
  bool tell_head();
  void lost(Error error);
  void on_timeout();
  void complete(bool reusable);
  void finish(Result<void> outcome);

  Loop& loop_;
  ClientPool& pool_;
  ClientTls& tls_;
  TlsContextPtr tls_context_;  // null for http://
  ClientRequest request_;
  StreamCallbacks callbacks_;
  std::function<void(ClientExchange*)> on_finished_;
  Result<Url> url_;
  std::string origin_;    // as in Host
  std::string pool_key_;  // the origin with its scheme
  std::unique_ptr<Resolver> resolver_;
  std::unique_ptr<Connector> connector_;
  std::vector<SocketAddress> addresses_;
  size_t next_address_ = 0;
  std::unique_ptr<Stream> stream_;
  H1Codec codec_;
  uint64_t connect_until_ = 0;  // loop milliseconds
  uint64_t received_bytes_ = 0;
  bool reused_ = false;
  bool resent_ = false;
  bool saw_reply_ = false;
  bool keep_alive_ = false;
  bool finished_ = false;
  bool silenced_ = false;
  Timer start_timer_;
  Timer connect_timer_;
  Timer total_timer_;
};

}  // namespace hms::net
