#include "net/http/client.h"

#include <unordered_map>
#include <utility>

#include "net/http/client_exchange.h"
#include "net/http/client_pool.h"

namespace hms::net {
namespace {

/// What the caller holds. The client may be destroyed first: then `exchange` is null.
class CallHandle final : public ClientCall {
 public:
  ~CallHandle() override {
    if (exchange != nullptr) exchange->cancel();
  }
  ClientExchange* exchange = nullptr;
};

/// Collects the pieces of a reply for `send`.
struct Collector {
  ClientReply reply;
  std::function<void(Result<ClientReply>)> callback;
};

class HttpClientImpl final : public HttpClient {
 public:
  HttpClientImpl(Loop& loop, std::shared_ptr<TlsSource> tls)
      : loop_(loop), dialer_{std::move(tls)}, pool_(loop) {}

  ~HttpClientImpl() override {
    // Perhaps from inside a callback: the exchanges stay until the end of the turn.
    auto running = std::move(running_);
    running_.clear();
    for (auto& [exchange, entry] : running) {
      entry.handle->exchange = nullptr;
      exchange->cancel();
      loop_.retire(std::move(entry.exchange));
    }
  }

  std::unique_ptr<ClientCall> send(ClientRequest request,
                                   std::function<void(Result<ClientReply>)> callback) override {
    auto collector = std::make_shared<Collector>();
    collector->callback = std::move(callback);
    StreamCallbacks callbacks;
    callbacks.on_head = [collector](int status, const Headers& headers) {
      collector->reply.status = status;
      collector->reply.headers = headers;
    };
    // The exchange ends itself at the bound; here nothing larger is ever collected.
    callbacks.on_data = [collector](std::string_view piece) {
      collector->reply.body.append(piece);
    };
    callbacks.on_end = [collector](Result<void> outcome) {
      if (outcome) {
        collector->callback(std::move(collector->reply));
      } else {
        collector->callback(std::move(outcome).error());
      }
    };
    return start(std::move(request), std::move(callbacks), true);
  }

  std::unique_ptr<ClientCall> open_stream(ClientRequest request,
                                          StreamCallbacks callbacks) override {
    return start(std::move(request), std::move(callbacks), false);
  }

 private:
  struct Entry {
    std::unique_ptr<ClientExchange> exchange;
    CallHandle* handle;
  };

  std::unique_ptr<ClientCall> start(ClientRequest request, StreamCallbacks callbacks,
                                    bool bounded) {
    if (!bounded) request.max_reply_bytes = UINT64_MAX;
    auto handle = std::make_unique<CallHandle>();
    auto exchange = std::make_unique<ClientExchange>(
        loop_, pool_, dialer_, std::move(request), std::move(callbacks),
        [this](ClientExchange* finished) { forget(finished); });
    ClientExchange* const raw = exchange.get();
    handle->exchange = raw;
    running_.emplace(raw, Entry{std::move(exchange), handle.get()});
    raw->begin();
    return handle;
  }

  void forget(ClientExchange* finished) {
    const auto place = running_.find(finished);
    if (place == running_.end()) return;
    place->second.handle->exchange = nullptr;
    loop_.retire(std::move(place->second.exchange));
    running_.erase(place);
  }

  Loop& loop_;
  ClientTls dialer_;
  ClientPool pool_;
  std::unordered_map<ClientExchange*, Entry> running_;
};

}  // namespace

std::unique_ptr<HttpClient> HttpClient::create(Loop& loop, std::shared_ptr<TlsSource> tls) {
  return std::make_unique<HttpClientImpl>(loop, std::move(tls));
}

}  // namespace hms::net
