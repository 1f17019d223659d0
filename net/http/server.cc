#include "net/http/server.h"

#include <utility>
#include <vector>

#include "net/http/characters.h"
#include "net/http/reply_text.h"
#include "net/http/server_connection.h"
#include "net/io/tcp.h"
#include "net/io/tls_stream.h"

namespace hms::net {

std::string_view header_value(const Headers& headers, std::string_view name) noexcept {
  for (const auto& [key, value] : headers) {
    if (equals_ignoring_case(key, name)) return value;
  }
  return {};
}

const std::string* Request::query_value(std::string_view name) const noexcept {
  for (const auto& [key, value] : query) {
    if (key == name) return &value;
  }
  return nullptr;
}

void send_error(Reply& reply, int status, std::string_view error_type, std::string_view sentence,
                Headers extra) {
  reply.send(status, "application/json", error_body(error_type, sentence), std::move(extra));
}

namespace {

constexpr size_t kRefusedAtOnce = 64;  // beyond max_connections, while they read their 503

class HttpServerImpl final : public HttpServer {
 public:
  HttpServerImpl(Loop& loop, ServerOptions options)
      : core_(loop, options), drain_timer_(loop, [this] { end_drain(); }) {
    core_.on_connection_gone = [this] {
      if (core_.draining && core_.connections.empty()) drain_timer_.arm(Millis{0});
    };
  }

  ~HttpServerImpl() override {
    core_.on_connection_gone = nullptr;
    acceptors_.clear();
    // Perhaps from inside a handler: the connections stay until the end of the turn.
    for (auto& [connection, owner] : core_.connections) {
      connection->abandon();
      core_.loop.retire(std::move(owner));
    }
  }

  void route(std::string_view method, std::string_view pattern, Handler handler) override {
    core_.routes.add(method, pattern, std::move(handler));
  }

  void answer_all(Handler handler) override { core_.routes.answer_all(std::move(handler)); }

  Result<SocketAddress> listen(const SocketAddress& address) override {
    return listen(address, nullptr);
  }

  Result<SocketAddress> listen(const SocketAddress& address,
                               std::shared_ptr<TlsSource> tls) override {
    auto acceptor = Acceptor::listen(
        core_.loop, address, AcceptOptions(),
        [this, tls = std::move(tls), on_loopback = address.is_loopback()](
            std::unique_ptr<Stream> stream) { accept(std::move(stream), tls.get(), on_loopback); });
    if (!acceptor) return std::move(acceptor).error();
    const SocketAddress bound = (*acceptor)->local();
    acceptors_.push_back(std::move(acceptor).value());
    return bound;
  }

  void drain(Millis deadline, std::function<void()> done) override {
    core_.draining = true;
    on_drained_ = std::move(done);
    acceptors_.clear();
    for (ServerConnection* connection : open_connections()) connection->drain();
    drain_timer_.arm(core_.connections.empty() ? Millis{0} : deadline);
  }

  const ServerCounters& counters() const noexcept override { return core_.counters; }

 private:
  void accept(std::unique_ptr<Stream> stream, const TlsSource* tls, bool on_loopback) {
    make_room();
    const bool refused = core_.places_taken() >= core_.options.max_connections;
    ++(refused ? core_.counters.connections_refused : core_.counters.connections_accepted);
    if (refused) {
      if (tls != nullptr) return;  // a handshake only to say no would cost more than the request
      if (core_.refused_open >= kRefusedAtOnce) return stream->mark_for_reset();
    }
    if (tls != nullptr)
      stream =
          wrap_tls_server(core_.loop, std::move(stream), tls->get(), core_.options.header_timeout);
    auto connection = std::make_unique<ServerConnection>(core_, std::move(stream), on_loopback);
    ServerConnection* const raw = connection.get();
    core_.connections.emplace(raw, std::move(connection));
    core_.counters.connections_open = core_.connections.size();
    raw->start();
    if (refused) raw->refuse_connection();
  }

  /// For one more connection, if the server is full.
  void make_room() {
    if (core_.places_taken() < core_.options.max_connections) return;
    ServerConnection* const longest = core_.waiting.who_makes_room(
        core_.loop.now_millis(), core_.options.body_stalled,
        [](ServerConnection& connection, CallerWait wait) {
          // What it waits for may have come in this very turn. A head is not looked for: who is
          // still in its TLS handshake must not be safe.
          const bool may_have_come = wait == CallerWait::next_request || wait == CallerWait::body;
          return !connection.is_refused() && connection.has_sent_all() &&
                 !(may_have_come && !connection.is_silent());
        });
    if (longest == nullptr) return;
    ++core_.counters.connections_displaced;
    longest->drop();
  }

  std::vector<ServerConnection*> open_connections() const {
    std::vector<ServerConnection*> open;
    open.reserve(core_.connections.size());
    for (const auto& [connection, owner] : core_.connections) open.push_back(connection);
    return open;
  }

  void end_drain() {
    for (ServerConnection* connection : open_connections()) connection->drop();
    drain_timer_.disarm();
    if (auto done = std::exchange(on_drained_, nullptr)) done();
  }

  ServerCore core_;
  std::vector<std::unique_ptr<Acceptor>> acceptors_;
  std::function<void()> on_drained_;
  Timer drain_timer_;
};

}  // namespace

std::unique_ptr<HttpServer> HttpServer::create(Loop& loop, ServerOptions options) {
  return std::make_unique<HttpServerImpl>(loop, options);
}

}  // namespace hms::net
