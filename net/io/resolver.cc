#include <uv.h>

#include <algorithm>
#include <utility>

#include "net/io/loop_impl.h"
#include "net/io/tcp.h"
#include "net/io/uv_error.h"

namespace hms::net {
namespace {

constexpr size_t kMostAddresses = 256;  // of one name

class UvResolver;

/// libuv's request; it may outlive the look-up.
struct LookUp {
  uv_getaddrinfo_t request{};
  UvResolver* owner = nullptr;
};

std::vector<SocketAddress> addresses_of(const addrinfo* list) {
  std::vector<SocketAddress> addresses;
  for (const addrinfo* item = list; item != nullptr && addresses.size() < kMostAddresses;
       item = item->ai_next) {
    if (item->ai_family != AF_INET && item->ai_family != AF_INET6) continue;
    const SocketAddress address(item->ai_addr, item->ai_addrlen);
    if (std::find(addresses.begin(), addresses.end(), address) == addresses.end())
      addresses.push_back(address);
  }
  return addresses;
}

class UvResolver final : public Resolver, private Deferred {
 public:
  UvResolver(Loop& loop, HostPort target, OnResolved on_resolved)
      : target_(std::move(target)), on_resolved_(std::move(on_resolved)) {
    const bool ip6 = target_.host.find(':') != std::string::npos;
    const std::string port = std::to_string(target_.port);
    if (auto literal = SocketAddress::parse(ip6 ? "[" + target_.host + "]:" + port
                                                : target_.host + ":" + port)) {
      at_once_ = std::vector<SocketAddress>{*literal};
      defer(loop);
      return;
    }
    start(loop, port);
  }

  ~UvResolver() override {
    if (look_up_ == nullptr) return;
    look_up_->owner = nullptr;
    uv_cancel(reinterpret_cast<uv_req_t*>(
        &look_up_->request));  // if it runs already, its answer is dropped
  }

 private:
  void start(Loop& loop, const std::string& port) {
    look_up_ = new LookUp;
    look_up_->owner = this;
    look_up_->request.data = look_up_;
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV;
    const int status = uv_getaddrinfo(loop.raw(), &look_up_->request, on_answer,
                                      target_.host.c_str(), port.c_str(), &hints);
    if (status == 0) return;
    delete std::exchange(look_up_, nullptr);
    at_once_ = failure(status);
    defer(loop);
  }

  static void on_answer(uv_getaddrinfo_t* request, int status, addrinfo* list) {
    auto* const look_up = static_cast<LookUp*>(request->data);
    UvResolver* const self = look_up->owner;
    delete look_up;
    auto addresses = addresses_of(list);
    uv_freeaddrinfo(list);
    if (self == nullptr) return;
    self->look_up_ = nullptr;
    if (status != 0 || addresses.empty()) {
      self->answer(self->failure(status != 0 ? status : UV_EAI_NODATA));
    } else {
      self->answer(std::move(addresses));
    }
  }

  void run_deferred() override { answer(std::move(at_once_)); }

  [[nodiscard]] Error failure(int status) const {
    Error error = uv_error(status, Side::upstream, target_.host);
    error.code = Code::resolve_failed;
    error.may_retry = true;
    return error;
  }

  void answer(Result<std::vector<SocketAddress>> result) {
    // The callback may destroy this.
    const OnResolved on_resolved = std::move(on_resolved_);
    on_resolved(std::move(result));
  }

  HostPort target_;
  OnResolved on_resolved_;
  Result<std::vector<SocketAddress>> at_once_ = std::vector<SocketAddress>{};
  LookUp* look_up_ = nullptr;
};

}  // namespace

std::unique_ptr<Resolver> Resolver::resolve(Loop& loop, const HostPort& target,
                                            OnResolved on_resolved) {
  return std::make_unique<UvResolver>(loop, target, std::move(on_resolved));
}

}  // namespace hms::net
