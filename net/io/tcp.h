// tcp.h: TCP on libuv: listening, connecting, and name look-up.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/io/loop.h"
#include "net/io/stream.h"

namespace hms::net {

struct AcceptOptions {
  int backlog = 1024;
  bool reuse_port = false;  // one listener per worker on the same address
  bool defer_accept =
      false;  // TCP_DEFER_ACCEPT: the kernel hands over connections that have sent something
  bool leaves_some_descriptors = false;  // those that are kept back (descriptors.h)
  Millis pause_when_out_of_descriptors{
      100};  // EMFILE/ENFILE: accept rests this long instead of spinning
};

/// Accepts connections and hands each one over as a paused Stream (TCP_NODELAY set). Destroying it
/// stops listening.
class Acceptor {
 public:
  using OnAccept = std::function<void(std::unique_ptr<Stream>)>;
  /// Errors: Code::io with a sentence that names the address ("port in use", "not permitted").
  static Result<std::unique_ptr<Acceptor>> listen(Loop& loop, const SocketAddress& address,
                                                  const AcceptOptions& options, OnAccept on_accept);
  virtual ~Acceptor() = default;
  [[nodiscard]] virtual const SocketAddress& local() const noexcept = 0;  // the port that was bound
  [[nodiscard]] virtual uint64_t accept_pauses()
      const noexcept = 0;    // times it ran out of descriptors
  virtual void pause() = 0;  // stops accepting, keeps the socket: the backlog fills
  virtual void resume() = 0;
  /// AcceptOptions::defer_accept from now on.
  virtual void defer_accept(bool on) = 0;
  /// Before the end: further SYNs are ignored (their senders' kernels try again in a second, when
  /// the port is closed or another's), and what has begun is still accepted, deferred connections
  /// included. Closing some 100 ms later resets nobody.
  virtual void ignore_new() = 0;
};

/// One attempt to connect. Destroying it cancels the attempt and silences the callback.
class Connector {
 public:
  using OnConnect = std::function<void(Result<std::unique_ptr<Stream>>)>;
  /// The callback comes once, never from inside this call. Errors: connect_failed, connect_timeout,
  /// overloaded if it is we who have no descriptor or memory left (side upstream, may_retry).
  static std::unique_ptr<Connector> connect(Loop& loop, const SocketAddress& address,
                                            Millis timeout, OnConnect on_connect);
  virtual ~Connector() = default;
  /// The port it connects from; 0 if it is not known.
  [[nodiscard]] virtual uint16_t local_port() const noexcept { return 0; }
};

/// One name look-up (getaddrinfo on libuv's thread pool). Destroying it silences the callback. A
/// literal address answers in the next turn.
class Resolver {
 public:
  using OnResolved = std::function<void(Result<std::vector<SocketAddress>>)>;
  static std::unique_ptr<Resolver> resolve(Loop& loop, const HostPort& target,
                                           OnResolved on_resolved);
  virtual ~Resolver() = default;
};

}  // namespace hms::net
