// tcp_stream.h: a Stream over a TCP socket. Private to net/io: Acceptor and Connector make them.
//
// The libuv handle lives in a TcpNode, which outlives the stream: the stream's destructor detaches
// and closes, the close callback frees the node. An accepted socket is given to libuv when epoll is
// first needed for it (reading or a write that does not fit): a connection that is answered and
// closed before costs no system call for that. Reading goes into the loop's one slab; an idle
// stream holds no buffer (sizes: static_asserts in tcp_stream.cc). A read that filled its room
// doubles the next one's, from 64 to 512 KiB, and a pause takes it back: large bodies then cost a
// fraction of the wake-ups (docs/benchmarks.md), slow readers no memory. Pausing costs nothing by
// itself: the socket leaves epoll only if data arrives while it is paused. One fast peer does not
// starve the loop: after kBytesPerTurn in a turn the others have theirs. Small writes wait until
// the loop has dealt with what epoll brought (write_burst.h). Thread: the loop's.
#pragma once

#include <uv.h>

#include <memory>
#include <optional>

#include "net/io/loop_impl.h"
#include "net/io/stream.h"
#include "net/io/write_queue.h"

namespace hms::net {

class TcpStream;

struct TcpNode {
  uv_tcp_t handle{};  // first: libuv's callbacks give it back
  std::unique_ptr<WriteQueue>
      queue;  // only while something is unsent; libuv may hold its bytes until the close callback
  std::unique_ptr<SocketAddress> local;  // once asked for

  /// A node with an initialised handle (no socket yet).
  static TcpNode* make(Loop& loop);
  /// Gives the handle to libuv.
  void initialise(Loop& loop);
  /// Closes the handle; the close callback frees the node.
  static void close(TcpNode* node) noexcept;
  static TcpNode* of(void* handle) noexcept { return static_cast<TcpNode*>(handle); }
  /// Null once the stream is destroyed. (The handle keeps it: an idle connection is small.)
  [[nodiscard]] TcpStream* owner() const noexcept { return static_cast<TcpStream*>(handle.data); }
  void set_owner(TcpStream* stream) noexcept { handle.data = stream; }
  [[nodiscard]] uv_stream_t* stream() noexcept { return reinterpret_cast<uv_stream_t*>(&handle); }
};

class TcpStream final : public Stream, private Deferred {
 public:
  static constexpr size_t kLeastRead = 64 * 1024;
  static constexpr size_t kBytesPerTurn = 256 * 1024;  // and what the last read brings beyond it

  /// Takes over a connected node.
  TcpStream(Loop& loop, TcpNode* node, Side side, const SocketAddress& peer);
  /// Takes over an accepted socket, non-blocking.
  TcpStream(Loop& loop, int accepted, Side side, const SocketAddress& peer);
  ~TcpStream() override;

  void set_handler(StreamHandler* handler) override;
  void pause_reading() override;
  void resume_reading() override;
  using Stream::write;
  void write(std::span<const std::string_view> slices) override;
  [[nodiscard]] size_t queued_bytes() const noexcept override;
  void shutdown_write() override;
  void mark_for_reset() override { reset_on_close_ = true; }
  [[nodiscard]] bool idle_and_open() noexcept override;
  void acknowledge_now() noexcept override;
  [[nodiscard]] const SocketAddress& peer() const noexcept override { return peer_; }
  [[nodiscard]] const SocketAddress& local() const noexcept override;
  [[nodiscard]] std::optional<SocketAddress> original_destination() const noexcept override;
  [[nodiscard]] uint64_t bytes_read() const noexcept override { return bytes_read_; }
  [[nodiscard]] uint64_t bytes_written() const noexcept override;
  [[nodiscard]] uint64_t bytes_acknowledged() noexcept override;
  void watch_peer() noexcept override;

  [[nodiscard]] TcpNode* node() noexcept { return node_; }
  /// For the Acceptor, straight after its callback: if the new owner resumed reading, one recv now,
  /// before the socket was ever polled (a deferred accept hands over sockets that have data: this
  /// saves a turn of the loop).
  void first_read();
  /// For WriteBurst: what `write` gave to it.
  void send_held(std::string_view bytes);

 private:
  enum class Ending : uint8_t { none, fault, both_directions, gone };

  [[nodiscard]] bool wants_bytes() const noexcept;
  void start_or_stop_reading();
  [[nodiscard]] int give_to_libuv() noexcept;
  [[nodiscard]] std::span<char> read_room() noexcept;
  [[nodiscard]] bool had_its_share() noexcept;
  static void on_alloc(uv_handle_t* handle, size_t suggested, uv_buf_t* buffer);
  static void on_read(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer);
  static void on_written(uv_write_t* request, int status);
  void on_unwanted();
  void deliver(std::string_view bytes);
  void deliver_eof();
  void check_both_ended();
  [[nodiscard]] int write_now(std::span<const uv_buf_t> buffers) noexcept;
  size_t try_write(std::span<const std::string_view> slices, size_t total);
  void enqueue(std::span<const std::string_view> slices, size_t skip);
  void submit();
  void finish_written(int status);
  void send_fin();
  void fail_later(int status);
  void fail_now(int status);
  [[nodiscard]] int pending_error() const noexcept;
  void run_deferred() override;
  bool read_the_rest();
  void report_closed(const Error& error);
  [[nodiscard]] int descriptor() const noexcept;

  Loop& loop_;
  TcpNode* node_;
  StreamHandler* handler_ = nullptr;
  uint64_t bytes_read_ = 0;
  uint64_t bytes_accepted_ = 0;  // given to `write` and not dropped
  uint32_t pauses_ = 1;
  int fault_ = 0;                   // libuv's number of a fault that was not reported yet
  int own_descriptor_ = -1;         // an accepted socket that libuv does not know yet
  uint8_t read_doublings_ : 4 = 0;  // of kLeastRead
  uint8_t in_burst_ : 1 = 0;        // the loop's burst holds bytes of ours
  Side side_;
  Ending ending_ = Ending::none;
  bool fresh_ : 1 = true;         // until the first turn of the stream's owner is over
  bool reading_ : 1 = false;      // uv_read_start is in force
  bool eof_pending_ : 1 = false;  // seen while paused
  bool eof_delivered_ : 1 = false;
  bool shutdown_asked_ : 1 = false;
  bool fin_sent_ : 1 = false;
  bool above_high_ : 1 = false;
  bool reset_on_close_ : 1 = false;
  SocketAddress peer_;
};

}  // namespace hms::net
