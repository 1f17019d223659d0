#include <uv.h>

#include <utility>

#include "net/io/descriptors.h"
#include "net/io/tcp.h"
#include "net/io/tcp_stream.h"
#include "net/io/timer_wheel.h"
#include "net/io/uv_error.h"

namespace hms::net {
namespace {

class TcpConnector;

/// libuv's request; it may outlive the attempt.
struct Attempt {
  uv_connect_t request{};
  TcpConnector* owner = nullptr;
};

class TcpConnector final : public Connector, private Deferred {
 public:
  TcpConnector(Loop& loop, const SocketAddress& address, Millis timeout, OnConnect on_connect)
      : loop_(loop),
        address_(address),
        timeout_(timeout),
        on_connect_(std::move(on_connect)),
        timer_(loop, [this] { on_timeout(); }) {
    if (descriptors_are_short()) {
      failed_at_once_ = UV_EMFILE;
      defer(loop_);
      return;
    }
    node_ = TcpNode::make(loop);
    attempt_ = new Attempt;
    attempt_->owner = this;
    attempt_->request.data = attempt_;
    const int status =
        uv_tcp_connect(&attempt_->request, &node_->handle, address_.raw(), on_connected);
    if (status != 0) {
      delete std::exchange(attempt_, nullptr);
      failed_at_once_ = status;
      defer(loop_);
      return;
    }
    uv_os_fd_t descriptor = -1;
    if (uv_fileno(reinterpret_cast<const uv_handle_t*>(&node_->handle), &descriptor) == 0)
      note_new_descriptor(descriptor);
    timer_.arm(timeout_);
  }

  ~TcpConnector() override {
    if (attempt_ != nullptr) attempt_->owner = nullptr;
    if (node_ != nullptr) TcpNode::close(node_);
  }

  [[nodiscard]] uint16_t local_port() const noexcept override {
    sockaddr_storage storage{};
    int length = sizeof(storage);
    auto* const address = reinterpret_cast<sockaddr*>(&storage);
    if (node_ == nullptr || uv_tcp_getsockname(&node_->handle, address, &length) != 0) return 0;
    return SocketAddress(address, static_cast<socklen_t>(length)).port();
  }

 private:
  static void on_connected(uv_connect_t* request, int status) {
    auto* const attempt = static_cast<Attempt*>(request->data);
    TcpConnector* const self = attempt->owner;
    delete attempt;
    if (self == nullptr) return;
    self->attempt_ = nullptr;
    self->timer_.disarm();
    if (status != 0) {
      self->answer(self->failure(status));
      return;
    }
    auto stream = self->take_stream();
    if (stream->local() == self->address_) {
      stream->mark_for_reset();  // no TIME_WAIT: it would keep the port from the service that wants
                                 // it
      stream.reset();
      self->answer(self->connected_to_itself());
    } else {
      self->answer(std::move(stream));
    }
  }

  std::unique_ptr<Stream> take_stream() {
    uv_tcp_nodelay(&node_->handle, 1);
    auto stream =
        std::make_unique<TcpStream>(loop_, std::exchange(node_, nullptr), Side::upstream, address_);
    stream->first_read();  // the stream is paused: only ends its freshness
    return stream;
  }

  void on_timeout() {
    attempt_->owner = nullptr;
    attempt_ = nullptr;
    TcpNode::close(std::exchange(node_, nullptr));
    answer(Error{.code = Code::connect_timeout,
                 .side = Side::upstream,
                 .may_retry = true,
                 .detail = address_.to_string() + ": connect timed out after " +
                           std::to_string(timeout_.count()) + " ms"});
  }

  void run_deferred() override { answer(failure(failed_at_once_)); }

  [[nodiscard]] Error failure(int status) const {
    Error error = uv_error(status, Side::upstream, address_.to_string());
    // The kernel's own limit on SYN retries counts as our timeout.
    if (error.code == Code::timeout)
      error.code = Code::connect_timeout;
    else if (error.code != Code::overloaded)
      error.code = Code::connect_failed;
    error.may_retry = true;
    return error;
  }

  /// TCP's simultaneous open: with nobody listening, a port from the ephemeral range may be given
  /// to ourselves as our own end.
  [[nodiscard]] Error connected_to_itself() const {
    return Error{.code = Code::connect_failed,
                 .side = Side::upstream,
                 .may_retry = true,
                 .detail = address_.to_string() + ": nobody listens there (the socket met itself)"};
  }

  void answer(Result<std::unique_ptr<Stream>> result) {
    // The callback may destroy this.
    const OnConnect on_connect = std::move(on_connect_);
    on_connect(std::move(result));
  }

  Loop& loop_;
  SocketAddress address_;
  Millis timeout_;
  OnConnect on_connect_;
  Timer timer_;
  TcpNode* node_ = nullptr;
  Attempt* attempt_ = nullptr;
  int failed_at_once_ = 0;
};

}  // namespace

std::unique_ptr<Connector> Connector::connect(Loop& loop, const SocketAddress& address,
                                              Millis timeout, OnConnect on_connect) {
  return std::make_unique<TcpConnector>(loop, address, timeout, std::move(on_connect));
}

}  // namespace hms::net
