#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "net/core/log.h"
#include "net/io/descriptors.h"
#include "net/io/loop_impl.h"
#include "net/io/tcp.h"
#include "net/io/tcp_stream.h"
#include "net/io/uv_error.h"

namespace hms::net {
namespace {

constexpr int kAcceptsPerTurn = 32;  // a burst of connections must not starve those that are open
constexpr int kDeferAcceptSeconds =
    5;  // then the kernel hands over (or drops) what has sent nothing

void set_option(int descriptor, int level, int name, int value) noexcept {
  setsockopt(descriptor, level, name, &value, sizeof(value));
}

Error listen_error(const SocketAddress& address, int number) {
  const std::string where = "cannot listen on " + address.to_string() + ": ";
  switch (number) {
    case EADDRINUSE:
      return Error{.code = Code::io, .detail = where + "the port is in use by another program"};
    case EACCES:
      return Error{
          .code = Code::io,
          .detail = where + "not permitted; ports below 1024 need the capability NET_BIND_SERVICE"};
    case EADDRNOTAVAIL:
      return Error{.code = Code::io, .detail = where + "this machine has no such address"};
    default:
      Error error = uv_error(-number, Side::self, "");
      error.detail = where + error.detail;
      error.code = Code::io;
      return error;
  }
}

/// A listening, non-blocking socket, or the errno negated.
int open_listener(const SocketAddress& address, const AcceptOptions& options) noexcept {
  const int descriptor =
      socket(address.raw()->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (descriptor < 0) return -errno;
  set_option(descriptor, SOL_SOCKET, SO_REUSEADDR, 1);
  if (options.reuse_port) set_option(descriptor, SOL_SOCKET, SO_REUSEPORT, 1);
  // Accepted sockets inherit it: one system call less per connection.
  set_option(descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
  if (options.defer_accept)
    set_option(descriptor, IPPROTO_TCP, TCP_DEFER_ACCEPT, kDeferAcceptSeconds);
  if (bind(descriptor, address.raw(), address.raw_length()) != 0 ||
      listen(descriptor, options.backlog) != 0) {
    const int number = errno;
    close(descriptor);
    return -number;
  }
  return descriptor;
}

/// Accepts by itself instead of through uv_listen: libuv answers EMFILE by accepting and closing
/// what waits, and without its spare descriptor it spins; here the connections wait in the backlog
/// until descriptors are free again.
class TcpAcceptor final : public Acceptor {
 public:
  TcpAcceptor(Loop& loop, int descriptor, const AcceptOptions& options, OnAccept on_accept)
      : loop_(loop),
        descriptor_(descriptor),
        options_(options),
        on_accept_(std::make_shared<OnAccept>(std::move(on_accept))),
        poll_(new uv_poll_t),
        rest_(loop, [this] { start(); }) {
    sockaddr_storage storage{};
    socklen_t length = sizeof(storage);
    getsockname(descriptor_, reinterpret_cast<sockaddr*>(&storage), &length);
    local_ = SocketAddress(reinterpret_cast<const sockaddr*>(&storage), length);
  }

  /// The result is libuv's status.
  int open() {
    const int status = uv_poll_init(loop_.raw(), poll_, descriptor_);
    if (status != 0) return status;
    initialised_ = true;
    poll_->data = this;
    start();
    return 0;
  }

  ~TcpAcceptor() override {
    if (alive_ != nullptr) *alive_ = false;
    if (initialised_) {
      poll_->data = nullptr;
      uv_close(reinterpret_cast<uv_handle_t*>(poll_),
               [](uv_handle_t* handle) { delete reinterpret_cast<uv_poll_t*>(handle); });
    } else {
      delete poll_;
    }
    close(descriptor_);
  }

  [[nodiscard]] const SocketAddress& local() const noexcept override { return local_; }
  [[nodiscard]] uint64_t accept_pauses() const noexcept override { return pauses_; }

  void pause() override {
    paused_ = true;
    uv_poll_stop(poll_);
  }

  void resume() override {
    paused_ = false;
    start();
  }

  void defer_accept(bool on) override {
    set_option(descriptor_, IPPROTO_TCP, TCP_DEFER_ACCEPT, on ? kDeferAcceptSeconds : 0);
  }

  void ignore_new() override {
    set_option(descriptor_, IPPROTO_TCP, TCP_DEFER_ACCEPT, 0);
    // On a listening socket a filter sees each segment from its TCP header on; byte 13 has the
    // flags. Children inherit it, and are never sent a SYN.
    sock_filter drop_syn[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x02, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
    };
    const sock_fprog program{.len = 4, .filter = drop_syn};
    setsockopt(descriptor_, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
  }

 private:
  void start() {
    if (paused_ || rest_.armed()) return;
    uv_poll_start(poll_, UV_READABLE, [](uv_poll_t* handle, int, int) {
      if (handle->data != nullptr) static_cast<TcpAcceptor*>(handle->data)->accept_some();
    });
  }

  void accept_some() {
    bool alive = true;
    alive_ = &alive;
    for (int i = 0; i < kAcceptsPerTurn && !paused_; ++i) {
      if (options_.leaves_some_descriptors && descriptors_are_short()) {
        rest(EMFILE);
        break;
      }
      sockaddr_storage storage{};
      socklen_t length = sizeof(storage);
      const int accepted = accept4(descriptor_, reinterpret_cast<sockaddr*>(&storage), &length,
                                   SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (accepted < 0) {
        if (!worth_another_try(errno)) break;
        continue;
      }
      note_new_descriptor(accepted);
      hand_over(accepted, SocketAddress(reinterpret_cast<const sockaddr*>(&storage), length));
      if (!alive) return;
    }
    alive_ = nullptr;
  }

  /// False: enough for this turn.
  bool worth_another_try(int number) {
    switch (number) {
      case EAGAIN:
        return false;
      case EINTR:
      case ECONNABORTED:  // the peer gave up while it waited
      case EPROTO:
        return true;
      default:
        break;
    }
    rest(number);
    return false;
  }

  /// Out of descriptors or memory, or something stranger: the backlog waits, we rest instead of
  /// spinning.
  void rest(int number) {
    ++pauses_;
    if (pauses_ == 1 || pauses_ % 100 == 0) {
      log_warn(
          "accept rests: out of descriptors or memory",
          {{"address", local_.to_string()}, {"error", uv_strerror(-number)}, {"pauses", pauses_}});
    }
    uv_poll_stop(poll_);
    rest_.arm(options_.pause_when_out_of_descriptors);
  }

  void hand_over(int accepted, const SocketAddress& peer) {
    auto stream = std::make_unique<TcpStream>(loop_, accepted, Side::downstream, peer);
    TcpNode* const node = stream->node();
    const auto on_accept = on_accept_;
    (*on_accept)(std::move(stream));
    // The node is alive until the end of the turn, even if the stream is gone already.
    if (node->owner() != nullptr) node->owner()->first_read();
  }

  Loop& loop_;
  int descriptor_;
  AcceptOptions options_;
  std::shared_ptr<OnAccept>
      on_accept_;    // shared with a call under way, which may destroy the acceptor
  uv_poll_t* poll_;  // freed by its close callback
  Timer rest_;
  SocketAddress local_;
  uint64_t pauses_ = 0;
  bool* alive_ = nullptr;  // of the accept_some under way: on_accept may destroy the acceptor
  bool initialised_ = false;
  bool paused_ = false;
};

}  // namespace

Result<std::unique_ptr<Acceptor>> Acceptor::listen(Loop& loop, const SocketAddress& address,
                                                   const AcceptOptions& options,
                                                   OnAccept on_accept) {
  const int descriptor = open_listener(address, options);
  if (descriptor < 0) return listen_error(address, -descriptor);
  auto acceptor = std::make_unique<TcpAcceptor>(loop, descriptor, options, std::move(on_accept));
  const int status = acceptor->open();
  if (status != 0) return listen_error(address, -status);
  return std::unique_ptr<Acceptor>(std::move(acceptor));
}

}  // namespace hms::net
