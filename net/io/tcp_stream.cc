#include "net/io/tcp_stream.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>

#include "net/core/check.h"
#include "net/io/uv_error.h"

namespace hms::net {
namespace {

// What an idle connection costs in this process, besides the kernel's socket.
static_assert(sizeof(TcpNode) <= 264);
static_assert(sizeof(TcpStream) <= 120);

constexpr size_t kSlicesPerCall = 64;
constexpr uint8_t kMostDoublings = 3;
static_assert(TcpStream::kLeastRead << kMostDoublings == Loop::kSlabBytes);

}  // namespace

// === TcpNode

TcpNode* TcpNode::make(Loop& loop) {
  auto* node = new TcpNode;
  node->initialise(loop);
  return node;
}

void TcpNode::initialise(Loop& loop) {
  void* const kept = handle.data;
  HMS_ENSURE(uv_tcp_init(loop.raw(), &handle) == 0);  // without a socket it cannot fail
  handle.data = kept;
}

void TcpNode::close(TcpNode* node) noexcept {
  node->set_owner(nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&node->handle),
           [](uv_handle_t* closed) { delete of(closed); });
}

// === TcpStream

TcpStream::TcpStream(Loop& loop, TcpNode* node, Side side, const SocketAddress& peer)
    : loop_(loop), node_(node), side_(side), peer_(peer) {
  node_->set_owner(this);
}

TcpStream::TcpStream(Loop& loop, int accepted, Side side, const SocketAddress& peer)
    : TcpStream(loop, new TcpNode, side, peer) {
  own_descriptor_ = accepted;
}

TcpStream::~TcpStream() {
  if (in_burst_ != 0) loop_.impl().burst.send();
  if (reset_on_close_) {
    const linger now{.l_onoff = 1, .l_linger = 0};
    setsockopt(descriptor(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  }
  if (own_descriptor_ < 0) {
    TcpNode::close(node_);
    return;
  }
  close(own_descriptor_);
  node_->set_owner(nullptr);
  loop_.retire(std::unique_ptr<TcpNode>(node_));  // somebody up the stack may look at it
}

/// Once, when epoll is needed. The result is libuv's status.
int TcpStream::give_to_libuv() noexcept {
  if (own_descriptor_ < 0) return 0;
  node_->initialise(loop_);
  const int status = uv_tcp_open(&node_->handle, own_descriptor_);
  if (status != 0) close(own_descriptor_);
  own_descriptor_ = -1;
  return status;
}

int TcpStream::descriptor() const noexcept {
  if (own_descriptor_ >= 0) return own_descriptor_;
  uv_os_fd_t descriptor = -1;
  uv_fileno(reinterpret_cast<const uv_handle_t*>(&node_->handle), &descriptor);
  return descriptor;
}

const SocketAddress& TcpStream::local() const noexcept {
  std::unique_ptr<SocketAddress>& known = node_->local;
  if (known == nullptr) {
    sockaddr_storage storage{};
    socklen_t length = sizeof(storage);
    const bool told =
        getsockname(descriptor(), reinterpret_cast<sockaddr*>(&storage), &length) == 0;
    known =
        told ? std::make_unique<SocketAddress>(reinterpret_cast<const sockaddr*>(&storage), length)
             : std::make_unique<SocketAddress>();
  }
  return *known;
}

std::optional<SocketAddress> TcpStream::original_destination() const noexcept {
  constexpr int kOriginalDestination = 80;  // SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST
  sockaddr_storage storage{};
  socklen_t length = sizeof(storage);
  // A listener on [::] has IPv4 callers, too, whose destination is asked for as IPv4.
  const bool v4 = local().raw()->sa_family == AF_INET || (local().raw()->sa_family == AF_INET6 &&
                                                          local().ip_text().starts_with("::ffff:"));
  if (getsockopt(descriptor(), v4 ? SOL_IP : SOL_IPV6, kOriginalDestination, &storage, &length) !=
      0)
    return std::nullopt;
  const SocketAddress original(reinterpret_cast<const sockaddr*>(&storage), length);
  if (original == local()) return std::nullopt;  // came to us on its own account
  return original;
}

// --- reading

bool TcpStream::wants_bytes() const noexcept {
  return pauses_ == 0 && handler_ != nullptr && ending_ == Ending::none;
}

void TcpStream::set_handler(StreamHandler* handler) {
  handler_ = handler;
  if (!fresh_) start_or_stop_reading();
}

void TcpStream::pause_reading() {
  ++pauses_;
  read_doublings_ = 0;  // what is read goes to somebody slower
}

void TcpStream::resume_reading() {
  HMS_ENSURE(pauses_ > 0);
  --pauses_;
  if (!fresh_) start_or_stop_reading();
}

void TcpStream::start_or_stop_reading() {
  if (!wants_bytes() || eof_delivered_) return;
  if (eof_pending_) {
    defer(loop_);
    return;
  }
  if (reading_) return;
  int status = give_to_libuv();
  if (status == 0) status = uv_read_start(node_->stream(), on_alloc, on_read);
  if (status == 0) {
    reading_ = true;
  } else {
    fail_later(status);
  }
}

void TcpStream::first_read() {
  fresh_ = false;
  if (!wants_bytes()) {
    start_or_stop_reading();
    return;
  }
  const std::span<char> room = read_room();
  const ssize_t count = recv(descriptor(), room.data(), room.size(), MSG_DONTWAIT);
  TcpNode* const node = node_;
  if (count > 0) {
    deliver({room.data(), static_cast<size_t>(count)});
    if (node->owner() == nullptr) return;
  } else if (count == 0) {
    deliver_eof();
    return;
  }
  start_or_stop_reading();  // errors come again through libuv
}

void TcpStream::on_alloc(uv_handle_t* handle, size_t, uv_buf_t* buffer) {
  TcpStream* const self = TcpNode::of(handle)->owner();
  // No buffer: libuv calls on_read with UV_ENOBUFS, and the bytes stay in the socket.
  *buffer = uv_buf_init(nullptr, 0);
  if (self == nullptr || !self->wants_bytes()) return;
  if (self->had_its_share()) return;
  const std::span<char> room = self->read_room();
  *buffer = uv_buf_init(room.data(), static_cast<unsigned>(room.size()));
}

std::span<char> TcpStream::read_room() noexcept {
  return loop_.slab().first(kLeastRead << read_doublings_);
}

bool TcpStream::had_its_share() noexcept {
  auto& now = loop_.impl().reading;
  if (now.stream == this && now.turn == loop_.impl().turn) return now.bytes >= kBytesPerTurn;
  now = {this, loop_.impl().turn, 0};
  return false;
}

void TcpStream::on_read(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
  TcpStream* const self = TcpNode::of(stream)->owner();
  if (self == nullptr || count == 0) return;
  if (count > 0) {
    const auto bytes = static_cast<size_t>(count);
    self->loop_.impl().reading.bytes += bytes;  // on_alloc has made it ours
    if (bytes == buffer->len && self->read_doublings_ < kMostDoublings) ++self->read_doublings_;
    self->deliver({buffer->base, bytes});
  } else if (count == UV_ENOBUFS && buffer->base == nullptr) {
    self->on_unwanted();
  } else if (count == UV_EOF) {
    self->reading_ = false;  // libuv stopped by itself
    // libuv calls a hang-up behind the last bytes an end, also if it was a reset.
    if (const int error = self->pending_error(); error != 0)
      self->fail_now(error);
    else
      self->deliver_eof();
  } else {
    uv_read_stop(stream);
    self->reading_ = false;
    self->fail_now(static_cast<int>(count));
  }
}

/// libuv's number of an error that the socket holds, or 0.
int TcpStream::pending_error() const noexcept {
  int error = 0;
  socklen_t length = sizeof(error);
  getsockopt(descriptor(), SOL_SOCKET, SO_ERROR, &error, &length);
  return -error;
}

void TcpStream::fail_now(int status) {
  if (fault_ == 0) fault_ = status;
  ending_ = Ending::fault;
  cancel();
  report_closed(uv_error(fault_, side_, peer_.to_string()));
}

/// Bytes (or an end, or an error) wait in the socket and nobody wants them now.
void TcpStream::on_unwanted() {
  if (wants_bytes()) return;  // had its share of this turn: epoll, level-triggered, brings it back
  uv_read_stop(node_->stream());
  reading_ = false;
  // A pause holds back bytes, not the news that the connection is gone.
  char byte = 0;
  const ssize_t seen = recv(descriptor(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (seen < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) fail_later(-errno);
}

void TcpStream::deliver(std::string_view bytes) {
  loop_.impl().stay_awake();
  loop_.impl().burst.begin();
  bytes_read_ += bytes.size();
  handler_->on_bytes(bytes);
}

void TcpStream::deliver_eof() {
  if (!wants_bytes()) {
    eof_pending_ = true;
    return;
  }
  eof_pending_ = false;
  eof_delivered_ = true;
  TcpNode* const node = node_;
  handler_->on_eof();
  if (node->owner() != nullptr) check_both_ended();
}

void TcpStream::check_both_ended() {
  if (!eof_delivered_ || !fin_sent_ || ending_ != Ending::none) return;
  ending_ = Ending::both_directions;
  defer(loop_);
}

// --- writing

void TcpStream::write(std::span<const std::string_view> slices) {
  if (ending_ != Ending::none) return;
  size_t total = 0;
  for (const std::string_view slice : slices) total += slice.size();
  if (total == 0) return;
  if (shutdown_asked_) {
    fail_later(UV_ESHUTDOWN);
    return;
  }
  if (node_->queue == nullptr && loop_.impl().burst.hold(*this, slices, total)) {
    in_burst_ = 1;
    bytes_accepted_ += total;
    return;
  }
  if (in_burst_ != 0) loop_.impl().burst.send();
  if (ending_ != Ending::none) return;
  const size_t sent = node_->queue == nullptr ? try_write(slices, total) : 0;
  bytes_accepted_ += ending_ == Ending::none ? total : sent;
  if (ending_ != Ending::none) return;
  if (sent < total) enqueue(slices, sent);
}

void TcpStream::send_held(std::string_view bytes) {
  in_burst_ = 0;
  const std::span<const std::string_view> one(&bytes, 1);
  const bool may_write = ending_ == Ending::none && node_->queue == nullptr;
  const size_t sent = may_write ? try_write(one, bytes.size()) : 0;
  if (ending_ != Ending::none)
    bytes_accepted_ -= bytes.size() - sent;
  else if (sent < bytes.size())
    enqueue(one, sent);
}

/// Bytes taken, or libuv's number of a fault.
int TcpStream::write_now(std::span<const uv_buf_t> buffers) noexcept {
  if (own_descriptor_ < 0)
    return uv_try_write(node_->stream(), buffers.data(), static_cast<unsigned>(buffers.size()));
  static_assert(sizeof(uv_buf_t) == sizeof(iovec) &&
                offsetof(uv_buf_t, base) == offsetof(iovec, iov_base) &&
                offsetof(uv_buf_t, len) == offsetof(iovec, iov_len));  // libuv promises it
  ssize_t taken = 0;
  do {
    taken = writev(own_descriptor_, reinterpret_cast<const iovec*>(buffers.data()),
                   static_cast<int>(buffers.size()));
  } while (taken < 0 && errno == EINTR);
  return taken < 0 ? uv_translate_sys_error(errno) : static_cast<int>(taken);
}

/// Returns how many bytes the socket took.
size_t TcpStream::try_write(std::span<const std::string_view> slices, size_t total) {
  // libuv's lengths are unsigned int and its result an int: a giant slice goes through the queue.
  constexpr size_t kLongestSlice = 256 * 1024 * 1024;
  size_t sent = 0;
  for (size_t at = 0; at < slices.size() && sent < total;) {
    std::array<uv_buf_t, kSlicesPerCall> buffers;
    unsigned count = 0;
    size_t offered = 0;
    for (; at < slices.size() && count < kSlicesPerCall; ++at) {
      const std::string_view slice = slices[at];
      if (slice.empty()) continue;
      if (offered + slice.size() > kLongestSlice) break;
      // libuv takes char* but only reads.
      buffers[count++] =
          uv_buf_init(const_cast<char*>(slice.data()), static_cast<unsigned>(slice.size()));
      offered += slice.size();
    }
    if (count == 0) return sent;
    const int taken = write_now(std::span(buffers).first(count));
    if (taken == UV_EAGAIN) return sent;
    if (taken < 0) {
      fail_later(taken);
      return sent;
    }
    sent += static_cast<size_t>(taken);
    if (static_cast<size_t>(taken) < offered) return sent;
  }
  return sent;
}

void TcpStream::enqueue(std::span<const std::string_view> slices, size_t skip) {
  if (node_->queue == nullptr) node_->queue = std::make_unique<WriteQueue>(loop_.impl().chunks);
  for (const std::string_view slice : slices) {
    const size_t skipped = std::min(skip, slice.size());
    skip -= skipped;
    node_->queue->append(slice.substr(skipped));
  }
  if (!node_->queue->in_flight()) submit();
  if (queued_bytes() > kHighWatermark) above_high_ = true;
}

void TcpStream::submit() {
  int status = give_to_libuv();
  if (status == 0) status = node_->queue->submit(node_->stream(), on_written);
  if (status != 0) fail_later(status);
}

void TcpStream::on_written(uv_write_t* request, int status) {
  TcpNode* const node = TcpNode::of(request->handle);
  node->queue->release_in_flight();
  if (node->owner() != nullptr) node->owner()->finish_written(status);
}

void TcpStream::finish_written(int status) {
  if (status != 0) {
    fail_later(status);
    return;
  }
  if (ending_ != Ending::none) return;
  if (node_->queue->waiting_bytes() > 0) {
    submit();
  } else {
    node_->queue.reset();
    if (shutdown_asked_) send_fin();
  }
  if (above_high_ && queued_bytes() <= kLowWatermark) {
    above_high_ = false;
    if (handler_ != nullptr && ending_ == Ending::none) handler_->on_writable();
  }
}

size_t TcpStream::queued_bytes() const noexcept {
  if (node_->queue == nullptr || ending_ != Ending::none) return 0;
  // libuv's count falls while a write is under way, ours only at its end.
  return node_->queue->waiting_bytes() + uv_stream_get_write_queue_size(node_->stream());
}

uint64_t TcpStream::bytes_written() const noexcept { return bytes_accepted_ - queued_bytes(); }

uint64_t TcpStream::bytes_acknowledged() noexcept {
  if (in_burst_ != 0) loop_.impl().burst.send();
  int unacknowledged = 0;  // of what the kernel has (tcp(7), SIOCOUTQ)
  if (ioctl(descriptor(), SIOCOUTQ, &unacknowledged) != 0) return bytes_written();
  return bytes_written() - std::min(bytes_written(), static_cast<uint64_t>(unacknowledged));
}

void TcpStream::watch_peer() noexcept {
  // A closed socket answers with an acknowledgement until its kernel forgets it (tcp_fin_timeout,
  // 60 s), then with a reset.
  constexpr int kOn = 1, kIdleSeconds = 15, kSecondsBetween = 15, kUnanswered = 4;
  setsockopt(descriptor(), IPPROTO_TCP, TCP_KEEPIDLE, &kIdleSeconds, sizeof kIdleSeconds);
  setsockopt(descriptor(), IPPROTO_TCP, TCP_KEEPINTVL, &kSecondsBetween, sizeof kSecondsBetween);
  setsockopt(descriptor(), IPPROTO_TCP, TCP_KEEPCNT, &kUnanswered, sizeof kUnanswered);
  setsockopt(descriptor(), SOL_SOCKET, SO_KEEPALIVE, &kOn, sizeof kOn);
}

void TcpStream::shutdown_write() {
  if (shutdown_asked_) return;
  if (in_burst_ != 0) loop_.impl().burst.send();
  shutdown_asked_ = true;
  if (ending_ == Ending::none && node_->queue == nullptr) send_fin();
}

void TcpStream::send_fin() {
  fin_sent_ = true;
  // A failure means that the peer is gone: the read side says so.
  ::shutdown(descriptor(), SHUT_WR);
  check_both_ended();
}

// --- ending

/// Writing is over; what the peer had sent before is still delivered, then the fault.
void TcpStream::fail_later(int status) {
  if (ending_ != Ending::none) return;
  bytes_accepted_ -= queued_bytes();  // dropped
  fault_ = status;
  ending_ = Ending::fault;
  if (reading_) {
    uv_read_stop(node_->stream());
    reading_ = false;
  }
  defer(loop_);
}

void TcpStream::run_deferred() {
  switch (ending_) {
    case Ending::none:
      if (eof_pending_) deliver_eof();
      return;
    case Ending::fault:
      if (read_the_rest()) report_closed(uv_error(fault_, side_, peer_.to_string()));
      return;
    case Ending::both_directions:
      report_closed(Error{.code = Code::closed,
                          .side = side_,
                          .detail = peer_.to_string() + ": closed by both sides"});
      return;
    case Ending::gone:
      return;
  }
}

/// After a write fault: a peer that answered early and closed has its answer read before the fault
/// is told. True when done; false when the stream is destroyed or the rest waits for the next turn.
bool TcpStream::read_the_rest() {
  TcpNode* const node = node_;
  for (size_t read = 0; read < kBytesPerTurn; read += kLeastRead) {
    if (pauses_ > 0 || handler_ == nullptr || eof_delivered_) return true;
    const std::span<char> room = loop_.slab().first(kLeastRead);
    const ssize_t count = recv(descriptor(), room.data(), room.size(), MSG_DONTWAIT);
    if (count <= 0) return true;
    deliver({room.data(), static_cast<size_t>(count)});
    if (node->owner() == nullptr) return false;
  }
  defer(loop_);
  return false;
}

void TcpStream::report_closed(const Error& error) {
  ending_ = Ending::gone;
  StreamHandler* const handler = handler_;
  handler_ = nullptr;
  if (handler != nullptr) handler->on_closed(error);
}

bool TcpStream::idle_and_open() noexcept {
  if (ending_ != Ending::none || eof_pending_ || eof_delivered_) return false;
  char byte = 0;
  const ssize_t seen = recv(descriptor(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return seen < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

void TcpStream::acknowledge_now() noexcept {
  const int on = 1;  // for this once: the kernel goes back to delaying by itself (tcp(7))
  setsockopt(descriptor(), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

}  // namespace hms::net
