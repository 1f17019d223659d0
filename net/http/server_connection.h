// server_connection.h: one caller of the small server: reads requests one after the other, hands
// each to its handler, writes the answers.
//
//   reading --request complete--> handling --answer complete--> reading ... --last answer-->
//   closing --> gone
//
// While a handler works, reading goes on (to see the caller leave) and up to 64 KiB of the
// following requests wait; then reading pauses. Closing: FIN after the answer, then what the caller
// still sends is thrown away for at most 2 s, so that no RST overtakes the answer. Owner:
// ServerCore; ends through Loop::retire. Thread: the loop's. Private to net/http.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "net/http/h1_codec.h"
#include "net/http/route_table.h"
#include "net/http/server.h"
#include "net/http/server_guard.h"
#include "net/http/waiting_callers.h"
#include "net/io/loop.h"
#include "net/io/stream.h"
#include "net/io/timer_wheel.h"

namespace hms::net {

class ServerConnection;

/// What all connections of a server share.
struct ServerCore {
  ServerCore(Loop& on_loop, ServerOptions with) : loop(on_loop), options(with) {}

  Loop& loop;
  ServerOptions options;
  ServerCounters counters;
  RouteTable routes;
  uint64_t buffered_bytes = 0;  // of request bodies being collected
  bool draining = false;
  WaitingCallers waiting;
  std::unordered_map<ServerConnection*, std::unique_ptr<ServerConnection>> connections;
  size_t refused_open = 0;  // of `connections`: they are only told that there is no room
  std::function<void()> on_connection_gone;

  [[nodiscard]] size_t places_taken() const noexcept { return connections.size() - refused_open; }
};

class ServerReply;

class ServerConnection final : public StreamHandler {
 public:
  ServerConnection(ServerCore& core, std::unique_ptr<Stream> stream, bool on_loopback);
  ~ServerConnection();

  void start();
  /// There are too many: answers 503, and closes once the caller has seen it.
  void refuse_connection();
  [[nodiscard]] bool is_refused() const noexcept { return refused_; }
  /// Nothing of an answer waits for its reader any more.
  [[nodiscard]] bool has_sent_all() const noexcept { return stream_->queued_bytes() == 0; }
  /// Nothing of the caller lies in the socket. Of a connection whose TLS handshake is over.
  [[nodiscard]] bool is_silent() noexcept { return stream_->idle_and_open(); }
  /// Ends as soon as the running request allows; streamed answers end now.
  void drain();
  /// Ends now, whatever is unsent; retires itself and tells who waits for the answer.
  void drop();
  /// The server goes: ends now and silently. The caller retires the connection.
  void abandon();

  void on_bytes(std::string_view bytes) override;
  void on_eof() override;
  void on_writable() override;
  void on_closed(const Error& error) override;

 private:
  friend class ServerReply;
  enum class State : uint8_t { reading, handling, closing, gone };

  void silence();
  void run(std::string_view input);
  void run_pending();
  void take_step(H1Codec::Step step);
  void on_head();
  void on_body(std::string_view piece);
  void on_request_complete();
  void dispatch();
  void refuse(const Refusal& refusal);
  void refuse_and_close(const Refusal& refusal);

  // Called by the reply.
  void send_whole(int status, std::string_view content_type, std::string body,
                  const Headers& extra);
  void start_stream(int status, std::string_view content_type, const Headers& extra);
  bool write_piece(std::string_view piece);
  void finish_stream();
  void reply_abandoned(bool started);

  bool has_room_for(size_t reply_bytes);
  void account_queue();
  void append_common_fields(std::string& out, std::string_view content_type, const Headers& extra);
  void end_exchange();
  void forget_body();
  const std::string& peer_name();
  void update_reading();
  void arm_for_reading();
  void wait_for(CallerWait wait);
  void begin_closing();
  void on_phase_timeout();
  void probe_caller();
  void watch_writes();
  void on_write_timeout();

  ServerCore& core_;
  std::unique_ptr<Stream> stream_;
  H1Codec codec_;
  const WaitingCallers::Place place_;
  State state_ = State::reading;
  Request request_;
  RouteTable::HandlerPtr handler_;
  ServerReply* reply_ = nullptr;  // the answer being waited for; it forgets us and we it
  std::string peer_name_;         // of a verified TLS caller, once asked for
  std::string pending_;           // bytes behind the request being handled
  uint64_t accounted_bytes_ = 0;  // our share of core_.buffered_bytes
  uint64_t queued_bytes_ = 0;     // our share of counters.queued_reply_bytes
  uint64_t written_at_check_ = 0;
  uint64_t discarded_bytes_ = 0;
  std::optional<Refusal> refusal_;  // decided at the head, answered at the end of the request
  const bool on_loopback_;          // of a listener that only this machine reaches
  bool peer_known_ = false;
  bool running_ = false;
  bool paused_ = false;
  bool close_after_ = false;
  bool head_only_ = false;
  bool old_version_ = false;  // HTTP/1.0
  bool gzip_accepted_ = false;
  bool streaming_ = false;
  bool eof_ = false;
  bool timing_head_ = false;
  bool had_request_ = false;
  bool refused_ = false;
  int probes_ = 0;        // interim replies sent to see whether a caller that half-closed is there
  Timer phase_timer_;     // header, body, idle, closing; the next probe of a half-closed caller
  Timer write_timer_;     // a reader that takes nothing
  Timer continue_timer_;  // pipelined requests go on in the next turn
};

}  // namespace hms::net
