// exchange.h: one request and its reply, from the first byte in to the last byte out.
//
//   * request head: route, split, endpoint; a connection leased or opened; head and body forwarded
//     as they come
//   * reply head: edited, forwarded; the body re-framed as it comes; watermarks pause whichever
//     side is faster
//   * end: measured, the connection given back, the exchange recycled
//
// An attempt that failed before a byte of the reply came may be repeated: on another connection
// when a kept-alive one turned out stale, on another endpoint when connecting failed, and as the
// route's `retries` say. The body kept for that is at most 64 KiB. An exchange lives in the
// worker's free list; a request in the steady state allocates nothing. How far it is on each of its
// sides, and what may come next: exchange_state.h. Thread: the worker's.
#pragma once

#include <memory>
#include <string>

#include "net/http/h1_codec.h"
#include "net/io/tcp.h"
#include "proxy/cluster/host_names.h"
#include "proxy/cluster/view.h"
#include "proxy/exchange_state.h"
#include "proxy/gather.h"
#include "proxy/head_edit.h"
#include "proxy/local_reply.h"
#include "proxy/route_path.h"
#include "proxy/router.h"
#include "telemetry/recorder.h"
#include "telemetry/trace_context.h"

namespace hms::proxy {

class DataPath;
class Session;

class Exchange final : public UpstreamUser {
 public:
  static constexpr size_t kReplayBytes = 64 * 1024;
  static constexpr size_t kThrownAwayBytes = 1024 * 1024;

  explicit Exchange(DataPath& data, const net::HttpLimits& limits);
  ~Exchange();

  /// A fresh start for the next request of `session`.
  void begin(Session& session);
  [[nodiscard]] net::H1Codec& request_codec() noexcept { return *request_codec_; }
  /// Codecs that did not end at a message's end are made anew.
  void freshen(const net::HttpLimits& limits);

  // What the session finds in the caller's bytes.
  void on_request_head();
  void on_request_body(std::string_view piece);
  /// The codec still holds the trailers. May end the exchange (then `session.exchange_ended` was
  /// called and this object is recycled).
  void on_request_end();
  /// After the last step of a read: what was gathered goes out.
  void flush_request();
  void on_downstream_writable();
  /// The caller half-closed. With the request complete it may still want the reply.
  void on_downstream_eof();
  /// The caller is gone: the upstream call is cancelled, the exchange measured and recycled without
  /// a word to the session.
  void on_downstream_gone();
  /// The request broke the protocol in its body, or stalled.
  void fail_request(LocalError error, std::string_view detail);

  [[nodiscard]] bool head_seen() const noexcept { return from_caller_ != FromCaller::head; }
  [[nodiscard]] bool request_complete() const noexcept {
    return from_caller_ == FromCaller::complete;
  }

  /// The request that runs keeps to the limits that it began with, the next one does not.
  void limits_changed() noexcept { limits_changed_ = true; }

  size_t index = 0;  // in DataPath::exchanges

 private:
  friend class DataPath;
  // What is known of one request. Each is fresh for the next one (begin).

  /// Of what the caller asked for.
  struct Request {
    uint64_t bytes = 0;        // of its body
    uint64_t thrown_away = 0;  // of these, because nobody wants them
    bool http_1_0 = false;     // the caller knows no chunks and no interim replies
    bool keep_alive = true;    // the caller's connection may stay open after this
    bool chunked = false;
    bool is_head = false;       // HEAD
    bool wants_tunnel = false;  // Upgrade
  };
  /// Of the reply that the caller gets.
  struct Reply {
    uint64_t bytes = 0;    // of its body
    bool chunked = false;  // as written to the caller
    bool closes = false;   // the caller's connection ends with it
    bool paused = false;   // the service is not read: the caller is slower
  };
  /// Of the attempts to get it.
  struct Attempt {
    const Endpoint* first_address = nullptr;  // where this one began
    uint64_t asked_nanos = 0;                 // monotonic; 0: nobody wants to know
    uint64_t written_before = 0;              // on its connection, by the exchanges before
    uint32_t number = 0;                      // 1: the first
    uint8_t addresses_tried = 0;              // after the first one
    bool reused = false;                      // its connection was used before
    bool stale_repeated = false;              // once already, because such a connection was closing
  };
  /// What is told of it all (exchange_measure.cc).
  struct Outcome {
    uint32_t upstream = 0;  // name of the side of a split; 0: there was nothing to choose
    uint16_t status = 0;    // 0: none was sent
    LocalError error = LocalError::none;
    bool caller_left = false;
  };
  /// Monotonic nanoseconds; 0: not reached, or nobody wants to know.
  struct Times {
    uint64_t start = 0, head = 0, chosen = 0, connected = 0, reply = 0;
  };
  /// The request's body as far as it waits for a connection, or may be needed once more.
  struct KeptBody {
    std::string bytes;
    bool whole = true;  // all that has come is here: another attempt may be made
    void start_over() {
      bytes.clear();
      whole = true;
    }
    void let_go() {
      bytes.clear();
      whole = false;
    }
  };
  /// What was found behind the end of a reply.
  enum class Behind : uint8_t { nothing, bytes, fin };

  // UpstreamUser
  void on_upstream_bytes(std::string_view bytes) override;
  void on_upstream_eof() override;
  void on_upstream_writable() override;
  void on_upstream_closed(const net::Error& error) override;

  void join_trace();
  void choose_route();
  [[nodiscard]] bool caller_allowed(const RouteView* route);
  [[nodiscard]] LocalError refusal_of(const PathReadings& path, RouteQuery query);
  void choose_cluster();
  void start_attempt();
  void resolve_and_connect(std::string_view authority);
  void on_resolved(const HostNames::Answer& found);
  void ask_endpoint();
  bool try_next_address();
  void connect();
  void on_connected(net::Result<std::unique_ptr<net::Stream>> stream);
  void on_connect_failed(const net::Error& error);
  void use(std::unique_ptr<UpstreamConnection> connection);
  void emit_head();
  void emit_body(std::string_view piece);
  void emit_tail();
  void throw_away(size_t bytes);
  void pause_caller_if_upstream_full();

  void read_replies(std::string_view& input);
  bool on_reply_head();
  void forward_reply_head();
  void forward_interim_head();
  void learn_keep_alive(const net::MessageHead& head);
  void send_reply_piece(std::string_view piece);
  void on_reply_end(Behind behind);
  void release_upstream();
  void lose_upload();
  void on_reply_fault(LocalError error, std::string_view detail);
  void start_tunnel(std::string_view early);
  void pause_upstream_if_caller_full();

  [[nodiscard]] bool reply_begun() const noexcept { return to_caller_ != ToCaller::nothing; }
  [[nodiscard]] bool reply_complete() const noexcept { return to_caller_ == ToCaller::complete; }

  // Once more? Each is true if another attempt was started.
  bool retry_elsewhere();
  /// Nothing of the reply came; `clean_end`: but a FIN.
  bool retry_after_failure(bool clean_end);
  bool retry_stale(bool clean_end);
  bool retry_on_status(uint16_t status);
  bool repeat(uint64_t& counter);
  bool may_repeat() const noexcept;
  bool budget_allows(uint64_t& counter);
  bool service_saw_nothing() noexcept;
  void drop_upstream();
  void blame_endpoint();
  void reply_locally(LocalError error, std::string_view detail);
  void finish(bool keep_alive);
  void measure();
  void write_access_log(std::string_view route, uint64_t duration_nanos);
  void recycle();
  void probe_caller();

  DataPath& data_;
  Session* session_ = nullptr;
  View* view_ = nullptr;
  const RouteView* route_ = nullptr;
  Cluster* cluster_ = nullptr;
  Endpoint* endpoint_ = nullptr;
  InFlight in_flight_;  // of endpoint_, while an attempt runs
  std::unique_ptr<net::H1Codec> request_codec_, reply_codec_;
  std::unique_ptr<UpstreamConnection> upstream_;  // null: to_service_ is nowhere
  std::unique_ptr<net::Connector> connector_;
  std::unique_ptr<HostNames::Waiter> look_up_;
  net::Timer deadline_;  // the route's timeout
  net::Timer probe_;     // is a caller that half-closed still there?
  telemetry::TraceContext trace_;
  AddedBlock added_;
  std::string authority_;  // outbound without a route: where to
  KeptBody kept_;
  Times times_;
  Request request_;
  Reply reply_;
  Attempt attempt_;
  Outcome outcome_;
  FromCaller from_caller_ = FromCaller::head;
  ToService to_service_ = ToService::nowhere;
  FromService from_service_ = FromService::silent;
  ToCaller to_caller_ = ToCaller::nothing;
  uint8_t probes_sent_ = 0;
  // These outlive the request: a codec whose message did not end well must start over, and so must
  // both when the limits on heads are others.
  bool reply_codec_dirty_ = false, request_codec_dirty_ = false, limits_changed_ = false;
};

}  // namespace hms::proxy
